"""The lists of leaks that nodes have: one field, the same on every type."""

from collections.abc import Sequence
from typing import Any

from schema.batches import Batch, Call
from schema.listings import Wanted, list_pages
from schema.records import Domain, Kind
from schema.types.leak_filter import LeakFilter, LeakOrder, stored_filter, stored_order


def leaks_of(via: Kind) -> Any:
    """The resolver of a node's leaks, within the scope of the operation."""

    def leaks(
        parents: Sequence[Any],
        call: Call,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: LeakFilter | None = None,  # noqa: A002 - it is the argument's name
        order_by: LeakOrder | None = None,
    ) -> Batch:
        """The visible leaks of this node."""
        keys = tuple(parent.number if isinstance(parent, Domain) else parent.id for parent in parents)
        wanted = Wanted(first, after, last, before)
        return list_pages(call, wanted, stored_order(order_by), Kind.LEAK, via, keys, stored_filter(filter))

    return leaks
