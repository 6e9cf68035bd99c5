"""What keys have spent, as all processes know it: a leaky bucket a key, which the database's own clock drains."""

from functools import lru_cache

from sqlalchemy import BigInteger, Double, bindparam, cast, func, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.bounds import KeyIds
from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import SQLITE, Statement
from gateway.storage.tables import budgets


async def spend(engine: Engine, key_id: str, points: float, points_a_second: float) -> float:
    """Add what a key spent, and tell how full its bucket is then.

    Raises:
        Unavailable: the database cannot be written to just now.
    """
    command = _spending(engine.dialect).bind(
        KeyIds((key_id,)), key_id=key_id, points=points, rate=points_a_second / 1000
    )
    async with engine.transaction() as transaction:
        (rows,) = await transaction.run(fetch(command))
    level: float = rows[0][0]
    return level


@lru_cache
def _spending(dialect: Dialect) -> Statement:
    is_sqlite = dialect is SQLITE
    insert, greatest = (sqlite.insert, func.max) if is_sqlite else (postgresql.insert, func.greatest)
    adding = (insert(budgets)).values(
        key_id=bindparam("key_id"), level=bindparam("points", type_=Double()), at=_now(is_sqlite)
    )
    passed = greatest(adding.excluded.at - budgets.c.at, 0)
    drained = greatest(budgets.c.level - passed * cast(bindparam("rate", type_=Double()), Double), 0.0)
    spent = adding.on_conflict_do_update(
        index_elements=["key_id"], set_={"level": drained + adding.excluded.level, "at": adding.excluded.at}
    ).returning(budgets.c.level)
    return Statement(spent, dialect)


def _now(is_sqlite: bool) -> object:
    """The database's clock, in milliseconds since 1970."""
    if is_sqlite:
        return literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", BigInteger)
    return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
