"""From a batch of records, and what is stored of them, to the changes that the batch makes."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.importing.content import NO_CONNECTIONS, connections_half, content_hash, halves, leak_half
from gateway.importing.ids import leak_id, namespace_of
from gateway.importing.nodes import Nodes
from gateway.importing.records import ImportedLeak
from gateway.storage.imports import Changes, Row
from gateway.storage.types import month_of
from schema.records import Domain, Kind, Organization


@dataclass(slots=True)
class Candidate:
    """A record that may change something.

    Attributes:
        id: The leak's id.
        content: The leak's half of the content hash.
        connections: The other half, or None where the record does not mention connections.
        connected_in: The domain of the record that named the connections, to which their dates belong.
        replaced: The earlier record of the same leak in the batch.
    """

    id: str
    domain: Domain
    record: ImportedLeak
    content: bytes
    connections: bytes | None
    connected_in: Domain
    replaced: "Candidate | None" = None

    @property
    def says(self) -> tuple[bytes, bytes | None]:
        """What the record says: both halves of its content hash."""
        return self.content, self.connections

    def follow(self, earlier: "Candidate") -> None:
        """Take the place of an earlier record: keep its status, and whatever else this one does not mention."""
        self.replaced = earlier
        self.record.status = earlier.record.status
        self.record.fingerprint = self.record.fingerprint or earlier.record.fingerprint
        if self.connections is None:
            self.connections = earlier.connections
            self.connected_in = earlier.connected_in
            self.record.connections = earlier.record.connections


@dataclass(slots=True)
class Counts:
    """How many records were new, changed something, or changed nothing."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0


def candidate(record: ImportedLeak, domain: Domain) -> Candidate:
    """A record as a candidate, in its domain."""
    id_ = record.id or leak_id(namespace_of(domain.id), record.url, record.login, record.fingerprint)
    connections = None if record.connections is None else connections_half(record.connections)
    return Candidate(id_, domain, record, leak_half(record, domain.id), connections, domain)


def last_of_each(candidates: Iterable[Candidate]) -> dict[str, Candidate]:
    """The last record of each leak, by id."""
    last: dict[str, Candidate] = {}
    for each in candidates:
        earlier = last.get(each.id)
        if earlier is not None:
            each.follow(earlier)
        last[each.id] = each
    return last


class Plan:
    """What a batch changes, and how many of its records do."""

    def __init__(self, organization: Organization, nodes: Nodes) -> None:
        self.changes = Changes()
        self.counts = Counts()
        self._organization = organization.number
        self._nodes = nodes

    def add(self, leak: Candidate, stored_hash: int | None) -> None:
        """Plan one leak, given the content hash that is stored of it, if any."""
        changed = True
        if stored_hash is None:
            self.counts.new += 1
            self._create(leak)
        elif self._update(leak, *halves(stored_hash)):
            self.counts.updated += 1
        else:
            self.counts.unchanged += 1
            changed = False
        self._count_replaced(leak, changed=changed)

    def finish(self) -> Changes:
        """All changes, with links sorted by the nodes that they lead to, as their indexes are."""
        self.changes.nodes = self._nodes.take_unwritten()
        self.changes.dates = self._nodes.take_unwritten_dates()
        for rows in self.changes.links.values():
            rows.sort(key=_node_id)
        return self.changes

    def _create(self, leak: Candidate) -> None:
        self._put(leak, leak.connections or NO_CONNECTIONS)
        self._link(leak)

    def _update(self, leak: Candidate, content: bytes, connections: bytes) -> bool:
        relinked = leak.connections not in {None, connections}
        if not relinked and leak.content == content:
            return False
        if relinked:
            self._put(leak, leak.connections or NO_CONNECTIONS)
            self.changes.unlinked.append(leak.id)
            self._link(leak)
        else:
            self._put(leak, connections)
            self._connect(leak)
            self.changes.restated.append((*_listed_by(leak), self._organization, leak.id))
        return True

    def _put(self, leak: Candidate, connections: bytes) -> None:
        record = leak.record
        self.changes.leaks.append(
            (
                self._organization,
                leak.id,
                leak.domain.number,
                record.risk_level,
                record.risk_level_name,
                record.status,
                record.url,
                record.login,
                record.login_folded,
                *_dates(record),
                record.fingerprint,
                content_hash(leak.content, connections),
            )
        )

    def _link(self, leak: Candidate) -> None:
        its_leak, listed_by = (self._organization, leak.id), _listed_by(leak)
        for kind, ids in self._connect(leak):
            self.changes.links[kind].extend([(*its_leak, id_, *listed_by, *its_leak) for id_ in ids])

    def _connect(self, leak: Candidate) -> Iterable[tuple[Kind, set[str]]]:
        """The ids of what a leak is connected to, by kind; new nodes and dates are noted to be written."""
        if leak.record.connections is None:
            return ()
        return self._nodes.ids(leak.record.connections, leak.connected_in.number)

    def _count_replaced(self, leak: Candidate, *, changed: bool) -> None:
        """Count the earlier records; their nodes and dates are written all the same, as if each had been by itself."""
        later = leak
        while (earlier := later.replaced) is not None:
            self._connect(earlier)
            if changed and earlier.says != later.says:
                self.counts.updated += 1
            else:
                self.counts.unchanged += 1
            later = earlier


def _listed_by(leak: Candidate) -> Row:
    record = leak.record
    return leak.domain.number, record.risk_level, *_dates(record), record.risk_level_name


def _dates(record: ImportedLeak) -> Row:
    dates = record.first_seen, record.added_at
    return *dates, *map(month_of, dates)


def _node_id(link: Row) -> str:
    id_: str = link[2]
    return id_
