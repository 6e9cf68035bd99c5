"""What keys have spent in all processes: a leaky bucket a key, drained by the database's own clock.

The level of a bucket is stored as the minutes that it takes to drain. A changed limit thus leaves the same part of a
bucket, and locks nobody out for what was spent under another limit.
"""

from functools import lru_cache

from sqlalchemy import BigInteger, Double, bindparam, cast, func, literal_column
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.bounds import KeyIds
from gateway.storage.dialects import SQLITE, insert_into
from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import Statement
from gateway.storage.tables import budgets

_MINUTE_MILLISECONDS = 60_000.0
_MOST_MINUTES = 2.0
"""One minute that a bucket holds, and one that processes may let through before they hear of each other."""


async def spend(engine: Engine, key_id: str, points: float, points_a_minute: int) -> float:
    """Add what a key spent, and return the level of its bucket, in points.

    Raises:
        Unavailable: the database cannot be written to just now.
    """
    command = _spending(engine.dialect).bind(KeyIds((key_id,)), key_id=key_id, minutes=points / points_a_minute)
    async with engine.transaction() as transaction:
        (rows,) = await transaction.run(fetch(command))
    minutes: float = rows[0][0]
    return minutes * points_a_minute


@lru_cache
def _spending(dialect: Dialect) -> Statement:
    is_sqlite = dialect is SQLITE
    least, greatest = (func.min, func.max) if is_sqlite else (func.least, func.greatest)
    adding = insert_into(budgets, dialect).values(
        key_id=bindparam("key_id"), level=bindparam("minutes", type_=Double()), at=_now(is_sqlite)
    )
    passed = greatest(adding.excluded.at - budgets.c.at, 0)
    minutes_passed = cast(passed, Double) / _MINUTE_MILLISECONDS
    drained = greatest(least(budgets.c.level, _MOST_MINUTES) - minutes_passed, 0.0)
    spent = adding.on_conflict_do_update(
        index_elements=["key_id"], set_={"level": drained + adding.excluded.level, "at": adding.excluded.at}
    ).returning(budgets.c.level)
    return Statement(spent, dialect)


def _now(is_sqlite: bool) -> object:
    """The database's clock, in milliseconds since 1970."""
    if is_sqlite:
        return literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", BigInteger)
    return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
