"""What an import promises, on each engine."""

import asyncio
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from sqlalchemy import bindparam, text, update

from gateway.importing.importer import Progress, Summary, import_leaks
from gateway.storage.engine import DatabaseError, Engine, fetch
from gateway.storage.rows import write_rows
from gateway.storage.statements import Statement
from gateway.storage.tables import leaks
from schema.records import Organization
from schema.scope import canonical_uuid
from tests.gateway.importing.conftest import (
    ARCHIVED,
    CORP,
    EXAMPLE_COM,
    EXAMPLE_NET,
    LABS,
    LEAK_ID,
    SECRET,
    dump,
    line,
    numbered_lines,
    rows,
    take,
)

pytestmark = pytest.mark.usefixtures("corp")

LATE = 30
MACHINE = "[US]192.0.2.33.rar"
LINK_TABLES = ("leak_resources", "leak_users", "leak_endpoints")


def connections(*machines: tuple[str, str | None], resource: str = "api.example.com") -> dict[str, Any]:
    return {
        "resources": [{"resource": resource, "type": "domain"}],
        "endpoints": [{"filename": filename, "date": date} for filename, date in machines],
    }


async def set_status(engine: Engine, status: str) -> None:
    statement = Statement(update(leaks).values(status=bindparam("status")), engine.dialect)
    async with engine.transaction() as transaction:
        await transaction.run(fetch(statement.bind(status=status)))


# ------------------------------------------------------------------- one leak


async def test_a_record_is_stored_as_it_came(engine: Engine) -> None:
    assert await take(engine, line()) == Summary(new=1)
    (leak,) = await rows(engine, "leaks")
    assert (
        leak.items()
        >= {
            "organization_number": 1,
            "id": LEAK_ID,
            "domain_number": 1,
            "risk_level": 5,
            "risk_level_name": "medium",
            "status": "new",
            "url": "https://example.com/login",
            "login": "user@example.com",
            "login_folded": "user@example.com",
            "first_seen": "2025-12-05T00:00:00.000Z",
            "added_at": "2025-12-05T01:09:22.879Z",
            "first_seen_month": 2025 * 12 + 12,
            "added_at_month": 2025 * 12 + 12,
        }.items()
    )
    (resource,) = await rows(engine, "resources")
    (user,) = await rows(engine, "users")
    (endpoint,) = await rows(engine, "endpoints")
    assert (resource["resource"], resource["type"]) == ("api.example.com", "domain")
    assert (user["identity"], user["identity_type"]) == ("user@example.com", "email")
    assert (endpoint["filename"], endpoint["date"]) == (MACHINE, "2025-12-04T14:30:00.000Z")
    for table, node in zip(LINK_TABLES, (resource, user, endpoint), strict=True):
        assert await rows(engine, table) == [
            {
                "organization_number": 1,
                "leak_id": LEAK_ID,
                "node_id": node["id"],
                "domain_number": 1,
                "risk_level": 5,
                "first_seen": "2025-12-05T00:00:00.000Z",
                "added_at": "2025-12-05T01:09:22.879Z",
                "first_seen_month": 2025 * 12 + 12,
                "added_at_month": 2025 * 12 + 12,
                "risk_level_name": "medium",
                "status": "new",
            }
        ]


async def test_nothing_is_written_to_tables_of_another_version(engine: Engine) -> None:
    await write_rows(engine, text("UPDATE alembic_version SET version_num = '9999' RETURNING version_num"))
    with pytest.raises(DatabaseError, match="another version"):
        await take(engine, line())
    assert await rows(engine, "leaks") == []


async def test_no_password_is_stored(engine: Engine) -> None:
    await take(engine, line(password="not-a-password"), line(id=None, password="not-a-password"))
    assert "not-a-password" not in repr(await dump(engine))


async def test_what_is_not_dated_is_stored_without_a_date(engine: Engine) -> None:
    await take(engine, line(first_seen=None, added_at=None, url=None, connections=connections((MACHINE, None))))
    (leak,) = await rows(engine, "leaks")
    assert (leak["first_seen"], leak["added_at"], leak["url"]) == (None, None, None)
    assert [endpoint["date"] for endpoint in await rows(engine, "endpoints")] == [None]


async def test_a_login_is_found_in_any_case(engine: Engine) -> None:
    await take(engine, line(login="Straße@Example.COM"))
    (leak,) = await rows(engine, "leaks")
    assert (leak["login"], leak["login_folded"]) == ("Straße@Example.COM", "strasse@example.com")


# ------------------------------------------------------------------------ ids


async def test_an_id_is_derived_from_domain_url_login_and_password(engine: Engine) -> None:
    plain = line(id=None)
    others = [
        line(id=None, domain="example.net"),
        line(id=None, url="https://example.com/other"),
        line(id=None, url=None),
        line(id=None, login="other@example.com"),
        line(id=None, password="another-not-a-password"),
        line(id=None, password="***"),
    ]
    assert await take(engine, plain, *others) == Summary(new=7)
    assert await take(engine, line(id=None, risk_level=6, first_seen=None), organization=CORP) == Summary(updated=1)


async def test_ids_are_uuids_and_unique_over_all_types(engine: Engine) -> None:
    same = {
        "resources": [{"resource": "x", "type": "domain"}, {"resource": "x", "type": "apk"}],
        "users": [{"identity": "x", "identity_type": "username"}, {"identity": "x", "identity_type": "email"}],
        "endpoints": [{"filename": "x"}],
    }
    await take(engine, line(id=None, connections=same))
    found = await dump(engine)
    ids = [row["id"] for table in ("leaks", "resources", "users", "endpoints") for row in found[table]]
    assert len(ids) == len(set(ids)) == 6
    assert all(canonical_uuid(id_) == id_ for id_ in ids)


async def test_two_organizations_may_hold_the_same_id(engine: Engine) -> None:
    await take(engine, line())
    before = await dump(engine)
    assert await take(engine, line(risk_level=9), organization=LABS) == Summary(new=1)
    after = await dump(engine)
    for table, kept in before.items():
        assert [row for row in after[table] if row in kept] == kept
    nodes = [row["id"] for table in ("resources", "users", "endpoints") for row in after[table]]
    assert len(set(nodes)) == 6


# -------------------------------------------------------------------- domains


async def test_a_domain_may_be_named_by_its_id(engine: Engine) -> None:
    await take(engine, line(domain=None, domain_id=EXAMPLE_NET.upper()))
    assert [leak["domain_number"] for leak in await rows(engine, "leaks")] == [2]


async def test_an_archived_domain_still_takes_records(engine: Engine) -> None:
    assert await take(engine, line(domain="old.example.com")) == Summary(new=1)
    assert await take(engine, line(id=None, domain=None, domain_id=ARCHIVED)) == Summary(new=1)


async def test_an_unknown_domain_makes_a_bad_line_that_names_it(engine: Engine) -> None:
    told: list[tuple[int, str]] = []
    unknown_id = "bbbbbbbb-0000-4000-8000-000000000001"
    summary = await take(
        engine,
        line(domain="nowhere.example"),
        line(domain=None, domain_id=unknown_id),
        line(domain="example.net", domain_id=EXAMPLE_COM),
        line(),
        report_bad_line=lambda number, reason: told.append((number, reason)),
    )
    assert summary == Summary(new=1, bad=3)
    assert [number for number, _ in told] == [1, 2, 3]
    assert "nowhere.example" in told[0][1]
    assert unknown_id in told[1][1]
    assert "example.net" in told[2][1]


async def test_another_organizations_domain_is_unknown(engine: Engine) -> None:
    assert await take(engine, line(domain="example.net"), organization=LABS) == Summary(bad=1)
    assert await take(engine, line(domain=None, domain_id=EXAMPLE_NET), organization=LABS) == Summary(bad=1)


async def test_unknown_domains_are_added_where_that_is_wanted(engine: Engine) -> None:
    lines = [line(id=None, domain=name) for name in ("New.example", "new.example", "a\u0007b", "example.com")]
    assert await take(engine, *lines, create_domains=True) == Summary(new=2, unchanged=1, bad=1)
    names = [domain["name"] for domain in await rows(engine, "domains") if domain["organization_number"] == 1]
    assert sorted(names) == ["example.com", "example.net", "new.example", "old.example.com"]
    assert await take(engine, *lines, create_domains=True) == Summary(unchanged=3, bad=1)


async def test_a_domain_that_is_added_meanwhile_is_known(engine: Engine) -> None:
    def adding() -> Iterator[bytes]:
        yield line()
        yield line(id=None, domain="new.example")

    batches = iter(adding())
    assert await take(engine, next(batches), line(id=None, domain="new.example")) == Summary(new=1, bad=1)
    assert await take(engine, line(domain="new.example"), create_domains=True) == Summary(updated=1)
    assert await take(engine, next(batches)) == Summary(new=1)


# --------------------------------------------------------------------- again


async def test_the_same_file_twice_changes_nothing(engine: Engine) -> None:
    lines = [*numbered_lines(50), line(), line(id=None, connections=None)]
    assert await take(engine, *lines) == Summary(new=52)
    before = await dump(engine)
    assert await take(engine, *lines) == Summary(unchanged=52)
    assert await dump(engine) == before


@pytest.mark.parametrize(
    "change",
    [
        {"risk_level": 9},
        {"risk_level_name": "high"},
        {"url": None},
        {"login": "another@example.com"},
        {"first_seen": None},
        {"added_at": "2026-01-01T00:00:00.000Z"},
        {"password": "another-not-a-password"},
        {"domain": "example.net"},
        {"connections": {}},
        {"connections": connections((MACHINE, None))},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_record_seen_again_is_updated_as_if_it_had_come_alone(engine: Engine, change: dict[str, Any]) -> None:
    await take(engine, line())
    assert await take(engine, line(**change)) == Summary(updated=1)
    updated = await dump(engine)
    assert await take(engine, line(**change)) == Summary(unchanged=1)
    await take(engine, line(**change), organization=LABS, create_domains=True)
    alone = await dump(engine)
    for table in ("leaks", *LINK_TABLES):
        (corp_rows, labs_rows) = ([row for row in alone[table] if row["organization_number"] == n] for n in (1, 2))
        assert corp_rows == updated[table]
        own = {"organization_number", "node_id", "domain_number", "content_hash"}
        assert [{k: v for k, v in row.items() if k not in own} for row in corp_rows] == [
            {k: v for k, v in row.items() if k not in own} for row in labs_rows
        ]


async def test_a_record_seen_again_keeps_its_triage_status(engine: Engine) -> None:
    await take(engine, line(status="investigating"))
    await set_status(engine, "resolved")
    assert await take(engine, line(status="new")) == Summary(unchanged=1)
    assert await take(engine, line(status="new", risk_level=9)) == Summary(updated=1)
    (leak,) = await rows(engine, "leaks")
    assert (leak["status"], leak["risk_level"]) == ("resolved", 9)
    relinked = line(status="new", connections={"users": [{"identity": "other@example.com", "identity_type": "email"}]})
    assert await take(engine, relinked) == Summary(updated=1)
    assert [row["status"] for row in await rows(engine, "leak_users")] == ["resolved"]


@pytest.mark.parametrize("batch_size", [1, 100])
async def test_a_password_that_is_masked_by_now_leaves_the_fingerprint_that_was_known(
    engine: Engine, batch_size: int
) -> None:
    await take(engine, line())
    (known,) = await rows(engine, "leaks")
    assert known["fingerprint"] is not None
    others = [line(password="another-not-a-password"), line(password="***"), line(), line(password=None)]
    await take(engine, *others, batch_size=batch_size)
    (leak,) = await rows(engine, "leaks")
    assert leak["fingerprint"] == known["fingerprint"]
    assert await take(engine, line(password="***")) == Summary(unchanged=1)


async def test_a_leak_moves_to_the_domain_it_is_seen_in(engine: Engine) -> None:
    await take(engine, line())
    assert await take(engine, line(domain="example.net", connections=None)) == Summary(updated=1)
    assert [leak["domain_number"] for leak in await rows(engine, "leaks")] == [2]
    for table in LINK_TABLES:
        assert [link["domain_number"] for link in await rows(engine, table)] == [2]


async def test_connections_are_replaced_by_those_of_the_record(engine: Engine) -> None:
    await take(engine, line(connections=connections(("a.rar", None), ("b.rar", None))))
    await take(engine, line(connections=connections(("b.rar", None), ("c.rar", None), resource="mail.example.com")))
    names = {endpoint["id"]: endpoint["filename"] for endpoint in await rows(engine, "endpoints")}
    assert {names[link["node_id"]] for link in await rows(engine, "leak_endpoints")} == {"b.rar", "c.rar"}
    assert len(await rows(engine, "leak_resources")) == 1
    assert await rows(engine, "leak_users") == []


async def test_connections_stay_where_a_record_says_nothing_of_them(engine: Engine) -> None:
    await take(engine, line())
    before = {table: await rows(engine, table) for table in LINK_TABLES}
    assert await take(engine, line(connections=None)) == Summary(unchanged=1)
    assert await take(engine, line(connections=None, risk_level=9, first_seen=None)) == Summary(updated=1)
    for table in LINK_TABLES:
        restated = {"risk_level": 9, "risk_level_name": "high", "first_seen": None, "first_seen_month": 0}
        assert await rows(engine, table) == [row | restated for row in before[table]]
    assert await take(engine, line(risk_level=9, first_seen=None)) == Summary(unchanged=1)


async def test_the_order_of_connections_and_naming_one_twice_change_nothing(engine: Engine) -> None:
    machines = (("a.rar", None), ("b.rar", "2026-01-01T00:00:00.000Z"))
    await take(engine, line(connections=connections(*machines)))
    assert await take(engine, line(connections=connections(*reversed(machines), *machines))) == Summary(unchanged=1)


async def test_of_an_endpoints_dates_the_newest_stays_in_whatever_order_they_come(engine: Engine) -> None:
    dates = ["2026-03-01T00:00:00.000Z", None, "2026-05-01T00:00:00.000Z", "2026-04-01T00:00:00.000Z"]
    lines = [line(id=None, login=f"user{n}", connections=connections((MACHINE, d))) for n, d in enumerate(dates)]
    for order in (lines, lines[::-1]):
        await take(engine, *order, batch_size=2)
        assert [row["date"] for row in await rows(engine, "endpoints")] == ["2026-05-01T00:00:00.000Z"]
    for each in lines:
        assert await take(engine, each) == Summary(unchanged=1)
        assert [row["date"] for row in await rows(engine, "endpoints")] == ["2026-05-01T00:00:00.000Z"]


# ------------------------------------------------------- the dates of domains

MARCH, APRIL, MAY = (f"2026-0{month}-01T00:00:00.000Z" for month in (3, 4, 5))


async def dates_of_domains(engine: Engine) -> list[tuple[int, str]]:
    """The dates that the one machine has, by the number of a domain."""
    (endpoint,) = await rows(engine, "endpoints")
    found = await rows(engine, "endpoint_dates")
    assert {(row["organization_number"], row["node_id"]) for row in found} <= {(1, endpoint["id"])}
    return [(row["domain_number"], row["date"]) for row in found]


def dated(date: str | None, domain: str = "example.com") -> bytes:
    """The leak of a domain that gives the machine a date."""
    return line(id=None, domain=domain, login=f"{date}@example.com", connections=connections((MACHINE, date)))


@pytest.mark.parametrize("batch_size", [1, 2, 100])
async def test_of_the_dates_that_a_domains_leaks_give_an_endpoint_the_newest_stays(
    engine: Engine, batch_size: int
) -> None:
    lines = [dated(MARCH), dated(None), dated(APRIL, "example.net"), dated(MAY), dated(APRIL)]
    lines.append(dated(MARCH, "old.example.com"))
    for order in (lines, lines[::-1], lines[2:]):
        await take(engine, *order, batch_size=batch_size)
        assert await dates_of_domains(engine) == [(1, MAY), (2, APRIL), (3, MARCH)]
    await take(engine, dated(MARCH, "example.net"), dated(MAY, "old.example.com"))
    assert await dates_of_domains(engine) == [(1, MAY), (2, APRIL), (3, MAY)]
    assert [row["date"] for row in await rows(engine, "endpoints")] == [MAY]


async def test_an_endpoint_that_a_domains_leaks_give_no_date_has_none_there(engine: Engine) -> None:
    await take(engine, dated(None), dated(MAY, "example.net"))
    assert await dates_of_domains(engine) == [(2, MAY)]


async def test_a_record_seen_again_with_another_date_gives_it_where_it_lies(engine: Engine) -> None:
    for date, newest in ((APRIL, APRIL), (MARCH, APRIL), (MAY, MAY), (None, MAY)):
        await take(engine, line(connections=connections((MACHINE, date))))
        assert await dates_of_domains(engine) == [(1, newest)]


@pytest.mark.parametrize("batch_size", [1, 100])
async def test_a_leak_that_moves_gives_its_dates_there_where_it_names_its_connections(
    engine: Engine, batch_size: int
) -> None:
    named = {"connections": connections((MACHINE, MAY))}
    silent = line(domain="example.net", connections=None)
    await take(engine, line(**named), silent, batch_size=batch_size)
    assert await dates_of_domains(engine) == [(1, MAY)]
    for again in ([line(**named), silent], [line(**named), silent, line(domain="example.net", risk_level=9, **named)]):
        await take(engine, *again, batch_size=batch_size)
    assert await dates_of_domains(engine) == [(1, MAY), (2, MAY)]


# ---------------------------------------------------------- twice in a batch


@pytest.mark.parametrize("batch_size", [1, 2, 100])
async def test_of_a_leak_told_twice_the_last_line_stays(engine: Engine, batch_size: int) -> None:
    lines = [line(status="investigating", risk_level=1), line(status="resolved", risk_level=2), line(risk_level=2)]
    assert await take(engine, *lines, batch_size=batch_size) == Summary(new=1, updated=1, unchanged=1)
    (leak,) = await rows(engine, "leaks")
    assert (leak["risk_level"], leak["status"]) == (2, "investigating")


@pytest.mark.parametrize("batch_size", [1, 100])
async def test_a_second_line_without_connections_keeps_those_of_the_first(engine: Engine, batch_size: int) -> None:
    summary = await take(engine, line(), line(connections=None, risk_level=9), batch_size=batch_size)
    assert summary == Summary(new=1, updated=1)
    for table in LINK_TABLES:
        assert [link["risk_level"] for link in await rows(engine, table)] == [9]


async def test_two_lines_without_connections_make_a_leak_without(engine: Engine) -> None:
    assert await take(engine, *[line(connections=None)] * 2) == Summary(new=1, unchanged=1)
    assert await take(engine, line(connections={})) == Summary(unchanged=1)


async def test_a_leak_told_twice_ends_as_in_two_batches(engine: Engine) -> None:
    lines = [
        line(connections=connections((MACHINE, "2026-05-01T00:00:00.000Z"), ("gone.rar", None))),
        line(connections=connections((MACHINE, None))),
    ]
    await take(engine, *lines, batch_size=2)
    together = await dump(engine)
    await take(engine, *lines, batch_size=1)
    assert await dump(engine) == together
    assert await take(engine, *lines, batch_size=2) == Summary(unchanged=2)


# ------------------------------------------------------------------ bad lines


async def test_bad_lines_are_told_by_number_and_the_others_taken(engine: Engine) -> None:
    told: list[int] = []
    lines = [b"", line(), b"  ", b"nonsense", line(risk_level=77), line(id=None)]
    summary = await take(engine, *lines, batch_size=2, report_bad_line=lambda number, _: told.append(number))
    assert summary == Summary(new=2, bad=2)
    assert told == [4, 5]


async def test_a_strict_import_takes_the_batch_of_the_first_bad_line_back_and_stops(engine: Engine) -> None:
    good = numbered_lines(5)
    told: list[int] = []
    lines = [*good[:3], line(domain="nowhere.example"), b"nonsense", *good[3:]]
    summary = await take(
        engine, *lines, batch_size=2, strict=True, report_bad_line=lambda number, _: told.append(number)
    )
    assert summary == Summary(new=2, bad=1, stopped_at=4)
    assert told == [4]
    assert len(await rows(engine, "leaks")) == 2


async def test_a_strict_import_takes_back_the_domains_it_added(engine: Engine) -> None:
    before = await dump(engine)
    lines = [line(domain="new.example"), b"nonsense"]
    assert await take(engine, *lines, strict=True, create_domains=True) == Summary(bad=1, stopped_at=2)
    assert await dump(engine) == before


# -------------------------------------------------------------------- dry run


async def test_a_dry_run_writes_nothing_and_counts_the_same(engine: Engine) -> None:
    await take(engine, line(), line(id=None))
    lines = [line(), line(id=None, risk_level=9), line(id=None, domain="new.example"), b"nonsense", *numbered_lines(9)]
    for options in ({}, {"create_domains": True}, {"batch_size": 2, "create_domains": True}):
        before = await dump(engine)
        dry = await take(engine, *lines, dry_run=True, **options)
        assert await dump(engine) == before
        wet = await take(engine, *lines, **options)
        assert dry == wet


async def test_a_strict_dry_run_stops_where_a_real_one_would(engine: Engine) -> None:
    lines = [line(), b"nonsense"]
    assert await take(engine, *lines, strict=True, dry_run=True) == Summary(bad=1, stopped_at=2)


# ---------------------------------------------------------------- the way on


async def test_progress_is_told_after_each_batch(engine: Engine) -> None:
    told: list[Progress] = []
    await take(engine, *numbered_lines(5), b"nonsense", batch_size=4, report=told.append)
    assert told == [Progress(4, Summary(new=4)), Progress(6, Summary(new=5, bad=1))]


async def test_a_batch_of_long_lines_ends_early(engine: Engine) -> None:
    told: list[Progress] = []
    long = [line(id=None, login=f"user{number}", note="x" * 1_000_000) for number in range(20)]
    assert await take(engine, *long, report=told.append) == Summary(new=20)
    assert [progress.lines for progress in told] == [9, 18, 20]


async def test_an_empty_file_does_nothing(engine: Engine) -> None:
    assert await take(engine) == Summary()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
async def test_the_size_of_batches_makes_no_difference(engine: Engine, batch_size: int) -> None:
    await take(engine, *numbered_lines(30), batch_size=batch_size)
    await take(engine, *numbered_lines(30), organization=LABS)
    found = await dump(engine)
    for table in ("leaks", *LINK_TABLES, "resources", "users", "endpoints"):
        numbers = [row["organization_number"] for row in found[table]]
        assert numbers.count(1) == numbers.count(2)
    assert len(found["leaks"]) == 60


async def test_a_cancelled_import_leaves_whole_batches_and_goes_on_where_it_was(
    engine: Engine, corp: Organization
) -> None:
    lines = numbered_lines(50)

    def cancelling() -> Iterator[bytes]:
        yield from lines[:25]
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        yield from lines[25:]

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(import_leaks(engine, corp, cancelling(), secret=SECRET, batch_size=10))
    assert len(await rows(engine, "leaks")) == 20
    assert await take(engine, *lines, batch_size=10) == Summary(new=30, unchanged=20)


@pytest.mark.parametrize("milliseconds", range(10, 90, 8))
async def test_ctrl_c_while_a_batch_is_written_takes_it_back(
    engine: Engine, corp: Organization, milliseconds: int
) -> None:
    lines = numbered_lines(3000)
    importing = asyncio.create_task(import_leaks(engine, corp, lines, secret=SECRET, batch_size=1500))
    await asyncio.sleep(milliseconds / 1000)
    while not importing.done() and not importing.cancelling():
        importing.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(LATE):
            await importing
    assert len(await rows(engine, "leaks")) in {0, 1500}
    assert (await take(engine, *lines)).new in {3000, 1500}


async def test_two_imports_at_once_end_as_one_after_the_other(engine: Engine, corp: Organization) -> None:
    lines = numbered_lines(200)
    summaries = await asyncio.gather(
        *(import_leaks(engine, corp, lines, secret=SECRET, batch_size=20) for _ in range(3))
    )
    assert sum(summary.new for summary in summaries) == 200
    assert sum(summary.unchanged for summary in summaries) == 400


async def test_memory_does_not_grow_with_the_file(engine: Engine) -> None:
    lines = numbered_lines(300)

    async def peak(times: int) -> int:
        tracemalloc.start()
        many = chain.from_iterable(repeat(lines, times))
        await import_leaks(engine, CORP, many, secret=SECRET, batch_size=150)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    await peak(1)
    assert await peak(30) < 1.2 * await peak(3)
