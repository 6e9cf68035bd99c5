"""Lists of leaks in the order of one date have an index for each month of the other, and each status in it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MONTH = {
    "sqlite": "substr({date}, 1, 7)",
    "postgresql": "date_trunc('month', {date} AT TIME ZONE 'UTC')",
}
DATES = {"added_at": "first_seen", "first_seen": "added_at"}
LISTED_BY = ("domain_number", "risk_level", "risk_level_name", "status", "first_seen", "added_at")
TABLES = {
    "leaks": ("organization_number", "id"),
    **dict.fromkeys(("leak_resources", "leak_users", "leak_endpoints"), ("organization_number", "node_id", "leak_id")),
}


def upgrade() -> None:
    """Apply this version."""
    dialect = op.get_bind().dialect.name
    month = MONTH[dialect]
    for table, (*first, id_) in TABLES.items():
        for date, other in DATES.items():
            behind = dict.fromkeys(("status", date, id_, *LISTED_BY))
            op.create_index(f"ix_{table}_{date}_by_month", table, [*first, sa.text(month.format(date=other)), *behind])
        if dialect == "postgresql":
            # Of what an index works out nothing is known before.
            op.execute(f"ANALYZE {table}")


def downgrade() -> None:
    """Take this version back."""
    for table in TABLES:
        for date in DATES:
            op.drop_index(f"ix_{table}_{date}_by_month", table)
