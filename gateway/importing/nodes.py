"""The resources, users and endpoints of an import: their ids, and the rows that are not yet written."""

from typing import Generic, TypeVar

from gateway.importing.ids import namespace_of, node_id
from gateway.importing.records import ImportedConnections
from gateway.storage.imports import Row
from schema.records import CONNECTED, Kind, Organization

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 20_000
"""The most nodes of a kind that are remembered; the half of them that was used last always is."""


class Recent(Generic[K, V]):
    """A cheap, approximate LRU cache: two generations of dictionaries, of which the older is dropped as a whole."""

    def __init__(self, limit: int) -> None:
        self._limit = limit // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value of a key, or None if it was forgotten."""
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self[key] = value
        return value

    def __setitem__(self, key: K, value: V) -> None:
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, {}
        self._young[key] = value


class Nodes:
    """The nodes of one organization, over a whole import.

    A node that is remembered has been written by this import already, so its row is not written again.
    """

    def __init__(self, organization: Organization, remembered: int = REMEMBERED) -> None:
        self._number = organization.number
        self._namespace = namespace_of(organization.id)
        self._pairs: dict[Kind, Recent[tuple[str, str], str]] = {
            kind: Recent(remembered) for kind in (Kind.RESOURCE, Kind.USER)
        }
        self._endpoints: Recent[str, tuple[str, str]] = Recent(remembered)
        self._dates: Recent[tuple[str, int], str] = Recent(remembered)
        self._unwritten: dict[Kind, list[Row]] = {kind: [] for kind in CONNECTED}
        self._unwritten_dates: list[Row] = []

    def take_unwritten(self) -> dict[Kind, list[Row]]:
        """Hand over the rows to write, in the order of their keys."""
        taken = {kind: sorted(rows, key=_id) for kind, rows in self._unwritten.items()}
        self._unwritten = {kind: [] for kind in CONNECTED}
        return taken

    def take_unwritten_dates(self) -> list[Row]:
        """Hand over the dates to write, in the order of their keys."""
        taken = sorted(self._unwritten_dates)
        self._unwritten_dates = []
        return taken

    def ids(self, connections: ImportedConnections, domain_number: int) -> tuple[tuple[Kind, set[str]], ...]:
        """The ids of what a record of a domain is connected to, by kind; new rows are noted to be written."""
        return (
            (Kind.RESOURCE, {self._pair(Kind.RESOURCE, pair) for pair in connections.resources}),
            (Kind.USER, {self._pair(Kind.USER, pair) for pair in connections.users}),
            (Kind.ENDPOINT, {self._endpoint(*endpoint, domain_number) for endpoint in connections.endpoints}),
        )

    def _pair(self, kind: Kind, pair: tuple[str, str]) -> str:
        known = self._pairs[kind].get(pair)
        if known is not None:
            return known
        id_ = self._pairs[kind][pair] = node_id(self._namespace, kind, pair[1], pair[0])
        self._unwritten[kind].append((self._number, id_, *pair))
        return id_

    def _endpoint(self, filename: str, date: str | None, domain_number: int) -> str:
        id_ = self._endpoint_id(filename, date)
        if date is not None and date > (self._dates.get((id_, domain_number)) or ""):
            self._dates[id_, domain_number] = date
            self._unwritten_dates.append((self._number, id_, domain_number, date))
        return id_

    def _endpoint_id(self, filename: str, date: str | None) -> str:
        known = self._endpoints.get(filename)
        newest = date or ""
        if known is not None and newest <= known[1]:
            return known[0]
        id_ = known[0] if known is not None else node_id(self._namespace, Kind.ENDPOINT, filename)
        self._endpoints[filename] = id_, newest
        self._unwritten[Kind.ENDPOINT].append((self._number, id_, filename, date))
        return id_


def _id(row: Row) -> str:
    id_: str = row[1]
    return id_
