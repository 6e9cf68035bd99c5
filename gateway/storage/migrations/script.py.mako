"""${message}."""

import sqlalchemy as sa
from alembic import op

import gateway.storage.types

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this version."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take this version back."""
    ${downgrades if downgrades else "pass"}
