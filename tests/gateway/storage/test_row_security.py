"""What PostgreSQL holds the gateway to, should the gateway itself forget."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, TypeVar

import asyncpg
import orjson
import pytest
from sqlalchemy import make_url

from gateway.keys import parse
from gateway.storage.bounds import Bounds, KeyIds
from gateway.storage.budgets import spend
from gateway.storage.database import make_engine, open_engine
from gateway.storage.engine import Engine, OtherTables, Program, fetch
from gateway.storage.reads import SQLStore
from gateway.storage.roles import SERVING_ROLE
from gateway.storage.statements import Command
from gateway.storage.tables import links, metadata
from schema.batches import Request
from schema.execution.execute import Executor, Operation
from schema.execution.limits import Limits
from schema.records import Kind
from schema.scope import Scope
from tests.conftest import fresh_database
from tests.operations import CountingEngine, asking
from tests.records import (
    EXAMPLE_ID,
    HOST,
    MACHINE,
    OTHER_DOMAIN_LEAK_ID,
    OTHER_ORGANIZATION_LEAK_ID,
    PERSON,
    World,
    fill,
)

T = TypeVar("T")

OF_DOMAINS = ("leaks", "endpoint_dates", *(link.name for link in links.values()))
RECORDS = (*OF_DOMAINS, "resources", "users", "endpoints")


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A filled PostgreSQL database for tests that only read."""
    return asyncio.run(fill(fresh_database(request, tmp_path_factory.mktemp("filled"), "postgresql")))


@pytest.fixture
async def serving(filled: World) -> AsyncIterator[Engine]:
    """The database as the gateway has it open, over one connection."""
    engine = make_engine(filled.settings.database_url, pool_size=1, serving_role=SERVING_ROLE)
    await engine.open()
    yield engine
    await engine.close()


def scope(world: World, organization: str, *domains: str) -> Scope:
    numbers = {name: domain.number for (owner, name), domain in world.domains.items() if owner == organization}
    return Scope(world.organizations[organization].number, tuple(numbers[name] for name in domains or numbers))


async def select(engine: Engine, sql: str, bounds: Bounds = None) -> list[tuple[Any, ...]]:
    (rows,) = await engine.run(fetch(Command(sql, bounds=bounds)))
    return [tuple(row) for row in rows]


def database_of(url: str) -> str:
    return str(make_url(url).database)


# ------------------------------------------------------------------- bounds


async def test_without_bounds_no_row_of_anybody_is_seen(serving: Engine, filled: World) -> None:
    async with open_engine(filled.url) as administration:
        await spend(administration, parse(filled.keys["read"]) or "", 1, 1)
        for table in metadata.tables:
            assert await select(serving, f"SELECT * FROM {table}") == []
            assert await select(administration, f"SELECT * FROM {table}") != []


async def test_records_are_seen_of_the_bounds_organization_only(serving: Engine, filled: World) -> None:
    for name, organization in filled.organizations.items():
        bounds = scope(filled, name)
        for table in RECORDS:
            seen = await select(serving, f"SELECT DISTINCT organization_number FROM {table}", bounds)
            assert seen == [(organization.number,)]
        for table in set(metadata.tables) - set(RECORDS):
            assert await select(serving, f"SELECT * FROM {table}", bounds) == []


async def test_leaks_and_their_connections_are_seen_of_the_bounds_domains_only(serving: Engine, filled: World) -> None:
    bounds = scope(filled, "corp", "example.net")
    for table in OF_DOMAINS:
        seen = await select(serving, f"SELECT DISTINCT domain_number FROM {table}", bounds)
        assert seen == [(bounds.domains[0],)]
        assert await select(serving, f"SELECT * FROM {table}", replace(bounds, domains=())) == []


async def test_a_domain_is_no_way_into_another_organization(serving: Engine, filled: World) -> None:
    bounds = replace(scope(filled, "corp"), domains=scope(filled, "labs").domains)
    for table in OF_DOMAINS:
        assert await select(serving, f"SELECT * FROM {table}", bounds) == []


async def test_who_looks_a_key_up_sees_that_key_and_what_hangs_on_it(serving: Engine, filled: World) -> None:
    bounds = KeyIds((filled.key_ids["restricted"],))
    assert await select(serving, "SELECT id::text FROM keys", bounds) == [(filled.key_ids["restricted"],)]
    assert await select(serving, "SELECT name FROM organizations", bounds) == [("Example Corp",)]
    assert await select(serving, "SELECT DISTINCT organization_number FROM domains", bounds) == [
        (filled.organizations["corp"].number,)
    ]
    assert await select(serving, "SELECT domain_number FROM key_domains", bounds) == [
        (filled.domains["corp", "example.net"].number,)
    ]
    for table in RECORDS:
        assert await select(serving, f"SELECT * FROM {table}", bounds) == []


async def test_bounds_hold_for_the_statements_they_are_given_to(serving: Engine, filled: World) -> None:
    count = "SELECT count(*) FROM leaks"
    corp, labs = scope(filled, "corp"), scope(filled, "labs")
    one, other, none, again = await serving.run(
        fetch(Command(count, bounds=corp), Command(count, bounds=labs), Command(count), Command(count, bounds=corp))
    )
    assert one == again != other
    assert none[0][0] == 0 < other[0][0]


async def test_bounds_end_with_their_transaction_however_it_ends(serving: Engine, filled: World) -> None:
    bounds = scope(filled, "corp")
    leaks = "SELECT id FROM leaks"
    assert await select(serving, leaks, bounds) != []
    assert await select(serving, leaks) == []
    with pytest.raises(OtherTables):
        await select(serving, "SELECT * FROM nowhere", bounds)
    assert await select(serving, leaks) == []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(select(serving, "SELECT pg_sleep(60)", bounds), 0.1)
    assert await select(serving, leaks) == []
    async with serving.transaction() as transaction:
        await transaction.run(fetch(Command(leaks, bounds=bounds)))
    assert await select(serving, leaks) == []


async def test_a_connection_keeps_its_role_whatever_is_reset(serving: Engine) -> None:
    for statement in ("SELECT 1", "RESET ALL", "RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT"):
        await select(serving, statement)
        assert await select(serving, "SELECT current_user::text") == [(SERVING_ROLE,)]


async def test_nothing_but_a_uuid_is_rendered_as_the_id_of_a_key(serving: Engine) -> None:
    with pytest.raises(ValueError, match="UUID"):
        await select(serving, "SELECT 1", KeyIds(("'; RESET ROLE; --",)))


# ------------------------------------------------- without the scope's clause

_CLAUSE = re.compile(r"\w+\.(?:organization_number = (\$\d+::INTEGER)|domain_number = any\((\$\d+::INTEGER\[\])\))")


class Forgetful(CountingEngine):
    """An engine whose statements lost every condition on the organization and domains of the scope."""

    async def run(self, program: Program[T]) -> T:
        return await super().run(self._forgetting(program))

    def _forgetting(self, program: Program[T]) -> Program[T]:
        try:
            commands = next(program)
            while True:
                rows = yield [command._replace(sql=without_clause(command.sql)) for command in commands]
                commands = program.send(rows)
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome


def without_clause(sql: str) -> str:
    """The statement with conditions that are always true; the parameters stay where they are."""
    return _CLAUSE.sub(lambda found: f"{found[1] or found[2]} IS NOT NULL", sql)


NESTED = """resources { totalCount nodes { id resource } } users { totalCount nodes { id identity } }
            endpoints { totalCount nodes { id filename leaks { totalCount nodes { id login } } } }"""
OPERATIONS = [
    "{ leaks(first: 100) { totalCount nodes { id login } } }",
    f"{{ leaks(first: 20, orderBy: {{field: RISK_LEVEL}}) {{ edges {{ cursor node {{ id connections {{ {NESTED} }} }} }} }} }}",
    f'{{ leaks(filter: {{resource: "{HOST}"}}) {{ totalCount nodes {{ id login }} }} }}',
    f'{{ leaks(filter: {{identity: "{PERSON}", filename: "{MACHINE}"}}) {{ totalCount nodes {{ id }} }} }}',
    """{ organization { domains { nodes { name leaks { totalCount nodes { id connections { endpoints { nodes {
         filename leaks { totalCount } } } } } } } } } }""",
    f"""query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id ... on Leak {{ login connections {{ {NESTED} }} }}
        ... on Resource {{ leaks {{ totalCount }} }} ... on User {{ leaks {{ totalCount }} }} }} }}""",
]


KEYS = ("read", "restricted", "restricted to nothing")


async def answers(engine: Engine, world: World, *, planned: bool) -> dict[str, list[bytes]]:
    """What each key is answered to each operation."""
    executor, store = Executor(Limits(nodes=10**9, values=10**9), planned=planned), SQLStore(engine)
    ids = [
        EXAMPLE_ID,
        OTHER_DOMAIN_LEAK_ID,
        OTHER_ORGANIZATION_LEAK_ID,
        world.machine_id,
        world.host_id,
        world.person_id,
    ]
    ids += [world.node_id(Kind.ENDPOINT, MACHINE, organization="labs")]
    found: dict[str, list[bytes]] = {query: [] for query in OPERATIONS}
    async with asking(world, planned=planned) as asked:
        for query in OPERATIONS:
            for key in KEYS:
                request = Request(await asked.caller(key), store, b"plainly-fake")
                operation = Operation(query, {"ids": ids} if "$ids" in query else {})
                result = await executor.execute(operation, request)
                found[query].append(orjson.dumps([result.data, [str(error) for error in result.errors or ()]]))
    return found


@pytest.mark.parametrize("planned", [True, False])
async def test_without_the_scopes_clause_every_answer_is_the_same(
    serving: Engine, filled: World, planned: bool
) -> None:
    forgetful = Forgetful(serving)
    found = await answers(forgetful, filled, planned=planned)
    assert found == await answers(serving, filled, planned=planned)
    assert all(answer.endswith(b",[]]") for of_each_key in found.values() for answer in of_each_key)
    for command in forgetful.commands:
        assert "organization_number = $" not in command.sql
        assert "domain_number = any" not in command.sql


@pytest.mark.parametrize("planned", [True, False])
async def test_without_the_clause_and_row_level_security_every_operation_would_leak(
    serving: Engine, filled: World, planned: bool
) -> None:
    honest = await answers(serving, filled, planned=planned)
    async with open_engine(filled.url) as administration:
        leaking = await answers(Forgetful(administration), filled, planned=planned)
    assert [query for query in OPERATIONS if honest[query] == leaking[query]] == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO organizations (id, name) VALUES (gen_random_uuid(), 'Mine')",
        "UPDATE leaks SET status = 'resolved'",
        "UPDATE keys SET revoked_at = '-infinity'",
        "UPDATE keys SET last_used_at = now(), restricted = false",
        "DELETE FROM key_domains",
        "TRUNCATE leak_users",
        "UPDATE alembic_version SET version_num = '0001'",
        "ALTER TABLE leaks DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE leaks NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY bounds ON leaks",
        "CREATE POLICY mine ON leaks USING (true)",
        "CREATE TABLE mine (id int)",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SET LOCAL row_security = off; SELECT * FROM leaks",
    ],
)
async def test_the_role_that_serves_can_change_nothing(serving: Engine, filled: World, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await execute(serving, *(Command(part, bounds=scope(filled, "corp")) for part in statement.split("; ")))


async def execute(engine: Engine, *commands: Command) -> None:
    async with engine.transaction() as transaction:
        for command in commands:
            await transaction.run(fetch(command))
