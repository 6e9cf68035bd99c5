"""The roles in PostgreSQL: one that serves and owns nothing, and logins that administer.

`migrate` creates the serving role and grants its rights; a server refuses to start if the role could do more.
"""

import logging
from collections.abc import Iterable

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from gateway.storage.engine import DatabaseError, Engine, fetch
from gateway.storage.policies import BOUNDED, HAS_ITS_POLICIES, IS_FORCED, SHOWS_ITS_OWNER_ALL
from gateway.storage.statements import Command
from gateway.storage.tables import metadata

SERVING_ROLE = "leaks_gateway"

RIGHTS = {
    **dict.fromkeys((*metadata.tables, "alembic_version"), "SELECT"),
    "keys": "SELECT, UPDATE (last_used_at)",
    "budgets": "SELECT, INSERT, UPDATE",
}
"""All rights of the serving role, by table."""

_MIGRATE = "Run: python -m gateway migrate"

_MADE_BY_ANOTHER = {"23505", "42710"}
"""The role was created concurrently: unique_violation while this one waited for it, duplicate_object just before."""

# Some predefined roles can read or write every table, or the server's files; serving needs none of them. Before version
# 16, a role that may create roles can become a member of any.
_IS_MIGHTY = "(rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication OR starts_with(rolname, 'pg_'))"
# A superuser is a member of every role. The tables of the system catalogue count too: a superuser owns them.
_ABOVE_ROWS = f"EXISTS (SELECT FROM pg_roles WHERE {_IS_MIGHTY} AND pg_has_role({{}}, oid, 'MEMBER'))"
_OWNS = "EXISTS (SELECT FROM pg_class WHERE pg_has_role({}, relowner, 'MEMBER'))"
_TABLES = "ARRAY(SELECT relname::text FROM pg_class WHERE relname = ANY ($1) AND pg_table_is_visible(oid) AND {})"
# Whatever a role may do that it can become counts, whether it inherits that or not.
_WRITES_MORE = """EXISTS (SELECT FROM pg_roles AS mine WHERE pg_has_role(mine.oid, 'MEMBER') AND (
    has_table_privilege(mine.oid, pg_class.oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER') OR EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    AND relname <> 'budgets' AND (relname, attname) <> ('keys', 'last_used_at')
    AND has_column_privilege(mine.oid, attrelid, attnum, 'INSERT, UPDATE'))))"""
_SERVING = f"""SELECT current_user::text, session_user::text,
    {_ABOVE_ROWS.format("current_user")} OR {_OWNS.format("current_user")},
    {_ABOVE_ROWS.format("session_user")} OR {_OWNS.format("session_user")},
    {_TABLES.format(f"NOT {IS_FORCED}")}, {_TABLES.format(f"NOT {HAS_ITS_POLICIES}")}, {_TABLES.format(_WRITES_MORE)}"""
_ADMINISTERING = f"""SELECT current_user::text,
    {_TABLES.format("NOT pg_has_role(relowner, 'USAGE')")},
    {_TABLES.format(f"row_security_active(oid) AND NOT {SHOWS_ITS_OWNER_ALL}")}"""

logger = logging.getLogger(__name__)


def provide(connection: Connection, role: str) -> None:
    """Create the serving role if it does not exist, and grant exactly its rights.

    Raises:
        DatabaseError: it does not exist, and this login may not create it.
    """
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    if not connection.scalar(text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"), {"role": role}):
        _make(connection, quoted)
    schema = connection.dialect.identifier_preparer.quote_identifier(connection.scalar(text("SELECT current_schema()")))
    connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {quoted}"))
    for table, rights in RIGHTS.items():
        connection.execute(text(f"REVOKE ALL ON {table} FROM {quoted}"))
        connection.execute(text(f"GRANT {rights} ON {table} TO {quoted}"))


def _make(connection: Connection, quoted: str) -> None:
    """Create a role; roles belong to the cluster, so a migration of another database may create it concurrently."""
    try:
        with connection.begin_nested():
            connection.execute(text(f"CREATE ROLE {quoted} NOLOGIN"))
            # So that a login that administers can serve as well.
            connection.execute(text(f"GRANT {quoted} TO CURRENT_USER"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _MADE_BY_ANOTHER:
            return
        raise DatabaseError(
            f"The role {quoted} cannot be made by this login. As one that may, run in the database: "
            f"CREATE ROLE {quoted} NOLOGIN"
        ) from error


async def refuse_to_serve_with_more(engine: Engine) -> None:
    """Check that the serving role sees rows within bounds only, cannot change that, and writes no records.

    Raises:
        DatabaseError: it sees more, or could, or may write them.
    """
    ((row,),) = await engine.run(fetch(Command(_SERVING, (BOUNDED,))))
    role, login, is_above, login_is_above, unforced, altered, written = row
    if is_above:
        raise DatabaseError(
            f'The role "{role}" owns tables or may do what row-level security does not stop, so it may not serve. '
            f"Set LEAKS_SERVING_ROLE to one that does not. {_MIGRATE}"
        )
    if unforced:
        raise DatabaseError(f"Row-level security is not forced on: {_listed(unforced)}. {_MIGRATE}")
    if altered:
        raise DatabaseError(f"The policies are not those that migrate makes on: {_listed(altered)}. {_MIGRATE}")
    if written:
        raise DatabaseError(
            f'The role "{role}" may write more than serving needs, in: {_listed(written)}. {_MIGRATE}. '
            "Rights of PUBLIC, and of roles that it is a member of, have to be revoked by hand."
        )
    if login_is_above:
        logger.warning('The login "%s" may do more than serving takes; give serving a login of its own.', login)


async def refuse_to_administer_in_part(engine: Engine) -> None:
    """Check that this login sees every row: otherwise exports, lists and counts would be incomplete.

    Raises:
        DatabaseError: it does not own the tables, or their policies are for another owner.
    """
    ((row,),) = await engine.run(fetch(Command(_ADMINISTERING, (BOUNDED,))))
    login, foreign, hidden = row
    if foreign:
        raise DatabaseError(
            f'The login "{login}" does not own the tables, so it sees a part of them at most. '
            "Administer with the one that does."
        )
    if hidden:
        raise DatabaseError(
            f'The policies do not show every row to the login "{login}" on: {_listed(hidden)}. {_MIGRATE}'
        )


def _listed(tables: Iterable[str]) -> str:
    return ", ".join(sorted(tables))
