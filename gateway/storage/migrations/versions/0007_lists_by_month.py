"""Lists had indexes here by a function of their dates; the next version has them by columns."""

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this version."""


def downgrade() -> None:
    """Take this version back."""
