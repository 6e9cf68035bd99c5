"""The month of a date is a column: under row-level security PostgreSQL asks no index by a function of a row."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MONTH = {
    "sqlite": "substr({date}, 1, 7)",
    "postgresql": "date_trunc('month', {date} AT TIME ZONE 'UTC')",
}
NUMBER = {
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
    dialect = op.get_bind().dialect.name
    for table in TABLES:
        _drop_indexes(table)
        _add_columns(table, dialect)
        _index(table, "{date}_month")
        if dialect == "postgresql":
            # Of a new column nothing is known before.
            op.execute(f"ANALYZE {table}")


def downgrade() -> None:
    """Take this version back."""
    for table in TABLES:
        _drop_indexes(table)
        for date in DATES:
            op.drop_column(table, f"{date}_month")
        _index(table, MONTH[op.get_bind().dialect.name])


def _add_columns(table: str, dialect: str) -> None:
    columns = {f"{date}_month": NUMBER[dialect].format(date=date) for date in DATES}
    if dialect == "sqlite":
        for column in columns:
            op.add_column(table, sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
        numbers: dict[str, sa.ColumnElement[int]] = {
            column: sa.literal_column(number) for column, number in columns.items()
        }
        op.execute(sa.update(sa.table(table, *map(sa.column, columns))).values(numbers))
        return
    # The table is written anew once; updated row by row, each row would be put into all indexes once more.
    added = (
        f"ADD COLUMN {column} INTEGER NOT NULL GENERATED ALWAYS AS ({columns[column]}) STORED" for column in columns
    )
    op.execute(f"ALTER TABLE {table} {', '.join(added)}")
    op.execute(f"ALTER TABLE {table} {', '.join(f'ALTER COLUMN {column} DROP EXPRESSION' for column in columns)}")


def _index(table: str, month: str) -> None:
    *first, id_ = TABLES[table]
    for date, other in DATES.items():
        names = dict.fromkeys(("status", date, id_, *LISTED_BY))
        op.create_index(f"ix_{table}_{date}_by_month", table, [*first, sa.text(month.format(date=other)), *names])


def _drop_indexes(table: str) -> None:
    for date in DATES:
        op.drop_index(f"ix_{table}_{date}_by_month", table)
