"""What a statement costs, in numbers that are the same on every machine."""

import itertools
import sqlite3
from contextlib import closing
from typing import Any

import orjson

from gateway.storage.dialects import SQLITE
from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import Command


async def looked_at(engine: Engine, url: str, command: Command) -> int:
    """How much a statement looks at: steps of SQLite's machine by the hundred, or PostgreSQL's rows."""
    if engine.dialect is SQLITE:
        steps = itertools.count()
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.set_progress_handler(lambda: next(steps) < 0, 100)
            connection.execute(command.sql, command.values).fetchall()
        return next(steps)
    (rows,) = await engine.run(fetch(command._replace(sql=f"EXPLAIN (ANALYZE, FORMAT JSON) {command.sql}")))
    return _rows(orjson.loads(rows[0][0])[0]["Plan"])


def _rows(plan: dict[str, Any]) -> int:
    """How many rows of tables a plan looked at."""
    seen = sum(plan.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck")) + plan["Actual Rows"]
    below = sum(map(_rows, plan.get("Plans", ())))
    return int(below + (seen * plan["Actual Loops"] if "Relation Name" in plan else 0))
