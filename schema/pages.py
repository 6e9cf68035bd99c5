"""Pages of a list: what is asked for, what comes back, and the opaque cursors between the two.

A cursor is a keyset cursor: it holds the sort key and the id of a row, never an offset, so that page 100,000 costs what
page 1 costs and a row inserted elsewhere moves nothing. It is authenticated (HMAC, RFC 2104) together with what it
belongs to (field, order, filter, scope), and refused anywhere else.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from schema.errors import BadUserInput, InvalidCursor

Row = TypeVar("Row")

Key = tuple[str | int | None, str]
"""A place in a list: the sort column's value, and the id where that ties."""

_TAG_BYTES = 12


@dataclass(frozen=True, slots=True)
class Order:
    """A total order: by a column, ties by id, both in one direction. No date counts as older than any date."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is wanted.

    Attributes:
        limit: The most rows to give; None gives the list whole.
        backward: Whether the rows nearest the end are meant (`last`) or those nearest the start (`first`).
        after: The rows behind this place only.
        before: The rows ahead of this place only.
    """

    limit: int | None
    backward: bool = False
    after: Key | None = None
    before: Key | None = None


class PageLimits(NamedTuple):
    """The most that a page may hold, and its size where the request gives none; None is unlimited."""

    default: int | None = 20
    maximum: int | None = 100

    def request(self, first: int | None, after: Key | None, last: int | None, before: Key | None) -> PageRequest:
        """The page that Relay's arguments ask for (GraphQL Cursor Connections, section 4).

        Raises:
            BadUserInput: both sizes at once, or one out of bounds.
        """
        if first is not None and last is not None:
            raise BadUserInput('Invalid page: both "first" and "last". Valid: one of them.')
        backward = last is not None
        size = last if backward else first
        if size is None:
            return PageRequest(self.default, backward, after, before)
        if size < 1 or (self.maximum is not None and size > self.maximum):
            raise BadUserInput(f"Invalid {'last' if backward else 'first'}: {size}. Valid: 1 to {self.maximum}.")
        return PageRequest(size, backward, after, before)


@dataclass(frozen=True, slots=True)
class Cursors:
    """Encodes and decodes the cursors of one list.

    Attributes:
        secret: The installation's key for cursors.
        list_name: Field, order, filter and scope of the list, by their `repr`. A cursor works for no other list.
    """

    secret: bytes
    list_name: tuple[Any, ...]

    def encode(self, key: Key) -> str:
        """The opaque cursor of a place in this list."""
        value, row_id = key
        payload = f"{_type_letter(value)}{row_id}{'' if value is None else value}".encode()
        return urlsafe_b64encode(self._tag(payload) + payload).rstrip(b"=").decode()

    def decode(self, cursor: str | None, argument: str) -> Key | None:
        """The place that a cursor of this list stands for; None for no cursor.

        Raises:
            InvalidCursor: it was forged, or belongs to another list.
        """
        if cursor is None:
            return None
        try:
            raw = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        except (Base64Error, ValueError):
            raise InvalidCursor(argument) from None
        tag, payload = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        canonical = urlsafe_b64encode(raw).rstrip(b"=").decode()
        if canonical != cursor or not hmac.compare_digest(tag, self._tag(payload)):
            raise InvalidCursor(argument)
        text = payload.decode()
        letter, row_id, value = text[0], text[1:37], text[37:]
        return (int(value) if letter == "i" else None if letter == "n" else value), row_id

    def _tag(self, payload: bytes) -> bytes:
        return hmac.digest(self.secret, repr(self.list_name).encode() + b"\x00" + payload, "sha256")[:_TAG_BYTES]


def _type_letter(value: str | int | None) -> str:
    return "n" if value is None else "i" if isinstance(value, int) else "s"


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A part of a list, in the list's order.

    Attributes:
        rows: At most as many as were asked for.
        has_more: Whether the list goes on beyond the rows, in the direction that was asked for.
    """

    rows: Sequence[Row]
    has_more: bool


def cut(rows: Sequence[Row], page: PageRequest) -> Page[Row]:
    """A page, from rows read in its own direction, one more than its limit if the list goes on."""
    has_more = page.limit is not None and len(rows) > page.limit
    kept = rows[: page.limit] if has_more else rows
    return Page(kept[::-1] if page.backward else kept, has_more)


def sort_key(order: Order, row: Any) -> tuple[Any, str]:
    """The sort key of a record in an order; a missing value sorts before any other."""
    return getattr(row, order.column) or "", row.id


def page_of(rows: Sequence[Any], order: Order, page: PageRequest) -> Page[Any]:
    """A page of a list that is given as a whole."""
    ascending = sorted(rows, key=lambda row: sort_key(order, row), reverse=order.descending)
    bounded = [row for row in ascending if _is_within(sort_key(order, row), order, page)]
    directed = bounded[::-1] if page.backward else bounded
    return cut(directed if page.limit is None else directed[: page.limit + 1], page)


def _is_within(place: Key, order: Order, page: PageRequest) -> bool:
    low, high = (page.before, page.after) if order.descending else (page.after, page.before)
    return (low is None or place > _comparable(low)) and (high is None or place < _comparable(high))


def _comparable(key: Key) -> tuple[Any, str]:
    return key[0] or "", key[1]
