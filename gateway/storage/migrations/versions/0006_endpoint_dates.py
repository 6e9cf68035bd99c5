"""The newest date that each domain's leaks gave an endpoint.

Of what is there already only the organization's newest date is known: every domain with a leak that is connected to an
endpoint starts with that, and keeps it until a leak of its own brings a newer one.
"""

import sqlalchemy as sa
from alembic import op

import gateway.storage.types

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# No date is stored as one before all others, which each engine writes in its own way.
_BACKFILL = """INSERT INTO endpoint_dates (organization_number, node_id, domain_number, date)
    SELECT DISTINCT link.organization_number, link.node_id, link.domain_number, endpoint.date
    FROM leak_endpoints AS link JOIN endpoints AS endpoint
        ON endpoint.organization_number = link.organization_number AND endpoint.id = link.node_id
    WHERE CAST(endpoint.date AS text) NOT IN ('', '-infinity')"""

_BOUNDS = """(organization_number, domain_number) IN (SELECT
    nullif(current_setting('leaks.organization', true), '')::integer,
    unnest(nullif(current_setting('leaks.domains', true), '')::integer[]))"""


def upgrade() -> None:
    """Apply this version."""
    op.create_table(
        "endpoint_dates",
        sa.Column("organization_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node_id", gateway.storage.types.Id(), nullable=False),
        sa.Column("domain_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("date", gateway.storage.types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_number", "node_id"],
            ["endpoints.organization_number", "endpoints.id"],
            name=op.f("fk_endpoint_dates_organization_number_node_id"),
        ),
        sa.PrimaryKeyConstraint("organization_number", "node_id", "domain_number", name=op.f("pk_endpoint_dates")),
        sqlite_with_rowid=False,
    )
    op.execute(_BACKFILL)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE POLICY bounds ON endpoint_dates USING ({_BOUNDS})")
        op.execute("CREATE POLICY administration ON endpoint_dates TO CURRENT_USER USING (true)")
        op.execute("ALTER TABLE endpoint_dates ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Take this version back."""
    op.drop_table("endpoint_dates")
