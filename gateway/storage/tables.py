"""The tables: the one truth of columns, keys and indexes.

Keys begin with the organization: its rows lie together, and two organizations may hold the same id without either
learning of the other's. Organizations and domains have small internal numbers, since these are part of every index.
What leaks are listed by is repeated in the tables of their links, so that the leaks of a shared machine, however many,
are read in order from one index.
"""

from collections.abc import Sequence
from typing import Final

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)

from gateway.storage.types import Id, Instant
from schema.records import CONNECTED, Kind, LeakStatus, RiskLevelName

LISTED_BY = ("domain_number", "risk_level", "risk_level_name", "status", "first_seen", "added_at")
"""What lists of leaks are ordered, filtered and scoped by; every index of a list covers it."""

OTHER_DATE: Final = {"first_seen": "added_at", "added_at": "first_seen"}
"""The other date of a leak, which mostly rises with this one."""

MONTH: Final = {date: f"{date}_month" for date in OTHER_DATE}
"""The column with the month that each date lies in (see `month_of`)."""

REPEATED: Final = (*LISTED_BY, *MONTH.values())
"""What every link repeats of its leak."""

EVERY_VALUE: Final[dict[str, ColumnElement[str]]] = {
    column: literal_column(f"'{orjson.dumps(list(values)).decode()}'", Text())
    for column, values in (("status", LeakStatus), ("risk_level_name", RiskLevelName))
}
"""All values of the columns that come first in an index that is searched by a later one, as JSON lists."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _text(name: str) -> Column[str]:
    # The C collation orders by code point, as SQLite does, whatever the database's locale.
    return Column(name, Text().with_variant(Text(collation="C"), "postgresql"), nullable=False)


def _instant(name: str) -> Column[str]:
    return Column(name, Instant(), nullable=False)


def _organization_number(*, primary_key: bool = True) -> Column[int]:
    # Part of a key that is never drawn from a sequence.
    return Column("organization_number", Integer, primary_key=primary_key, autoincrement=False, nullable=False)


def _list_index(name: str, *first: str) -> Index:
    """An index that begins with some columns and covers all that a list of leaks is read by."""
    others = ("organization_number", *LISTED_BY)
    return Index(name, *dict.fromkeys((*first, *others)))


def _indexes_by_month(table: str, first: Sequence[str], id_: str) -> list[Index]:
    """For each date, an index in its order within each month of the other date and each status."""
    return [
        _list_index(f"ix_{table}_{date}_by_month", *first, MONTH[other], "status", date, id_)
        for date, other in OTHER_DATE.items()
    ]


def _months() -> list[Column[int]]:
    return [Column(month, Integer, nullable=False) for month in MONTH.values()]


organizations = Table(
    "organizations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Id(), nullable=False, unique=True),
    _text("name"),
    UniqueConstraint("name"),
)

domains = Table(
    "domains",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("organization_number", ForeignKey("organizations.number"), nullable=False),
    Column("id", Id(), nullable=False),
    _text("name"),
    _instant("archived_at"),
    UniqueConstraint("organization_number", "id"),
    UniqueConstraint("organization_number", "name"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("organization_number", ForeignKey("organizations.number"), nullable=False),
    _text("name"),
    _text("hash"),
    _text("scopes"),
    Column("restricted", Boolean, nullable=False),
    _instant("created_at"),
    _instant("expires_at"),
    _instant("revoked_at"),
    _instant("last_used_at"),
    Index("ix_keys_organization", "organization_number"),
)

key_domains = Table(
    "key_domains",
    metadata,
    Column("key_id", ForeignKey("keys.id"), primary_key=True),
    Column("domain_number", ForeignKey("domains.number"), primary_key=True),
    sqlite_with_rowid=False,
)

budgets = Table(
    "budgets",
    metadata,
    Column("key_id", ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("level", Double, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What a key has spent: the level of its bucket in minutes to drain, at a time in milliseconds since 1970."""

leaks = Table(
    "leaks",
    metadata,
    _organization_number(),
    Column("id", Id(), primary_key=True),
    Column("domain_number", ForeignKey("domains.number"), nullable=False),
    Column("risk_level", SmallInteger, nullable=False),
    _text("risk_level_name"),
    _text("status"),
    Column("url", Text().with_variant(Text(collation="C"), "postgresql")),
    _text("login"),
    _text("login_folded"),
    _instant("first_seen"),
    _instant("added_at"),
    *_months(),
    Column("fingerprint", Text),
    Column("content_hash", BigInteger, nullable=False),
    CheckConstraint("risk_level BETWEEN 0 AND 10", name="risk_level"),
    *(
        index
        for column in ("added_at", "first_seen", "risk_level")
        for index in (
            _list_index(f"ix_leaks_{column}", "organization_number", column, "id"),
            _list_index(f"ix_leaks_domain_{column}", "domain_number", column, "id"),
        )
    ),
    _list_index("ix_leaks_status", "organization_number", "status", "risk_level_name", "domain_number", "id"),
    _list_index("ix_leaks_login", "organization_number", "login_folded", "id"),
    *_indexes_by_month("leaks", ["organization_number"], "id"),
    sqlite_with_rowid=False,
)

nodes = {
    Kind.RESOURCE: Table(
        "resources",
        metadata,
        _organization_number(),
        Column("id", Id(), primary_key=True),
        _text("resource"),
        _text("type"),
        UniqueConstraint("organization_number", "resource", "type"),
        sqlite_with_rowid=False,
    ),
    Kind.USER: Table(
        "users",
        metadata,
        _organization_number(),
        Column("id", Id(), primary_key=True),
        _text("identity"),
        _text("identity_type"),
        UniqueConstraint("organization_number", "identity", "identity_type"),
        sqlite_with_rowid=False,
    ),
    Kind.ENDPOINT: Table(
        "endpoints",
        metadata,
        _organization_number(),
        Column("id", Id(), primary_key=True),
        _text("filename"),
        _instant("date"),
        UniqueConstraint("organization_number", "filename"),
        sqlite_with_rowid=False,
    ),
}
"""What leaks are connected to, a table a kind."""


endpoint_dates = Table(
    "endpoint_dates",
    metadata,
    _organization_number(),
    Column("node_id", Id(), primary_key=True),
    Column("domain_number", Integer, primary_key=True, autoincrement=False),
    _instant("date"),
    ForeignKeyConstraint(["organization_number", "node_id"], ["endpoints.organization_number", "endpoints.id"]),
    sqlite_with_rowid=False,
)
"""The newest date of an endpoint in the leaks of each domain; no row where none has a date."""


def _links(kind: Kind) -> Table:
    node = nodes[kind].name
    return Table(
        f"leak_{node}",
        metadata,
        _organization_number(),
        Column("leak_id", Id(), primary_key=True),
        Column("node_id", Id(), primary_key=True),
        Column("domain_number", Integer, nullable=False),
        Column("risk_level", SmallInteger, nullable=False),
        _instant("first_seen"),
        _instant("added_at"),
        *_months(),
        _text("risk_level_name"),
        _text("status"),
        ForeignKeyConstraint(["organization_number", "leak_id"], ["leaks.organization_number", "leaks.id"]),
        ForeignKeyConstraint(["organization_number", "node_id"], [f"{node}.organization_number", f"{node}.id"]),
        *(
            _list_index(f"ix_leak_{node}_{column}", "organization_number", "node_id", column, "leak_id")
            for column in ("added_at", "first_seen", "risk_level")
        ),
        _list_index(
            f"ix_leak_{node}_status",
            "organization_number",
            "node_id",
            "status",
            "risk_level_name",
            "domain_number",
            "leak_id",
        ),
        *_indexes_by_month(f"leak_{node}", ["organization_number", "node_id"], "leak_id"),
        sqlite_with_rowid=False,
    )


links = {kind: _links(kind) for kind in CONNECTED}
"""Which leaks are connected to which nodes, a table a kind."""
