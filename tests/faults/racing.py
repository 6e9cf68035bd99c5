"""Processes that migrate at the same moment: one database, or several of one server.

`python -m tests.faults.racing ROLE URL...` prints the exit code of each; a URL may come more than once.
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


def _race(role: str, urls: list[str]) -> list[int | None]:
    forking = multiprocessing.get_context("fork")
    start = forking.Barrier(len(urls))
    racers = [forking.Process(target=_migrate_with_the_others, args=(start, url, role)) for url in urls]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    return [racer.exitcode for racer in racers]


if __name__ == "__main__":
    print(*_race(sys.argv[1], sys.argv[2:]))  # noqa: T201 - the test listens
