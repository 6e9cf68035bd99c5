"""Lists as they are published: a page for each parent, with its cursors and its count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schema.batches import Batch, Call, at_hand
from schema.pages import Cursors, Order, Page, PageRequest, page_of
from schema.records import Kind
from schema.store import Answer, Counts, Filter, Pages, Parents

EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Relay's four arguments, as they were given."""

    first: int | None
    after: str | None
    last: int | None
    before: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """One parent's page of a list, and what its cursors and its count are made from."""

    page: Page[Any]
    backward: bool
    bounded: bool
    order: Order
    cursors: Cursors
    count: Counts | int

    @property
    def nodes(self) -> Sequence[Any]:
        """The records of the page."""
        return self.page.rows

    @property
    def edges(self) -> "Sequence[ListingEdge]":
        """The records of the page, each with its cursor."""
        return [ListingEdge(self.cursor(row), row) for row in self.page.rows]

    @property
    def page_info(self) -> "Listing":
        """The listing itself: it has the fields of `PageInfo`."""
        return self

    @property
    def has_next_page(self) -> bool:
        """Whether the list goes on after the page; with `before` it does: the cursor's own row follows."""
        return self.bounded if self.backward else self.page.has_more

    @property
    def has_previous_page(self) -> bool:
        """Whether the list begins before the page; with `after` it does: the cursor's own row precedes it."""
        return self.page.has_more if self.backward else self.bounded

    @property
    def start_cursor(self) -> str | None:
        """The cursor of the first record, None on an empty page."""
        return self.cursor(self.page.rows[0]) if self.page.rows else None

    @property
    def end_cursor(self) -> str | None:
        """The cursor of the last record, None on an empty page."""
        return self.cursor(self.page.rows[-1]) if self.page.rows else None

    def cursor(self, row: Any) -> str:
        """The cursor of a record."""
        return self.cursors.encode((getattr(row, self.order.column), row.id))


@dataclass(frozen=True, slots=True, eq=False)
class ListingEdge:
    """A record with its cursor."""

    cursor: str
    node: Any


def list_pages(
    call: Call,
    wanted: Wanted,
    order: Order,
    kind: Kind,
    via: Kind | None,
    parents: Parents,
    wanted_filter: Filter = EVERYTHING,
) -> Batch:
    """The batch of a field that lists what the store holds: a page for each parent."""
    cursors, page = _page(call, wanted, order, wanted_filter)
    read = Pages(kind, via, parents, page, order, wanted_filter)
    bounded = (page.before if page.backward else page.after) is not None

    def listings(answers: Sequence[Answer]) -> Sequence[Listing]:
        return [
            Listing(found, page.backward, bounded, order, cursors, Counts(kind, via, (parent,), wanted_filter))
            for parent, found in zip(parents, answers[0], strict=True)
        ]

    return Batch((read,), listings)


def list_at_hand(call: Call, wanted: Wanted, order: Order, rows_of_parents: Sequence[Sequence[Any]]) -> Batch:
    """The batch of a field whose lists are known as a whole, without a read."""
    cursors, page = _page(call, wanted, order, EVERYTHING)
    bounded = (page.before if page.backward else page.after) is not None
    return at_hand(
        [
            Listing(page_of(rows, order, page), page.backward, bounded, order, cursors, len(rows))
            for rows in rows_of_parents
        ]
    )


def _page(call: Call, wanted: Wanted, order: Order, wanted_filter: Filter) -> tuple[Cursors, PageRequest]:
    scope = call.branch.scope
    name = (call.field_name, order, wanted_filter, call.caller.organization.id, scope.named)
    cursors = Cursors(call.request.cursor_secret, name)
    after, before = cursors.decode(wanted.after, "after"), cursors.decode(wanted.before, "before")
    return cursors, call.request.page_limits.request(wanted.first, after, wanted.last, before)


def total_counts(parents: Sequence[Listing], _call: Call) -> Batch:
    """How many records the whole list has, whatever the page; counted only where asked for."""
    counts = [parent.count for parent in parents]
    read = _joined([count for count in counts if isinstance(count, Counts)])
    if read is None:
        return at_hand(counts)
    return Batch((read,), lambda answers: answers[0])


def _joined(counts: Sequence[Counts]) -> Counts | None:
    """The counts of one list for several parents as one read."""
    if not counts:
        return None
    one = counts[0]
    return Counts(one.kind, one.via, tuple(count.parents[0] for count in counts), one.filter)
