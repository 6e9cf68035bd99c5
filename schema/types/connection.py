"""Connections after Relay's specification (https://relay.dev/graphql/connections.htm): all lists are alike."""

from typing import Generic, TypeVar

import strawberry

from schema.batches import edge
from schema.listings import total_counts
from schema.types.directives import COUNTED, FREE

NodeType = TypeVar("NodeType")


@strawberry.type(description="What lies around a page. Cursors are null on an empty page.", directives=[FREE])
class PageInfo:
    """What lies around a page."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="A node at its place in a list.", directives=[FREE])
class Edge(Generic[NodeType]):
    """A node at its place in a list."""

    cursor: str
    node: NodeType


@strawberry.type(description="A page of a list.")
class Connection(Generic[NodeType]):
    """A page of a list."""

    edges: list[Edge[NodeType]]
    nodes: list[NodeType]
    page_info: PageInfo
    total_count: int = edge(total_counts, directives=[COUNTED])
