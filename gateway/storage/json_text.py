"""JSON written by the database: the text of a record with everything that it is connected to, in one statement.

Objects with lists inside are written with `format`, not built from JSON values, so that no inner text is parsed again.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import zip_longest
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, FromClause, Select, Text, cast, func, literal_column, select
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import filter_values, ordering, page_values
from gateway.storage.dialects import SQLITE
from gateway.storage.months import month_values
from gateway.storage.pages import count_of, nodes_of_leak, rows_of_page
from gateway.storage.shapes import PageShape, Reach
from gateway.storage.types import Id, Instant
from schema.pages import PageRequest
from schema.records import Kind
from schema.store import (
    Column,
    Counts,
    JsonList,
    JsonListPart,
    JsonNodes,
    JsonObject,
    JsonTotal,
    Literal,
    Pages,
    Selected,
)

Piece: TypeAlias = str | ColumnElement[Any]

_MOST_MEMBERS = 60
"""SQLite's functions take 127 arguments (SQLITE_MAX_FUNCTION_ARG), two a member."""
_MOST_VALUES = 90
"""Of one format, which is an argument itself: PostgreSQL's functions take 100 (FUNC_MAX_ARGS)."""

_ANY = Reach(is_narrow=False, restricted=True)
_PLAIN = {"risk_level", "domain_number"}
_CODES = {"risk_level_name", "status", "type", "identity_type"}


class JsonText:
    """Writes what one statement selects. The bound values of its lists are numbered in order of appearance.

    Args:
        dialect: The dialect to write.
        reach: What of the scope decides the SQL.
    """

    def __init__(self, dialect: Dialect, reach: Reach) -> None:
        self._dialect = dialect
        self._reach = reach
        self._lists = 0

    def written(self, wanted: JsonList, page: PageShape) -> ColumnElement[Any]:
        """A list of the leaks of the whole scope, as a column."""
        return _joined(self._list(wanted, None, page))

    def selected(self, selected: Selected, row: FromClause) -> ColumnElement[Any]:
        """What is selected of a row, as a column."""
        match selected:
            case Column():
                return _shown(selected, row)
            case Literal():
                return literal_column(_quoted(selected.text))
            case JsonObject():
                return _joined(self._object(selected, row))
            case JsonList():
                return _joined(self._list(selected, row))

    def _list(self, wanted: JsonList, row: FromClause | None, page: PageShape | None = None) -> list[Piece]:
        """The pieces of a list of what a row is connected to, or of the leaks of the whole scope if there is no row."""
        at = f"p{self._lists}_"
        self._lists += 1
        shape = page or PageShape.of(wanted.pages, self._reach).found(in_order=True)
        pieces: list[Piece] = ["{"]
        for place, (key, part) in enumerate(wanted.parts):
            pieces += [f'{"," if place else ""}"{key}":', *self._part(part, wanted.pages, shape, row, at)]
        return [*pieces, "}"]

    def _part(self, part: JsonListPart, pages: Pages, shape: PageShape, row: FromClause | None, at: str) -> list[Piece]:
        match part:
            case Literal():
                return [f'"{part.text}"']
            case JsonTotal():
                counts = Counts(pages.kind, pages.via, (), pages.filter)
                counted = count_of(counts, _id(row), self._dialect, at, is_narrow=self._reach.is_narrow)
                return [cast(counted.scalar_subquery(), Text)]
            case JsonNodes():
                return ["[", self._nodes(part, shape, row, at), "]"]

    def _nodes(self, part: JsonNodes, shape: PageShape, row: FromClause | None, at: str) -> ColumnElement[Any]:
        name = f"{at}page{self._lists}"
        rows: FromClause = self._rows(shape, row, at).correlate(row).subquery(name)
        if shape.page.backward:
            rows = _turned(shape, rows).subquery(f"{name}_turned")
        text = _joined(self._edge(part, rows))
        gathered = func.group_concat(text, ",") if self._dialect is SQLITE else func.string_agg(text, ",")
        return select(func.coalesce(gathered, "")).select_from(rows).scalar_subquery()

    def _rows(self, shape: PageShape, row: FromClause | None, at: str) -> Select[Any]:
        if shape.via is Kind.LEAK and row is not None:
            return nodes_of_leak(shape, row, self._dialect, at)
        return rows_of_page(shape, _id(row), self._dialect, at)

    def _edge(self, part: JsonNodes, row: FromClause) -> list[Piece]:
        if part.edge is None:
            return self._object(part.node, row)
        pieces: list[Piece] = ["{"]
        for place, (key, constant) in enumerate(part.edge):
            value: list[Piece] = self._object(part.node, row) if constant is None else [f'"{constant.text}"']
            pieces += [f'{"," if place else ""}"{key}":', *value]
        return [*pieces, "}"]

    def _object(self, wanted: JsonObject, row: FromClause) -> list[Piece]:
        if self._dialect is SQLITE and len(wanted.members) < _MOST_MEMBERS and not any(lists_in([wanted])):
            return [self._sqlite_object(wanted, row)]
        pieces: list[Piece] = ["{"]
        for place, (key, member) in enumerate(wanted.members):
            pieces += [f'{"," if place else ""}"{key}":', *self._member(member, row)]
        return [*pieces, "}"]

    def _sqlite_object(self, wanted: JsonObject, row: FromClause) -> ColumnElement[Any]:
        """An object without lists, by SQLite's own `json_object`: a fifth faster than pieces."""
        arguments: list[ColumnElement[Any]] = []
        for key, member in wanted.members:
            value = self._sqlite_object(member, row) if isinstance(member, JsonObject) else self.selected(member, row)
            arguments += [literal_column(_quoted(key)), value]
        return func.json_object(*arguments)

    def _member(self, member: Selected, row: FromClause) -> list[Piece]:
        match member:
            case Column():
                return self._column(member, row)
            case Literal():
                return [f'"{member.text}"']
            case JsonObject():
                return self._object(member, row)
            case JsonList():
                return self._list(member, row)

    def _column(self, column: Column, row: FromClause) -> list[Piece]:
        stored = row.c[column.name]
        if column.name in _PLAIN:
            return [cast(stored, Text)]
        if column.name in _CODES or isinstance(stored.type, Id):
            return ['"', func.upper(stored) if column.as_name else cast(stored, Text), '"']
        shown = _shown(column, row)
        if self._dialect is SQLITE:
            return [func.json_quote(shown)]
        return [func.coalesce(cast(func.to_json(shown), Text), "null")]


def lists_in(selected: Sequence[Any]) -> Iterator[JsonList]:
    """The lists in what is selected, or in the parts of a list, in the order in which `JsonText` numbers them."""
    for one in selected:
        match one:
            case JsonObject():
                yield from lists_in([member for _, member in one.members])
            case JsonList():
                yield one
                yield from lists_in(one.parts)
            case (_, JsonNodes() as part):
                yield from lists_in([part.node])


def json_values(selected: Sequence[Any]) -> dict[str, Any]:
    """The values that the lists in what is selected bind; those in the parts of a list are numbered after it."""
    first = 1 if selected and isinstance(selected[0], tuple) else 0
    values: dict[str, Any] = {}
    for place, wanted in enumerate(lists_in(selected), first):
        values |= list_values(wanted.pages, place)
    return values


def list_values(pages: Pages, place: int = 0) -> dict[str, Any]:
    """The values that the list of a number binds."""
    at = f"p{place}_"
    values = page_values(pages.page, at) | filter_values(pages.filter, at) | month_values(pages, at)
    return values if pages.page.limit is None else values | {f"{at}limit": pages.page.limit}


def shape_of(selected: Sequence[Selected]) -> tuple[Any, ...]:
    """What decides the SQL of what is selected, whatever the scope."""
    return tuple(_shape(one) for one in selected)


def _shape(one: Any) -> Any:
    match one:
        case JsonObject():
            return tuple((key, _shape(member)) for key, member in one.members)
        case JsonList():
            return PageShape.of(one.pages, _ANY), tuple((key, _shape(part)) for key, part in one.parts)
        case JsonNodes():
            return _shape(one.node), one.edge
        case (str() as key, part):
            return key, _shape(part)
    return one


def _id(row: FromClause | None) -> ColumnElement[Any] | None:
    return None if row is None else row.c.id


def _turned(shape: PageShape, rows: FromClause) -> Select[Any]:
    """A page that was read from its end, turned into the order of its list."""
    page = PageRequest(None)
    columns = (rows.c[shape.order.column], rows.c.id)
    return select(*rows.c).order_by(*ordering(page, shape.order, *columns)).limit(literal_column("100000000"))


def _shown(column: Column, row: FromClause) -> ColumnElement[Any]:
    stored = row.c[column.name]
    if isinstance(stored.type, Instant):
        return stored.type.column_expression(stored)
    return func.upper(stored) if column.as_name else stored


def _joined(pieces: Sequence[Piece]) -> ColumnElement[Any]:
    """The pieces as one text: one call of `format`, whose template is made of the constant pieces."""
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        return pieces[0]
    values = [place for place, piece in enumerate(pieces) if not isinstance(piece, str)]
    starts = [0, *values[_MOST_VALUES::_MOST_VALUES]]
    formats = [_formatted(pieces[start:end]) for start, end in zip_longest(starts, starts[1:])]
    return reduce(ColumnElement.concat, formats)


def _formatted(pieces: Sequence[Piece]) -> ColumnElement[Any]:
    template = "".join(piece.replace("%", "%%") if isinstance(piece, str) else "%s" for piece in pieces)
    values = [piece for piece in pieces if not isinstance(piece, str)]
    return func.format(literal_column(_quoted(template), Text()), *values, type_=Text())


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
