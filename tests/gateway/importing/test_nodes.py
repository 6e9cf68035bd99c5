"""What an import remembers of what leaks are connected to."""

from uuid import UUID, uuid5

import pytest

from gateway.importing.ids import leak_id, name_based_id, namespace_of, node_id
from gateway.importing.nodes import Nodes, Recent
from gateway.importing.records import ImportedConnections
from schema.records import Kind
from tests.gateway.importing.conftest import CORP, LABS

DATE, LATER = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"


@pytest.mark.parametrize("name", ["", "x", "resource\0domain\0api.example.com", "ü" * 1000])
def test_a_name_based_id_is_a_uuid_of_version_5(name: str) -> None:
    assert name_based_id(namespace_of(CORP.id), name.encode()) == str(uuid5(UUID(CORP.id), name))


def test_ids_differ_by_organization_kind_type_and_value() -> None:
    corp, labs = namespace_of(CORP.id), namespace_of(LABS.id)
    ids = {
        node_id(corp, Kind.RESOURCE, "domain", "x"),
        node_id(labs, Kind.RESOURCE, "domain", "x"),
        node_id(corp, Kind.RESOURCE, "apk", "x"),
        node_id(corp, Kind.RESOURCE, "domain", "y"),
        node_id(corp, Kind.USER, "domain", "x"),
        node_id(corp, Kind.ENDPOINT, "x"),
        leak_id(corp, None, "x", None),
        leak_id(corp, "", "x", None),
        leak_id(corp, None, "x", ""),
    }
    assert len(ids) == 9


def test_a_bounded_memory_forgets_what_was_not_used_for_long() -> None:
    recent: Recent[int, str] = Recent(100)
    for number in range(1000):
        recent[number] = str(number)
        assert recent.get(0) == "0"
    assert recent.get(1) is None
    assert recent.get(999) == "999"
    assert sum(recent.get(number) is not None for number in range(1000)) <= 100


def test_a_row_is_due_once_and_again_when_it_was_forgotten() -> None:
    nodes = Nodes(CORP, remembered=10)
    pairs = tuple((f"host{number}.example.com", "domain") for number in range(30))
    nodes.ids(ImportedConnections(resources=pairs[:1] * 2), 1)
    nodes.ids(ImportedConnections(resources=pairs[:1]), 1)
    assert len(nodes.take_unwritten()[Kind.RESOURCE]) == 1
    nodes.ids(ImportedConnections(resources=pairs), 1)
    assert len(nodes.take_unwritten()[Kind.RESOURCE]) == 29
    nodes.ids(ImportedConnections(resources=pairs[:1]), 1)
    assert len(nodes.take_unwritten()[Kind.RESOURCE]) == 1


def test_an_endpoint_is_due_again_with_a_newer_date_only() -> None:
    nodes = Nodes(CORP)
    due = []
    for date in (None, DATE, None, LATER, DATE, LATER):
        nodes.ids(ImportedConnections(endpoints=(("a.rar", date),)), 1)
        due.append([row[3] for row in nodes.take_unwritten()[Kind.ENDPOINT]])
    assert due == [[None], [DATE], [], [LATER], [], []]


def test_a_date_is_due_once_for_each_domain_and_again_when_it_is_newer() -> None:
    nodes = Nodes(CORP)
    due = []
    for date, domain in ((None, 1), (DATE, 1), (DATE, 2), (LATER, 1), (DATE, 1), (LATER, 2), (None, 2)):
        nodes.ids(ImportedConnections(endpoints=(("a.rar", date),)), domain)
        due.append([row[2:] for row in nodes.take_unwritten_dates()])
    assert due == [[], [(1, DATE)], [(2, DATE)], [(1, LATER)], [], [(2, LATER)], []]


def test_rows_come_in_the_order_of_their_keys() -> None:
    nodes = Nodes(CORP)
    nodes.ids(ImportedConnections(users=tuple((f"user{number}", "username") for number in range(50))), 1)
    ids = [row[1] for row in nodes.take_unwritten()[Kind.USER]]
    assert ids == sorted(ids)
