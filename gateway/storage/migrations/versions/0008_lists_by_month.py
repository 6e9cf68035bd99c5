"""Lists in the order of one date have an index for each month of the other, and each status in it.

The month is a column, for row-level security keeps PostgreSQL from asking an index by a function of a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MONTH = {
    "sqlite": "12 * CAST(substr({date}, 1, 4) AS integer) + CAST(substr({date}, 6, 2) AS integer)",
    "postgresql": "CASE WHEN isfinite({date}) THEN"
    " 12 * extract(year FROM {date} AT TIME ZONE 'UTC') + extract(month FROM {date} AT TIME ZONE 'UTC') ELSE 0 END",
}
DATES = {"added_at": "first_seen", "first_seen": "added_at"}
LISTED_BY = ("domain_number", "risk_level", "risk_level_name", "status", "first_seen", "added_at")
TABLES = {
    "leaks": ("organization_number", "id"),
    **dict.fromkeys(("leak_resources", "leak_users", "leak_endpoints"), ("organization_number", "node_id", "leak_id")),
}


def upgrade() -> None:
    """Apply this version."""
    for table, (*first, id_) in TABLES.items():
        _drop_indexes(table)
        _add_columns(table)
        for date, other in DATES.items():
            columns = dict.fromkeys((*first, f"{other}_month", "status", date, id_, *LISTED_BY))
            op.create_index(f"ix_{table}_{date}_by_month", table, [*columns])
        if op.get_bind().dialect.name == "postgresql":
            # Of a table that nobody has looked at yet, it guesses too much.
            op.execute(f"ANALYZE {table}")


def downgrade() -> None:
    """Take this version back."""
    for table in TABLES:
        _drop_indexes(table)
        for date in DATES:
            op.drop_column(table, f"{date}_month")


def _add_columns(table: str) -> None:
    dialect = op.get_bind().dialect.name
    columns = {f"{date}_month": MONTH[dialect].format(date=date) for date in DATES}
    if dialect == "sqlite":
        for column in columns:
            op.add_column(table, sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
        months: dict[str, sa.ColumnElement[int]] = {name: sa.literal_column(month) for name, month in columns.items()}
        op.execute(sa.update(sa.table(table, *map(sa.column, columns))).values(months))
        return
    # The table is written anew once; updated row by row, each row would be put into all indexes once more.
    added = (
        f"ADD COLUMN {name} INTEGER NOT NULL GENERATED ALWAYS AS ({month}) STORED" for name, month in columns.items()
    )
    op.execute(f"ALTER TABLE {table} {', '.join(added)}")
    op.execute(f"ALTER TABLE {table} {', '.join(f'ALTER COLUMN {name} DROP EXPRESSION' for name in columns)}")


def _drop_indexes(table: str) -> None:
    for date in DATES:
        # A database of before may have it by a function.
        op.drop_index(f"ix_{table}_{date}_by_month", table, if_exists=True)
