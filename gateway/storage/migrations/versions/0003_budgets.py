"""What keys have spent."""

import sqlalchemy as sa
from alembic import op

import gateway.storage.types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this version."""
    op.create_table(
        "budgets",
        sa.Column("key_id", gateway.storage.types.Id(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_budgets_key_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_budgets")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Take this version back."""
    op.drop_table("budgets")
