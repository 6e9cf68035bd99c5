"""Links repeat all that a list of leaks can be filtered by, and every index of a list has it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LINKS = ("leak_resources", "leak_users", "leak_endpoints")
ADDED = ("risk_level_name", "status")
REPEAT = (
    "UPDATE {link} SET (risk_level_name, status) = (SELECT leaks.risk_level_name, leaks.status FROM leaks "
    "WHERE leaks.organization_number = {link}.organization_number AND leaks.id = {link}.leak_id)"
)
ORDERS = ("added_at", "first_seen", "risk_level")
LISTED_BY = ("domain_number", "risk_level", "risk_level_name", "status", "first_seen", "added_at")
ORGANIZATION = "organization_number"
BEFORE = {
    **{
        f"ix_{link}_{order}": (link, ORGANIZATION, "node_id", order, "leak_id", "domain_number")
        for link in LINKS
        for order in ORDERS
    },
    **{f"ix_leaks_{order}": ("leaks", ORGANIZATION, order, "id", "domain_number") for order in ORDERS},
    **{f"ix_leaks_domain_{order}": ("leaks", ORGANIZATION, "domain_number", order, "id") for order in ORDERS},
    "ix_leaks_login": ("leaks", ORGANIZATION, "login_folded", "id"),
}
AFTER = {
    **BEFORE,
    # A number is one domain's only, and with it in front no statistics can make another index look as good.
    **{f"ix_leaks_domain_{order}": ("leaks", "domain_number", order, "id", ORGANIZATION) for order in ORDERS},
    **{
        f"ix_{link}_status": (link, ORGANIZATION, "node_id", "status", "risk_level_name", "domain_number", "leak_id")
        for link in LINKS
    },
    "ix_leaks_status": ("leaks", ORGANIZATION, "status", "risk_level_name", "domain_number", "id"),
}


def upgrade() -> None:
    """Apply this version."""
    _drop(BEFORE)
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    for link in LINKS:
        for name in ADDED:
            op.add_column(link, sa.Column(name, text, nullable=False, server_default=""))
        op.execute(REPEAT.format(link=link))
    for name, (table, *columns) in AFTER.items():
        op.create_index(name, table, list(dict.fromkeys((*columns, *LISTED_BY))))


def downgrade() -> None:
    """Take this version back."""
    _drop(AFTER)
    for link in LINKS:
        for name in ADDED:
            op.drop_column(link, name)
    for name, (table, *columns) in BEFORE.items():
        op.create_index(name, table, columns)


def _drop(indexes: dict[str, tuple[str, ...]]) -> None:
    for name, (table, *_) in indexes.items():
        op.drop_index(name, table)
