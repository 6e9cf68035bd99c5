"""The statements of an export: an organization's leaks by id in batches, and what each batch is connected to."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.dialects import is_in
from gateway.storage.engine import Program, Rows
from gateway.storage.statements import Statement
from gateway.storage.tables import leaks, links, nodes
from schema.records import CONNECTED, Kind, columns

FIRST_ID = "00000000-0000-0000-0000-000000000000"


class ExportStatements:
    """The statements of an export, compiled for one engine."""

    def __init__(self, dialect: Dialect) -> None:
        self._leaks = Statement(_leaks(dialect), dialect)
        self._connected = {kind: Statement(_connected(kind, dialect), dialect) for kind in CONNECTED}

    def batch(
        self, organization: int, domains: Sequence[int], from_id: str, limit: int
    ) -> Program[tuple[Rows, dict[Kind, Rows]]]:
        """At most `limit` leaks of some domains by id, from an id on, and what they are connected to, by kind.

        A leak's row has the columns of its record; a connected row has its leak's id before the columns of its record.
        """
        (found,) = yield [
            self._leaks.bind(organization=organization, domains=tuple(domains), from_id=from_id, limit=limit)
        ]
        ids = [row[0] for row in found]
        connected = yield [self._connected[kind].bind(organization=organization, ids=ids) for kind in CONNECTED]
        return found, dict(zip(CONNECTED, connected, strict=True))


@cache
def export_statements(dialect: Dialect) -> ExportStatements:
    """The statements for an engine, compiled on first need."""
    return ExportStatements(dialect)


def _leaks(dialect: Dialect) -> Any:
    return (
        select(*(leaks.c[name] for name in columns(Kind.LEAK)))
        .where(
            leaks.c.organization_number == bindparam("organization"),
            is_in(dialect, leaks.c.domain_number, "domains"),
            leaks.c.id >= bindparam("from_id", type_=leaks.c.id.type),
        )
        .order_by(leaks.c.id)
        .limit(bindparam("limit"))
    )


def _connected(kind: Kind, dialect: Dialect) -> Any:
    link, node = links[kind], nodes[kind]
    return (
        select(link.c.leak_id, *(node.c[name] for name in columns(kind)))
        .join_from(
            link,
            node,
            (node.c.organization_number == link.c.organization_number) & (node.c.id == link.c.node_id),
        )
        .where(
            link.c.organization_number == bindparam("organization"),
            is_in(dialect, link.c.leak_id, "ids"),
        )
    )
