"""Row-level security: rows are seen within the bounds of a transaction, and by whoever administers.

SQLite has no such thing.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A setting that was never set is null, one whose transaction is over is empty.
_ORGANIZATION = "nullif(current_setting('leaks.organization', true), '')::integer"
_DOMAINS = "unnest(nullif(current_setting('leaks.domains', true), '')::integer[])"
_KEYS = "= ANY (nullif(current_setting('leaks.keys', true), '')::uuid[])"

# What a policy reads of another table, it reads within that table's own policy.
BOUNDS = {
    **dict.fromkeys(
        ("leaks", "leak_resources", "leak_users", "leak_endpoints"),
        f"(organization_number, domain_number) IN (SELECT {_ORGANIZATION}, {_DOMAINS})",
    ),
    **dict.fromkeys(("resources", "users", "endpoints"), f"organization_number IN (SELECT {_ORGANIZATION})"),
    "keys": f"id {_KEYS}",
    "key_domains": f"key_id {_KEYS}",
    "budgets": f"key_id {_KEYS}",
    "organizations": "number IN (SELECT organization_number FROM keys)",
    "domains": "organization_number IN (SELECT organization_number FROM keys)",
}


def upgrade() -> None:
    """Apply this version."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, bounds in BOUNDS.items():
        op.execute(f"CREATE POLICY bounds ON {table} USING ({bounds})")
        op.execute(f"CREATE POLICY administration ON {table} TO CURRENT_USER USING (true)")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Take this version back."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in BOUNDS:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
        op.execute(f"DROP POLICY administration ON {table}")
        op.execute(f"DROP POLICY bounds ON {table}")
