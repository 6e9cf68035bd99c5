"""From the reads of the port to statements, and from rows to answers.

A read's shape (its kinds, order, direction, the parts of its filter, what it selects) decides its SQL, and whether the
scope is restricted; ids, sizes, places and the scope itself are values. So a shape is compiled once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar, assert_never

from sqlalchemy import BigInteger, ColumnElement, FromClause, Select, bindparam, func, literal_column, select
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage import engine
from gateway.storage.access_paths import FEW
from gateway.storage.conditions import filter_values, ordering, page_values, parts
from gateway.storage.dialects import SQLITE, bound_list, each, is_in
from gateway.storage.engine import Engine, Rows
from gateway.storage.explaining import measured
from gateway.storage.json_text import JsonText, json_values, list_values, shape_of
from gateway.storage.months import month_values
from gateway.storage.pages import count_of, rows_of_page
from gateway.storage.path_choice import ids_of_page
from gateway.storage.scope import as_shown, in_scope, of_organization, scope_values, visible_node
from gateway.storage.shapes import PageShape, Reach
from gateway.storage.statements import Command, PointQuery, Statement, is_too_deep
from gateway.storage.tables import leaks, nodes
from gateway.storage.types import Id
from schema.cache import Cache
from schema.pages import cut
from schema.records import RECORDS, Kind, columns
from schema.scope import Scope
from schema.store import Answer, Asked, Column, Counts, Level, Lookup, Pages, Program, Read, Selected, Written

T = TypeVar("T")

_STATEMENTS_KEPT = 1024
_SELECTIONS_KEPT = 512
_SCOPES_KEPT = 512
_POINT_QUERIES_KEPT = 1024


class SQLStore:
    """The port to the store, over either engine.

    Args:
        engine: The engine.
        few: The most leaks that are gathered for a page, where it may be found otherwise.
    """

    def __init__(self, engine: Engine, few: int = FEW) -> None:
        self._engine = engine
        self._statements = Statements(engine.dialect, few)

    def run(self, program: Program[T], levels: list[Level] | None = None) -> Awaitable[T]:
        """Run a program of reads next to the data."""
        statements = self._in_statements(program)
        return self._engine.run(statements if levels is None else measured(statements, levels))

    def _in_statements(self, program: Program[T]) -> engine.Program[T]:
        """The same program in terms of statements and rows."""
        try:
            asked = next(program)
            while True:
                rows = yield (yield from self._commands(asked))
                asked = program.send([answer(read, found) for (_, read), found in zip(asked, rows, strict=True)])
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome

    def _commands(self, asked: Sequence[Asked]) -> engine.Program[Sequence[Command]]:
        """The statements of a step, with a pause behind each that is new: to write one takes long."""
        commands = []
        for scope, read in asked:
            written = self._statements.written
            commands.append(self._statements.command(scope, read))
            if self._statements.written > written:
                yield ()
        return commands


class Statements:
    """The statements of reads, for one engine; those used last are kept.

    Attributes:
        written: How many were written so far.
    """

    def __init__(self, dialect: Dialect, few: int = FEW) -> None:
        self.written = 0
        self._dialect = dialect
        self._few = few
        self._kept: Cache[Any, Statement] = Cache(_STATEMENTS_KEPT)
        self._described: Cache[int, tuple[Any, int, dict[str, Any]]] = Cache(_SELECTIONS_KEPT)
        self._shapes: Cache[Any, int] = Cache(_STATEMENTS_KEPT)
        self._scopes: Cache[int, tuple[Scope, Mapping[str, Any]]] = Cache(_SCOPES_KEPT)
        self._point_queries: Cache[Any, PointQuery] = Cache(_POINT_QUERIES_KEPT)
        self._numbers = count()

    def command(self, scope: Scope, read: Read) -> Command:
        """The statement of a read, with its values."""
        if isinstance(read, Lookup) and len(read.ids) == 1:
            return self._point_query(scope, read).by(read.ids[0])
        values = self._scope_values(scope)
        reach = Reach.of(scope)
        match read:
            case Lookup():
                shape, selected = self._describe(read.select)
                statement = self._statement((read.kind, shape, reach), lambda _: _lookup(read, self._dialect, reach))
                return statement.bind(scope, **values, **selected, ids=read.ids)
            case Counts():
                statement = self._statement(
                    (read.kind, read.via, parts(read.filter), reach),
                    lambda _: _counts(read, self._dialect, reach),
                )
                return statement.bind(scope, **values, **filter_values(read.filter), parents=read.parents)
            case Pages():
                shape, selected = self._describe(read.select)
                page = PageShape.of(read, reach)
                statement = self._statement(
                    (page, shape, reach),
                    lambda in_order: _pages(read, page.found(in_order=in_order), self._dialect, reach),
                )
                return statement.bind(scope, **values, **selected, **_page_values(read))
            case Written():
                shape, selected = self._describe(read.list.parts)
                page = PageShape.of(read.list.pages, reach)
                statement = self._statement(
                    (page, shape, reach, Written),
                    lambda in_order: _written(read, page.found(in_order=in_order), self._dialect, reach),
                )
                return statement.bind(scope, **values, **selected, **list_values(read.list.pages))
        assert_never(read)

    def _point_query(self, scope: Scope, read: Lookup) -> PointQuery:
        """The query of one id, one object for all that select the same in the same scope."""
        kind, select = read.kind, read.select
        # The query holds on to the scope and the selection: while it is kept, no others can have their `id()`.
        key = id(scope), kind, id(select)
        return self._point_queries.get(key, lambda: self._new_point_query(scope, kind, select))

    def _new_point_query(self, scope: Scope, kind: Kind, select: tuple[Selected, ...] | None) -> PointQuery:
        reach = Reach.of(scope)
        shape, selected = self._describe(select)
        # The id is bound by itself: as a list of one it would cost SQLite as much as the rest of a small answer.
        statement = self._statement(
            (kind, shape, reach, PointQuery), lambda _: _lookup(Lookup(kind, ("",), select), self._dialect, reach)
        )
        return statement.point_query(
            scope,
            lambda ids: self.command(scope, Lookup(kind, tuple(ids), select)),
            **self._scope_values(scope),
            **selected,
        )

    def _scope_values(self, scope: Scope) -> Mapping[str, Any]:
        # The scope is kept as well, so that no other can have its `id()`.
        return self._scopes.get(id(scope), lambda: (scope, self._bound(scope)))[1]

    def _bound(self, scope: Scope) -> Mapping[str, Any]:
        values = scope_values(scope)
        return values | {"domains": bound_list(values["domains"], self._dialect), "few": self._few}

    def _statement(self, key: Any, build: Callable[[bool], Select[Any]]) -> Statement:
        return self._kept.get(key, lambda: self._built(build))

    def _built(self, build: Callable[[bool], Select[Any]]) -> Statement:
        """A statement that finds pages by the best access path, or in order where that is too deep for SQLite."""
        self.written += 1
        statement = Statement(build(False), self._dialect)
        if self._dialect is SQLITE and is_too_deep(statement.sql):
            return Statement(build(True), self._dialect)
        return statement

    def _describe(self, selected: tuple[Any, ...] | None) -> tuple[int, dict[str, Any]]:
        """A number for the shape of what is selected, and the values that it binds.

        A plan selects the same object in every request, so it is described once.
        """
        _, shape, values = self._described.get(id(selected), lambda: self._new_description(selected))
        return shape, values

    def _new_description(self, selected: tuple[Any, ...] | None) -> tuple[Any, int, dict[str, Any]]:
        # What is selected is kept as well, so that nothing else can have its `id()`.
        shape = None if selected is None else shape_of(selected)
        return selected, self._shapes.get(shape, lambda: next(self._numbers)), json_values(selected or ())


def answer(read: Read, rows: Rows) -> Answer:
    """The answer to a read, from its rows: each begins with its id, or with the position of its parent."""
    match read:
        case Lookup():
            make = _maker(read.kind, read.select)
            if len(read.ids) == 1:
                return [make(row[1:]) for row in rows] or [None]
            found = {row[0]: make(row[1:]) for row in rows}
            return [found.get(id_) for id_ in read.ids]
        case Counts():
            return [row[1] for row in rows]
        case Pages():
            make = _maker(read.kind, read.select)
            by_parent: list[list[Any]] = [[] for _ in read.parents]
            for row in rows:
                by_parent[row[0]].append(make(row[1:]))
            return [cut(found, read.page) for found in by_parent]
        case Written():
            return [rows[0][0]]
    assert_never(read)


def _maker(kind: Kind, selected: Sequence[Selected] | None) -> Callable[[Sequence[Any]], Any]:
    """What becomes of a row: a record, where nothing is selected of it."""
    if selected is not None:
        return _as_it_is
    record = RECORDS[kind]
    return lambda values: record(*values)


def _as_it_is(row: Sequence[Any]) -> Sequence[Any]:
    return row


def _page_values(read: Pages) -> dict[str, Any]:
    """What a page binds; one row more than its limit tells whether the list goes on."""
    values = page_values(read.page) | filter_values(read.filter) | month_values(read)
    if read.page.limit is not None:
        values["limit"] = read.page.limit + 1
    return values if read.via is None else values | {"parents": read.parents}


# -------------------------------------------------------------- statements


def _lookup(read: Lookup, dialect: Dialect, reach: Reach) -> Select[Any]:
    is_leak, kind = read.kind is Kind.LEAK, read.kind
    row = leaks if is_leak else as_shown(nodes[kind], kind, dialect, restricted=reach.restricted)
    visible = in_scope(row, dialect) if is_leak else visible_node(row, kind, dialect, by_domain=reach.is_narrow)
    is_asked = row.c.id == bindparam("id") if len(read.ids) == 1 else is_in(dialect, row.c.id, "ids")
    return _selected(read, row, row.c.id, JsonText(dialect, reach)).where(visible, is_asked)


def _counts(read: Counts, dialect: Dialect, reach: Reach) -> Select[Any]:
    if read.via is None:
        count = count_of(read, None, dialect, is_narrow=reach.is_narrow)
        return select(literal_column("0"), count.scalar_subquery())
    parents, position, parent = _parents(read.via, dialect)
    count = count_of(read, parent, dialect, is_narrow=reach.is_narrow)
    return select(position, count.scalar_subquery()).select_from(parents)


def _written(read: Written, page: PageShape, dialect: Dialect, reach: Reach) -> Select[Any]:
    return select(JsonText(dialect, reach).written(read.list, page))


def _pages(read: Pages, shape: PageShape, dialect: Dialect, reach: Reach) -> Select[Any]:
    text = JsonText(dialect, reach)
    if read.via is None:
        rows = rows_of_page(shape, None, dialect).subquery("page")
        return _in_order(_selected(read, rows, literal_column("0"), text), shape, rows)
    if read.kind is not Kind.LEAK:
        return _nodes_of_leaks(read, shape, dialect, text)
    return _leaks_of_parents(read, shape, dialect, text)


def _leaks_of_parents(read: Pages, shape: PageShape, dialect: Dialect, text: JsonText) -> Select[Any]:
    """For each parent the ids of its page, from one index; then the leaks by id."""
    parents, position, parent = _parents(read.via, dialect)
    ids = ids_of_page(shape, parent, dialect)
    shown = leaks.alias("shown")
    if dialect is SQLITE:
        page: FromClause = parents.join(shown, of_organization(shown) & shown.c.id.in_(ids.correlate(parents)))
    else:
        lateral = ids.lateral("page")
        is_shown = of_organization(shown) & (shown.c.id == lateral.c[0])
        page = parents.join(lateral, literal_column("true")).join(shown, is_shown)
    return _in_order(_selected(read, shown, position, text).select_from(page), shape, shown, position)


def _nodes_of_leaks(read: Pages, shape: PageShape, dialect: Dialect, text: JsonText) -> Select[Any]:
    """The nodes of each leak, numbered in order, up to the limit."""
    parents, position, parent = _parents(read.via, dialect)
    unlimited = shape.without_limit()
    rows = rows_of_page(unlimited, parent, dialect).order_by(None).add_columns(position).select_from(parents)
    node = rows.subquery("node")
    order = ordering(shape.page, shape.order, node.c[shape.order.column], node.c.id)
    if shape.page.limit is None:
        return _in_order(_selected(read, node, node.c.position, text), shape, node, node.c.position)
    place = func.row_number().over(partition_by=node.c.position, order_by=order).label("place")
    page = select(*node.c, place).subquery("page")
    found = _selected(read, page, page.c.position, text).where(page.c.place <= bindparam("limit", type_=BigInteger()))
    return found.order_by(page.c.position, page.c.place)


def _parents(via: Kind | None, dialect: Dialect) -> tuple[FromClause, ColumnElement[Any], ColumnElement[Any]]:
    """The parents as rows, the position of each, from 0, and its id or number."""
    parents = each(dialect, "parents", BigInteger() if via is Kind.DOMAIN else Id())
    position = parents.c.key if dialect is SQLITE else parents.c.key - literal_column("1")
    return parents, position.label("position"), parents.c.value


def _selected(read: Lookup | Pages, row: FromClause, first: ColumnElement[Any], text: JsonText) -> Select[Any]:
    """What a read selects of a row, behind the row's id or its parent's position."""
    wanted = read.select if read.select is not None else tuple(Column(name) for name in columns(read.kind))
    return select(first, *(text.selected(one, row) for one in wanted))


def _in_order(found: Select[Any], shape: PageShape, row: FromClause, *first: ColumnElement[Any]) -> Select[Any]:
    return found.order_by(*first, *ordering(shape.page, shape.order, row.c[shape.order.column], row.c.id))
