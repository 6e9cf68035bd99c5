"""The statements of an import: they read what is stored already, and apply a batch's changes to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.dialects import insert_into, is_in
from gateway.storage.engine import DatabaseError, Program
from gateway.storage.migrations import VERSION, head
from gateway.storage.statements import Command, Statement
from gateway.storage.tables import domains, endpoint_dates, leaks, links, nodes, organizations
from schema.records import CONNECTED, Domain, Kind

Row: TypeAlias = tuple[Any, ...]
"""Values in the order of their table's columns, unless said otherwise."""

_KEPT = {"organization_number", "id", "status"}
"""The columns that a leak keeps when it is seen again: its key, and its triage status."""


def _rows_by_kind() -> dict[Kind, list[Row]]:
    return {kind: [] for kind in CONNECTED}


@dataclass(slots=True)
class Changes:
    """What a batch changes.

    Attributes:
        nodes: What leaks are connected to, by kind; those stored already are skipped, except that the newest date of an
            endpoint is kept.
        dates: The dates of endpoints in each domain; the newest is kept.
        leaks: New and updated leaks.
        unlinked: The ids of leaks whose connections are replaced by those in `links`.
        restated: Leaks whose connections stay, but repeat other values: domain number, risk level, first seen, added
            at, the months of both, risk level's name; then organization number and id.
        links: The new connections, by kind: a row, then once more its leak's organization number and id, by which the
            status is looked up.
    """

    nodes: dict[Kind, list[Row]] = field(default_factory=_rows_by_kind)
    dates: list[Row] = field(default_factory=list)
    leaks: list[Row] = field(default_factory=list)
    unlinked: list[str] = field(default_factory=list)
    restated: list[Row] = field(default_factory=list)
    links: dict[Kind, list[Row]] = field(default_factory=_rows_by_kind)


class ImportStatements:
    """The statements of an import, compiled for one engine."""

    def __init__(self, dialect: Dialect) -> None:
        organization = bindparam("organization", type_=organizations.c.number.type)
        self._organization = Statement(
            select(organizations.c.number)
            .where(organizations.c.number == organization)
            .with_for_update(key_share=True),
            dialect,
        )
        self._version = Statement(VERSION, dialect)
        self._domains = Statement(
            select(domains.c.number, domains.c.id, domains.c.name, domains.c.archived_at)
            .where(domains.c.organization_number == organization)
            .order_by(domains.c.number),
            dialect,
        )
        self._hashes = Statement(
            select(leaks.c.id, leaks.c.content_hash).where(
                leaks.c.organization_number == organization, is_in(dialect, leaks.c.id, "ids")
            ),
            dialect,
        )
        self._add_domain = Statement(_insert_domain(dialect), dialect)
        self._put_leak = Statement(_put_leak(dialect), dialect)
        self._put_node = {kind: Statement(_put_node(kind, dialect), dialect) for kind in CONNECTED}
        self._put_date = Statement(_put_newest(endpoint_dates, dialect), dialect)
        self._link = {kind: Statement(_insert_link(links[kind]), dialect) for kind in CONNECTED}
        self._unlink = {kind: Statement(_unlink(links[kind], dialect), dialect) for kind in CONNECTED}
        self._restate = {kind: Statement(_restate(links[kind]), dialect) for kind in CONNECTED}

    def lock(self, organization: int) -> Program[None]:
        """Let no other import into the organization write until the transaction ends.

        Raises:
            DatabaseError: the tables are at another version than these statements are for.
        """
        _, versions = yield [self._organization.bind(organization=organization), self._version.bind()]
        if [row[0] for row in versions] != [head()]:
            raise DatabaseError("The tables are at another version than this program. Run: python -m gateway migrate")

    def domains(self, organization: int) -> Program[list[Domain]]:
        """The organization's domains, archived ones included."""
        (rows,) = yield [self._domains.bind(organization=organization)]
        return [Domain(*row) for row in rows]

    def add_domains(self, organization: int, new: Sequence[Domain]) -> Program[None]:
        """Add domains, ignoring their numbers; one whose name is taken is skipped."""
        rows = [(organization, domain.id, domain.name, domain.archived_at) for domain in new]
        yield [_many(self._add_domain, rows)]

    def content_hashes(self, organization: int, ids: list[str]) -> Program[dict[str, int]]:
        """The content hashes of those of the leaks that are stored, by id."""
        (rows,) = yield [self._hashes.bind(organization=organization, ids=ids)]
        return {row[0]: row[1] for row in rows}

    def apply(self, organization: int, changes: Changes) -> Program[None]:
        """Write a batch's changes; the organization must be locked."""
        unlinked = {"organization": organization, "ids": changes.unlinked}
        commands = [_many(self._put_node[kind], changes.nodes[kind]) for kind in CONNECTED]
        commands += [_many(self._put_date, changes.dates), _many(self._put_leak, changes.leaks)]
        if changes.unlinked:
            commands += [self._unlink[kind].bind(**unlinked) for kind in CONNECTED]
        commands += [_many(self._restate[kind], changes.restated) for kind in CONNECTED]
        commands += [_many(self._link[kind], changes.links[kind]) for kind in CONNECTED]
        yield [command for command in commands if command.values]


@cache
def import_statements(dialect: Dialect) -> ImportStatements:
    """The statements for an engine, compiled on first need."""
    return ImportStatements(dialect)


def _many(statement: Statement, rows: Sequence[Row]) -> Command:
    return Command(statement.sql, rows, many=True)


def _upsert(table: Table, dialect: Dialect) -> Any:
    values = {column.name: bindparam(column.name, type_=column.type) for column in table.c}
    return insert_into(table, dialect).values(values)


def _insert_link(table: Table) -> Any:
    values: dict[str, Any] = {column.name: bindparam(column.name, type_=column.type) for column in table.c}
    # The stored leak's status: a leak that is seen again keeps it, whatever its record says.
    is_its_leak = (leaks.c.organization_number == bindparam("of_organization")) & (
        leaks.c.id == bindparam("of_leak", type_=leaks.c.id.type)
    )
    values["status"] = select(leaks.c.status).where(is_its_leak).scalar_subquery()
    return insert(table).values(values)


def _insert_domain(dialect: Dialect) -> Any:
    columns = [column for column in domains.c if column is not domains.c.number]
    values = {column.name: bindparam(column.name, type_=column.type) for column in columns}
    return insert_into(domains, dialect).values(values).on_conflict_do_nothing()


def _put_leak(dialect: Dialect) -> Any:
    statement = _upsert(leaks, dialect)
    given = {column.name: statement.excluded[column.name] for column in leaks.c if column.name not in _KEPT}
    # A record whose password is masked does not erase a fingerprint that is known.
    given["fingerprint"] = func.coalesce(statement.excluded.fingerprint, leaks.c.fingerprint)
    return statement.on_conflict_do_update(index_elements=[leaks.c.organization_number, leaks.c.id], set_=given)


def _put_node(kind: Kind, dialect: Dialect) -> Any:
    if kind is Kind.ENDPOINT:
        return _put_newest(nodes[kind], dialect)
    return _upsert(nodes[kind], dialect).on_conflict_do_nothing()


def _put_newest(table: Table, dialect: Dialect) -> Any:
    """Insert a row, or update its date if that is newer."""
    statement = _upsert(table, dialect)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={"date": statement.excluded.date},
        where=statement.excluded.date > table.c.date,
    )


def _unlink(table: Table, dialect: Dialect) -> Any:
    organization = bindparam("organization", type_=table.c.organization_number.type)
    return delete(table).where(table.c.organization_number == organization, is_in(dialect, table.c.leak_id, "ids"))


def _restate(table: Table) -> Any:
    listed_by = (
        table.c.domain_number,
        table.c.risk_level,
        table.c.first_seen,
        table.c.added_at,
        table.c.first_seen_month,
        table.c.added_at_month,
        table.c.risk_level_name,
    )
    return (
        update(table)
        .values({column.name: bindparam(column.name, type_=column.type) for column in listed_by})
        .where(
            table.c.organization_number == bindparam("of_organization", type_=table.c.organization_number.type),
            table.c.leak_id == bindparam("of_leak", type_=table.c.leak_id.type),
        )
    )
