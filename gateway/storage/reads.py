"""From the reads of the port to statements, and from rows to answers.

A read's shape (its kinds, order, direction and the parts of its filter) decides its SQL; ids, bounds and the scope are
values. So a shape is compiled once.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, assert_never

from sqlalchemy import BigInteger, ColumnElement, FromClause, Select, bindparam, func, literal_column, select
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage import engine
from gateway.storage.conditions import (
    filter_values,
    in_scope,
    matches,
    of_organization,
    ordering,
    page_values,
    parts,
    scope_values,
    visible_node,
    within,
)
from gateway.storage.engine import Engine, Rows
from gateway.storage.statements import SQLITE, Command, Statement, each, is_in
from gateway.storage.tables import leaks, links, nodes
from gateway.storage.types import Id
from schema.pages import Order, PageRequest, cut
from schema.records import RECORDS, Kind, Record, columns
from schema.scope import Scope
from schema.store import Answer, Counts, Lookup, Pages, Program, Read

T = TypeVar("T")

_SHAPES_KEPT = 4096


class SQLStore:
    """The port to the store, over either engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(self, program: Program[T]) -> T:
        """Run a program of reads next to the data."""
        return await self._engine.run(_in_statements(program, self._engine.dialect))


def _in_statements(program: Program[T], dialect: Dialect) -> engine.Program[T]:
    """The same program in terms of statements and rows."""
    try:
        asked = next(program)
        while True:
            rows = yield [command(scope, read, dialect) for scope, read in asked]
            asked = program.send([answer(read, found) for (_, read), found in zip(asked, rows, strict=True)])
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome


def command(scope: Scope, read: Read, dialect: Dialect) -> Command:
    """The statement of a read, with its values."""
    values = scope_values(scope)
    match read:
        case Lookup():
            return _lookup(read.kind, dialect).bind(**values, ids=read.ids)
        case Counts():
            statement = _counts(read.kind, read.via, parts(read.filter), dialect)
            return statement.bind(**values, parents=read.parents, **filter_values(read.filter))
        case Pages():
            statement = _pages(_Shape.of(read), dialect)
            bounds = page_values(read.page)
            return statement.bind(**values, parents=read.parents, **filter_values(read.filter), **bounds)
    assert_never(read)


def answer(read: Read, rows: Rows) -> Answer:
    """The answer to a read, from its rows: each begins with the position of its parent, if it has parents."""
    record = RECORDS[read.kind]
    match read:
        case Lookup():
            found: dict[str, Record] = {row[0]: record(*row) for row in rows}
            return [found.get(id_) for id_ in read.ids]
        case Counts():
            return [row[1] for row in rows]
        case Pages():
            by_parent: list[list[Record]] = [[] for _ in read.parents]
            for position, *values in rows:
                by_parent[position].append(record(*values))
            return [cut(found, read.page) for found in by_parent]
    assert_never(read)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What decides the text of a page's statement."""

    kind: Kind
    via: Kind | None
    order: Order
    page: PageRequest
    filter: tuple[str, ...]

    @classmethod
    def of(cls, read: Pages) -> "_Shape":
        page = read.page
        bounds = PageRequest(
            None if page.limit is None else 0, page.backward, page.after and ("", ""), page.before and ("", "")
        )
        return cls(read.kind, read.via, read.order, bounds, parts(read.filter))


@lru_cache(_SHAPES_KEPT)
def _lookup(kind: Kind, dialect: Dialect) -> Statement:
    table = _table(kind)
    visible = in_scope(table, dialect) if kind is Kind.LEAK else visible_node(table, kind, dialect)
    return Statement(_select(kind, table).where(visible, is_in(dialect, table.c.id, "ids")), dialect)


@lru_cache(_SHAPES_KEPT)
def _counts(kind: Kind, via: Kind | None, wanted: tuple[str, ...], dialect: Dialect) -> Statement:
    if via is None:
        visible = [in_scope(leaks, dialect), *matches(leaks, wanted, dialect)]
        return Statement(select(literal_column("0"), func.count()).select_from(leaks).where(*visible), dialect)
    parents, position, parent = _parents(via, dialect)
    source = _Source.of(kind, via)
    conditions = [source.parent == parent, in_scope(source.rows, dialect)]
    counted: Select[Any] = select(func.count()).select_from(source.rows)
    if wanted:
        counted = counted.join(leaks, source.is_leak(leaks)) if source.rows is not leaks else counted
        conditions += matches(leaks, wanted, dialect)
    return Statement(
        select(position, counted.where(*conditions).scalar_subquery().correlate(parents)).select_from(parents), dialect
    )


@lru_cache(_SHAPES_KEPT)
def _pages(shape: _Shape, dialect: Dialect) -> Statement:
    if shape.via is None:
        return Statement(_leaks_of_scope(shape, dialect), dialect)
    if shape.kind is Kind.LEAK:
        build = _leaks_of_parents_sqlite if dialect is SQLITE else _leaks_of_parents_postgresql
        return Statement(build(shape, dialect), dialect)
    return Statement(_nodes_of_leaks(shape, dialect), dialect)


def _leaks_of_scope(shape: _Shape, dialect: Dialect) -> Select[Any]:
    value = leaks.c[shape.order.column]
    found = (
        _select(Kind.LEAK, leaks, literal_column("0"))
        .where(in_scope(leaks, dialect), *matches(leaks, shape.filter, dialect))
        .where(*within(shape.page, shape.order, value, leaks.c.id))
        .order_by(*ordering(shape.page, shape.order, value, leaks.c.id))
    )
    return _limited(found, shape.page)


def _leaks_of_parents_sqlite(shape: _Shape, dialect: Dialect) -> Select[Any]:
    """For each parent its page of ids, from one index; then the leaks by id."""
    parents, position, parent = _parents(shape.via, dialect)
    page = _page_of_parent(shape, parent, dialect).correlate(parents)
    shown = leaks.alias("shown")
    value = shown.c[shape.order.column]
    return (
        _select(Kind.LEAK, shown, position)
        .select_from(parents.join(shown, of_organization(shown) & shown.c.id.in_(page)))
        .order_by(position, *ordering(shape.page, shape.order, value, shown.c.id))
    )


def _leaks_of_parents_postgresql(shape: _Shape, dialect: Dialect) -> Select[Any]:
    """For each parent its page of ids (LATERAL), from one index; then the leaks by id."""
    parents, position, parent = _parents(shape.via, dialect)
    page = _page_of_parent(shape, parent, dialect).lateral("page")
    shown = leaks.alias("shown")
    value = shown.c[shape.order.column]
    return (
        _select(Kind.LEAK, shown, position)
        .select_from(parents.join(page, literal_column("true")).join(shown, shown.c.id == page.c[0]))
        .where(of_organization(shown))
        .order_by(position, *ordering(shape.page, shape.order, value, shown.c.id))
    )


def _page_of_parent(shape: _Shape, parent: ColumnElement[Any], dialect: Dialect) -> Select[Any]:
    """The ids of one parent's page of leaks."""
    source = _Source.of(shape.kind, shape.via)
    value = source.rows.c[shape.order.column]
    found = (
        select(source.leak_id)
        .where(source.parent == parent, in_scope(source.rows, dialect))
        .where(*within(shape.page, shape.order, value, source.leak_id))
        .order_by(*ordering(shape.page, shape.order, value, source.leak_id))
    )
    if shape.filter:
        leak = leaks.alias("filtered")
        found = found.join_from(source.rows, leak, source.is_leak(leak)).where(*matches(leak, shape.filter, dialect))
    return _limited(found, shape.page)


def _nodes_of_leaks(shape: _Shape, dialect: Dialect) -> Select[Any]:
    """The nodes of each leak, numbered in order, up to the limit."""
    parents, position, parent = _parents(shape.via, dialect)
    node, link = nodes[shape.kind], links[shape.kind]
    value = node.c[shape.order.column]
    order = ordering(shape.page, shape.order, value, node.c.id)
    found = (
        _select(shape.kind, node, position)
        .select_from(
            parents.join(link, link.c.leak_id == parent).join(
                node, of_organization(node) & (node.c.id == link.c.node_id)
            )
        )
        .where(in_scope(link, dialect), *within(shape.page, shape.order, value, node.c.id))
    )
    if shape.page.limit is None:
        return found.order_by(position, *order)
    place = func.row_number().over(partition_by=position, order_by=order).label("place")
    numbered = found.add_columns(place).subquery()
    kept: Select[Any] = select(*list(numbered.c)[:-1]).where(numbered.c.place <= _limit())
    return kept.order_by(numbered.c[0], numbered.c.place)


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows that tell which leaks a parent has, or which nodes a leak has: links, or the leaks of a domain."""

    rows: FromClause
    parent: ColumnElement[Any]
    leak_id: ColumnElement[Any]

    @classmethod
    def of(cls, kind: Kind, via: Kind | None) -> "_Source":
        if via is Kind.DOMAIN:
            return cls(leaks, leaks.c.domain_number, leaks.c.id)
        if via is Kind.LEAK:
            link = links[kind]
            return cls(link, link.c.leak_id, link.c.leak_id)
        assert via is not None  # noqa: S101 - the scope's own leaks have no parent
        link = links[via]
        return cls(link, link.c.node_id, link.c.leak_id)

    def is_leak(self, leak: FromClause) -> ColumnElement[bool]:
        return of_organization(leak) & (leak.c.id == self.leak_id)


def _parents(via: Kind | None, dialect: Dialect) -> tuple[FromClause, ColumnElement[Any], ColumnElement[Any]]:
    """The parents as rows: with the position of each, from 0, and its id."""
    parents = each(dialect, "parents", BigInteger() if via is Kind.DOMAIN else Id())
    position = parents.c.key if dialect is SQLITE else parents.c.key - literal_column("1")
    return parents, position.label("position"), parents.c.value


def _table(kind: Kind) -> FromClause:
    return leaks if kind is Kind.LEAK else nodes[kind]


def _select(kind: Kind, table: FromClause, *first: ColumnElement[Any]) -> Select[Any]:
    return select(*first, *(table.c[name] for name in columns(kind)))


def _limited(found: Select[Any], page: PageRequest) -> Select[Any]:
    return found if page.limit is None else found.limit(_limit())


def _limit() -> ColumnElement[int]:
    return bindparam("limit", type_=BigInteger())
