"""When a key was last used."""

import sqlalchemy as sa
from alembic import op

import gateway.storage.types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEVER = {"sqlite": "''", "postgresql": "'-infinity'"}


def upgrade() -> None:
    """Apply this version."""
    # The default is for the keys that are there already: of them nobody knows.
    never = sa.text(NEVER[op.get_bind().dialect.name])
    op.add_column(
        "keys", sa.Column("last_used_at", gateway.storage.types.Instant(), nullable=False, server_default=never)
    )


def downgrade() -> None:
    """Take this version back."""
    op.drop_column("keys", "last_used_at")
