"""Made-up leaks are believable, plainly nobody's, and the same each time."""

import re
from collections import Counter
from datetime import timedelta
from itertools import islice
from typing import Any

import orjson
import pytest

from gateway.importing.demo import DAYS, ORGANIZATIONS, REFERENCE, demo_leaks, demo_lines
from gateway.importing.importer import Summary
from gateway.importing.records import parse_record
from gateway.storage.engine import Engine
from schema.records import Organization
from tests.gateway.importing.conftest import take

COUNT = 6000
NAMES = re.compile(r"([a-z0-9-]+\.)*(example\.(com|net|org)|example)")
ADDRESSES = re.compile(r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}")


@pytest.fixture(scope="module")
def leaks() -> list[dict[str, Any]]:
    return list(demo_leaks(ORGANIZATIONS[0], COUNT))


def connected(leaks: list[dict[str, Any]], kind: str, name: str) -> Counter[str]:
    return Counter(entry[name] for leak in leaks for entry in leak["connections"][kind])


def test_the_same_seed_makes_the_same_leaks() -> None:
    first, again = (list(demo_lines(ORGANIZATIONS[1], 50, seed=7)) for _ in range(2))
    assert first == again
    assert first != list(demo_lines(ORGANIZATIONS[1], 50, seed=8))


def test_leaks_are_made_as_they_are_taken() -> None:
    assert len(list(islice(demo_lines(ORGANIZATIONS[0], 10**9), 3))) == 3


def test_every_leak_can_be_imported(leaks: list[dict[str, Any]]) -> None:
    for leak in leaks:
        assert parse_record(orjson.dumps(leak), lambda _: None).connections is not None
    assert len({leak["id"] for leak in leaks}) == COUNT


def test_every_name_and_address_is_set_aside_for_documentation(leaks: list[dict[str, Any]]) -> None:
    for leak in leaks:
        assert NAMES.fullmatch(leak["domain"])
        for entry in leak["connections"]["resources"]:
            if entry["type"] == "ip":
                assert ADDRESSES.fullmatch(entry["resource"])
            elif entry["type"] == "domain":
                assert NAMES.fullmatch(entry["resource"])
            else:
                assert entry["resource"].startswith("com.example.")
        for entry in leak["connections"]["users"]:
            if entry["identity_type"] == "email":
                assert NAMES.fullmatch(entry["identity"].partition("@")[2])
        for entry in leak["connections"]["endpoints"]:
            assert re.fullmatch(rf"\[[A-Z]{{2}}\]{ADDRESSES.pattern}(_\d+)?\.rar", entry["filename"])


def test_machines_users_and_resources_are_shared(leaks: list[dict[str, Any]]) -> None:
    for kind, name, least, most in (("endpoints", "filename", 10, 20), ("users", "identity", 2, 4)):
        counts = connected(leaks, kind, name)
        assert least < counts.total() / len(counts) < most
    machines = connected(leaks, "endpoints", "filename")
    assert machines.most_common(1)[0][1] > 10 * machines.total() / len(machines)
    assert connected(leaks, "resources", "resource").most_common(1)[0][1] > COUNT / 50


def test_each_leak_has_a_few_connections(leaks: list[dict[str, Any]]) -> None:
    sizes = {kind: {len(leak["connections"][kind]) for leak in leaks} for kind in leaks[0]["connections"]}
    assert sizes == {"resources": {1, 2, 3}, "users": {1, 2}, "endpoints": {0, 1, 2}}


def test_dates_lie_before_the_made_up_present(leaks: list[dict[str, Any]]) -> None:
    latest = REFERENCE.isoformat()
    earliest = (REFERENCE - timedelta(days=DAYS + 1)).isoformat()
    dates = [leak[name] for leak in leaks for name in ("first_seen", "added_at")]
    assert all(earliest < date < latest for date in dates if date is not None)
    assert 0 < dates.count(None) < COUNT / 10
    assert all(leak["first_seen"] <= leak["added_at"] for leak in leaks if leak["first_seen"] and leak["added_at"])


def test_every_risk_status_and_domain_occurs(leaks: list[dict[str, Any]]) -> None:
    assert {leak["risk_level"] for leak in leaks} == set(range(11))
    assert {leak["status"] for leak in leaks} == {"new", "investigating", "resolved", "false_positive"}
    assert {leak["domain"] for leak in leaks} == {*ORGANIZATIONS[0].domains, *ORGANIZATIONS[0].archived_domains}
    assert {leak["url"] is None for leak in leaks} == {True, False}


@pytest.mark.parametrize(("kind", "name"), [("endpoints", "filename"), ("users", "identity")])
def test_names_occur_in_both_organizations(leaks: list[dict[str, Any]], kind: str, name: str) -> None:
    others = list(demo_leaks(ORGANIZATIONS[1], 1000))
    assert connected(leaks, kind, name).keys() & connected(others, kind, name).keys()


def test_some_resources_occur_in_both_organizations(leaks: list[dict[str, Any]]) -> None:
    others = list(demo_leaks(ORGANIZATIONS[1], 1000))
    shared = connected(leaks, "resources", "resource").keys() & connected(others, "resources", "resource").keys()
    assert any(ADDRESSES.fullmatch(name) for name in shared)


async def test_demo_leaks_are_imported_whole(engine: Engine, corp: Organization) -> None:
    lines = list(demo_lines(ORGANIZATIONS[0], 200))
    assert await take(engine, *lines, organization=corp, create_domains=True) == Summary(new=200)
    assert await take(engine, *lines, organization=corp, dry_run=True) == Summary(unchanged=200)
