"""Row-level security: PostgreSQL shows a table's owner all rows, and everybody those within the transaction's bounds.

`migrate` ensures that each table has exactly these policies, and opening a database checks that it still does.
PostgreSQL rewrites a policy's expression in its own form, which differs between versions. Therefore a policy's comment
records that form at its creation; a policy that was altered later differs from its comment.
"""

from typing import Final

from sqlalchemy import Connection, text

from gateway.storage.tables import metadata

BOUNDED: Final = tuple(metadata.tables)
"""The tables whose rows are visible within bounds only, for every role."""

# A setting is null if it was never set, and empty after the transaction that set it.
_ORGANIZATION = "nullif(current_setting('leaks.organization', true), '')::integer"
_DOMAINS = "unnest(nullif(current_setting('leaks.domains', true), '')::integer[])"
_KEYS = "= ANY (nullif(current_setting('leaks.keys', true), '')::uuid[])"

# When a policy reads another table, that table's own policy applies too.
_BOUNDS = {
    **dict.fromkeys(
        ("leaks", "leak_resources", "leak_users", "leak_endpoints", "endpoint_dates"),
        f"(organization_number, domain_number) IN (SELECT {_ORGANIZATION}, {_DOMAINS})",
    ),
    **dict.fromkeys(("resources", "users", "endpoints"), f"organization_number IN (SELECT {_ORGANIZATION})"),
    "keys": f"id {_KEYS}",
    "key_domains": f"key_id {_KEYS}",
    "budgets": f"key_id {_KEYS}",
    "organizations": "number IN (SELECT organization_number FROM keys)",
    "domains": "organization_number IN (SELECT organization_number FROM keys)",
}

_EXPRESSION = "pg_get_expr(polqual, polrelid)"
_IS_PLAIN = "polpermissive AND polcmd = '*' AND polwithcheck IS NULL"
_ADMINISTERS = (
    f"(polname = 'administration' AND polroles = ARRAY[relowner] AND {_EXPRESSION} = 'true' AND {_IS_PLAIN}) IS TRUE"
)
_BOUNDS_ALL = (
    "(polname = 'bounds' AND polroles = ARRAY[0::oid] "
    f"AND {_EXPRESSION} = obj_description(pg_policy.oid, 'pg_policy') AND {_IS_PLAIN}) IS TRUE"
)
_OF_THE_TABLE = "FROM pg_policy WHERE polrelid = pg_class.oid"

IS_FORCED: Final = "(relrowsecurity AND relforcerowsecurity)"
"""Whether row-level security applies to every role on a table of `pg_class`, including its owner."""

HAS_ITS_POLICIES: Final = f"(SELECT count(*) = 2 AND bool_and({_ADMINISTERS} OR {_BOUNDS_ALL}) {_OF_THE_TABLE})"
"""Whether a table of `pg_class` has exactly the policies that `migrate` creates."""

SHOWS_ITS_OWNER_ALL: Final = f"(SELECT bool_or({_ADMINISTERS}) AND bool_and(polpermissive) {_OF_THE_TABLE}) IS TRUE"
"""Whether the policies of a table of `pg_class` hide no row from its owner."""

_IS_OURS = "relname = ANY (CAST(:tables AS text[])) AND pg_table_is_visible(pg_class.oid)"
_OTHERS = f"""SELECT relname, relowner::regrole::text, ARRAY(SELECT quote_ident(polname) {_OF_THE_TABLE})
    FROM pg_class WHERE {_IS_OURS}
    AND NOT ({IS_FORCED} AND {HAS_ITS_POLICIES}) ORDER BY relname"""  # noqa: S608 - names of ours
_COMMENT = f"""SELECT format('COMMENT ON POLICY bounds ON %I IS %L', CAST(:table AS text), {_EXPRESSION})
    FROM pg_policy WHERE polrelid = to_regclass(:table) AND polname = 'bounds'"""  # noqa: S608 - names of ours
_FORMER_OWNERS = f"""SELECT relname, relowner::regrole::text FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
    WHERE {_IS_OURS} AND polname = 'administration' AND polroles <> ARRAY[relowner]
    ORDER BY relname"""  # noqa: S608 - names of ours


def hand_over(connection: Connection) -> None:
    """Let the current owner of each table see all its rows, which a migration must do to change them.

    A policy stays with the former owner when the owner of a table changes.
    """
    for table, owner in connection.execute(text(_FORMER_OWNERS), {"tables": BOUNDED}).all():
        connection.exec_driver_sql(f"ALTER POLICY administration ON {table} TO {owner}")


def make_policies(connection: Connection) -> None:
    """Create the policies of each table and remove any others.

    A table that has them already is left alone, because recreating them would block its readers.
    """
    for table, owner, policies in connection.execute(text(_OTHERS), {"tables": BOUNDED}).all():
        for policy in policies:
            connection.exec_driver_sql(f"DROP POLICY {policy} ON {table}")
        connection.exec_driver_sql(f"CREATE POLICY administration ON {table} TO {owner} USING (true)")
        connection.exec_driver_sql(f"CREATE POLICY bounds ON {table} USING ({_BOUNDS[table]})")
        connection.exec_driver_sql(str(connection.scalar(text(_COMMENT), {"table": table})))
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
