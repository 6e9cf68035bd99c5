"""Runs a bound plan level by level: the store gets all edges of a level together, and nothing is awaited."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

from orjson import Fragment

from schema.execution.binding import Bound, BoundList, BoundObject, BoundObjects, BoundOne, BoundRoot, BoundWritten
from schema.execution.plan import Cursor, NodesPart, PageInfoPart, TotalPart
from schema.pages import Page
from schema.records import RECORDS
from schema.store import Answer, Asked, Column, Counts, Literal, Lookup, Program, Read, Selected

T = TypeVar("T")
Row = Sequence[Any]
Object = dict[str, Any]
_EMPTY: Page[Row] = Page((), has_more=False)

_TYPE_NAMES = {kind: record.__name__ for kind, record in RECORDS.items()}


def run(bound: Sequence[tuple[str, Bound]]) -> Program[Object]:
    """The data of the response; JSON written by the store is included as fragments."""
    if len(bound) == 1:
        ((key, root),) = bound
        return {key: (yield from _root(root))}
    values = yield from _together([_root(root) for _, root in bound])
    return dict(zip((key for key, _ in bound), values, strict=True))


def _together(programs: Sequence[Program[T]]) -> Program[list[T]]:
    """Run programs concurrently: their reads of the same step are requested together."""
    if len(programs) == 1:
        return [(yield from programs[0])]
    results: list[Any] = [None] * len(programs)
    waiting: list[tuple[int, Program[T], Sequence[Asked]]] = []
    for place, program in enumerate(programs):
        _advance(place, program, None, waiting, results)
    while waiting:
        stepping, waiting = waiting, []
        answers = iter((yield [asked for _, _, step in stepping for asked in step]))
        for place, program, step in stepping:
            _advance(place, program, [next(answers) for _ in step], waiting, results)
    return results


def _advance(
    place: int,
    program: Program[T],
    answers: Sequence[Answer] | None,
    waiting: list[tuple[int, Program[T], Sequence[Asked]]],
    results: list[Any],
) -> None:
    try:
        asked = next(program) if answers is None else program.send(answers)
    except StopIteration as stop:
        results[place] = stop.value
    else:
        waiting.append((place, program, asked))


# -------------------------------------------------------------------- roots


def _root(root: Bound) -> Program[Any]:
    match root:
        case Literal():
            return root.text
        case BoundWritten():
            (answer,) = yield [(root.branch.scope, root.read)]
            return Fragment(answer[0])
        case BoundList():
            (listed,) = yield from _lists(root, [()])
            return listed
        case BoundRoot():
            return (yield from _root_objects(root))


def _root_objects(root: BoundRoot) -> Program[Any]:
    reads = [_selecting(root.objects, read) for read in root.batch.reads]
    answers = (yield [(root.branch.scope, read) for read in reads]) if reads else ()
    typed = [
        [None if row is None else (_TYPE_NAMES[read.kind], row) for row in answer]
        for read, answer in zip(reads, answers, strict=True)
    ]
    (value,) = root.batch.values(typed)
    objects = yield from _objects(root.objects, value if root.objects.is_list else [value])
    return objects if root.objects.is_list else objects[0]


def _selecting(objects: BoundObjects, read: Read) -> Lookup:
    assert isinstance(read, Lookup)  # noqa: S101 - a root object is looked up
    return Lookup(read.kind, read.ids, objects.by_type[_TYPE_NAMES[read.kind]].select)


def _objects(bound: BoundObjects, values: Sequence[Any]) -> Program[list[Any]]:
    """Objects of several types, each type as one level; a value is a row with its type, a record, or None."""
    typed = [_typed(bound, value) for value in values]
    if len(typed) == 1 and typed[0] is not None:
        ((name, row),) = typed  # type: ignore[misc]
        return (yield from _filled(bound.by_type[name].object, [row]))
    found: list[Any] = [None] * len(values)
    programs, places = [], []
    for name in dict.fromkeys(one[0] for one in typed if one is not None):
        at = [place for place, one in enumerate(typed) if one is not None and one[0] == name]
        places.append(at)
        programs.append(_filled(bound.by_type[name].object, [typed[place][1] for place in at]))  # type: ignore[index]
    for at, objects in zip(places, (yield from _together(programs)), strict=True):
        for place, object_ in zip(at, objects, strict=True):
            found[place] = object_
    return found


def _typed(bound: BoundObjects, value: Any) -> tuple[str, Row] | None:
    if value is None or isinstance(value, tuple):
        return value
    name = type(value).__name__
    return name, row_of(value, bound.by_type[name].select)


def row_of(record: Any, select: Sequence[Selected]) -> Row:
    """Convert a record in memory to the row that a read would return."""
    return [_value_of(record, one) for one in select]


def _value_of(record: Any, selected: Selected) -> Any:
    match selected:
        case Column():
            value = getattr(record, selected.name)
            return _name_of(value) if selected.as_name else value
        case Literal():
            return selected.text
    raise AssertionError(selected)


def _name_of(value: Any) -> Any:
    """The name of an enum member, or a list of names for several."""
    return [_name_of(one) for one in value] if isinstance(value, list) else value.name


# ------------------------------------------------------------------- levels


def _filled(bound: BoundObject | None, rows: Sequence[Row]) -> Program[list[Any]]:
    """The objects of a level, from its rows."""
    if bound is None:
        return [Fragment(row[0]) for row in rows]
    start = bound.start
    objects: list[Object] = (
        [dict(zip(bound.keys, row[start:], strict=False)) for row in rows]
        if start
        else [dict(zip(bound.keys, row, strict=False)) for row in rows]
    )
    for key in bound.fragments:
        for object_ in objects:
            object_[key] = Fragment(object_[key])
    programs = [_filled(inner, rows) for _, inner in bound.inner] + [_later(later, rows) for _, later in bound.later]
    if programs:
        keys = [key for key, _ in (*bound.inner, *bound.later)]
        for key, values in zip(keys, (yield from _together(programs)), strict=True):
            for object_, value in zip(objects, values, strict=True):
                object_[key] = value
    return objects


def _later(later: BoundList | BoundOne, rows: Sequence[Row]) -> Program[list[Any]]:
    return _lists(later, rows) if isinstance(later, BoundList) else _ones(later, rows)


def _ones(one: BoundOne, rows: Sequence[Row]) -> Program[list[Any]]:
    parents = [SimpleNamespace(**{name: row[at] for name, at in one.needs}) for row in rows]
    batch = one.edge.resolve(parents, one.call, **one.arguments)
    return (yield from _objects(one.objects, batch.values(())))


# -------------------------------------------------------------------- lists


def _lists(bound: BoundList, parents: Sequence[Row]) -> Program[list[Object]]:
    """The lists of a level: one read for the pages of all parents, and one for their counts if requested."""
    if not parents:
        return []
    at = bound.parent_at
    keys = [0 if at is None else parent[at] for parent in parents]
    unique = tuple(dict.fromkeys(keys))
    pages, totals = yield from _pages_and_totals(bound, unique)
    nodes = yield from _nodes(bound, pages)
    listed = {
        key: _listed(bound, page, [of_part[place] for of_part in nodes], totals[place] if totals else None)
        for place, (key, page) in enumerate(zip(unique, pages, strict=True))
    }
    return [listed[key] for key in keys]


def _pages_and_totals(bound: BoundList, keys: tuple[Any, ...]) -> Program[tuple[Sequence[Page[Row]], Sequence[int]]]:
    counts = bound.listing.count
    if bound.pages is None or not isinstance(counts, Counts):
        page = bound.listing.page
        rows = Page([row_of(record, bound.select) for record in page.rows], page.has_more)
        return [rows] * len(keys), [counts] * len(keys)  # type: ignore[list-item]
    asked: list[Any] = []
    if any(isinstance(part, (NodesPart, PageInfoPart)) for _, part, _ in bound.parts):
        asked.append(replace(bound.pages, parents=keys, select=bound.select))
    if any(isinstance(part, TotalPart) for _, part, _ in bound.parts):
        asked.append(replace(counts, parents=keys))
    answers = (yield [(bound.branch.scope, read) for read in asked]) if asked else ()
    by_read = {type(read): answer for read, answer in zip(asked, answers, strict=True)}
    pages = by_read.get(type(bound.pages)) or [_EMPTY] * len(keys)
    return pages, by_read.get(Counts) or ()


def _nodes(bound: BoundList, pages: Sequence[Page[Row]]) -> Program[list[list[list[Any]]]]:
    """The nodes of every page, for each part that contains them."""
    rows = [row for page in pages for row in page.rows]
    programs = [_filled(object_, rows) if object_ is not None else _nothing(rows) for _, _, object_ in bound.parts]
    nodes = yield from _together(programs)
    return [_cut_up(of_part, pages) for of_part in nodes]


def _nothing(rows: Sequence[Row]) -> Program[list[Any]]:
    yield from ()
    return [None] * len(rows)


def _cut_up(nodes: Sequence[Any], pages: Sequence[Page[Row]]) -> list[list[Any]]:
    each = iter(nodes)
    return [[next(each) for _ in page.rows] for page in pages]


def _listed(bound: BoundList, page: Page[Row], nodes: Sequence[list[Any]], total: int | None) -> Object:
    parts: Object = {}
    for (key, part, _), of_part in zip(bound.parts, nodes, strict=True):
        match part:
            case NodesPart(edge=None):
                parts[key] = of_part
            case NodesPart():
                parts[key] = [_edge(bound, part, row, node) for row, node in zip(page.rows, of_part, strict=True)]
            case PageInfoPart():
                parts[key] = _page_info(bound, part, page)
            case TotalPart():
                parts[key] = total
            case Literal():
                parts[key] = part.text
    return parts


def _edge(bound: BoundList, part: NodesPart, row: Row, node: Any) -> Object:
    edge: Object = {}
    for key, member in part.edge or ():
        match member:
            case Cursor():
                edge[key] = _cursor(bound, row)
            case Literal():
                edge[key] = member.text
            case None:
                edge[key] = node
    return edge


def _page_info(bound: BoundList, part: PageInfoPart, page: Page[Row]) -> Object:
    listing = replace(bound.listing, page=page)
    info: Object = {}
    for key, member in part.members:
        match member:
            case Literal():
                info[key] = member.text
            case "start_cursor" | "end_cursor":
                end = 0 if member == "start_cursor" else -1
                info[key] = _cursor(bound, page.rows[end]) if page.rows else None
            case _:
                info[key] = getattr(listing, member)
    return info


def _cursor(bound: BoundList, row: Row) -> str:
    return bound.listing.cursors.encode((row[bound.value_at], row[bound.id_at]))
