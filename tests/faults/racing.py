"""Processes that migrate one database at the same moment.

`python -m tests.faults.racing URL ROLE NUMBER` prints the exit code of each.
"""

import asyncio
import multiprocessing
import sys
from multiprocessing.synchronize import Barrier

from sqlalchemy.dialects.postgresql import asyncpg  # noqa: F401 - here, and not in every process anew
from sqlalchemy.dialects.sqlite import aiosqlite  # noqa: F401 - the same

from gateway.storage.migrations import migrate


def _migrate_with_the_others(start: Barrier, url: str, role: str) -> None:
    start.wait()
    asyncio.run(migrate(url, role))


def _race(url: str, role: str, number: int) -> list[int | None]:
    forking = multiprocessing.get_context("fork")
    start = forking.Barrier(number)
    racers = [forking.Process(target=_migrate_with_the_others, args=(start, url, role)) for _ in range(number)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    return [racer.exitcode for racer in racers]


if __name__ == "__main__":
    print(*_race(sys.argv[1], sys.argv[2], int(sys.argv[3])))  # noqa: T201 - the test listens
