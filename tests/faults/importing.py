"""Imports that are killed, one after the other, each at a point of chance, until one is let to its end.

`python -m tests.faults.importing URL ORGANIZATION FILE KILLS` prints after each batch how many lines are acknowledged.
"""

import asyncio
import os
import random
import signal
import sys
from time import sleep

from gateway.importing.files import open_lines
from gateway.importing.importer import import_leaks
from gateway.storage.database import open_engine
from gateway.storage.organizations import find_organization

BATCH_SIZE = 25
SECRET = b"plainly-fake-fingerprint-secret"
_SECONDS_OF_A_BATCH = 0.02


def _tell(lines: int) -> None:
    os.write(sys.stdout.fileno(), b"%d\n" % lines)


async def _import(url: str, name: str, file: str) -> None:
    async with open_engine(url) as engine:
        organization = await find_organization(engine, name)
        with open_lines(file) as lines:
            await import_leaks(
                engine,
                organization,
                lines,
                secret=SECRET,
                batch_size=BATCH_SIZE,
                # In one piece: who is killed in the middle of a line would have the next one read as part of it.
                report=lambda progress: _tell(progress.lines),
            )


def _import_until(url: str, name: str, file: str, acknowledged: int | None) -> None:
    """Import in a process that is killed soon after it has acknowledged so many lines."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, sys.stdout.fileno())
        asyncio.run(_import(url, name, file))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        for line in told:
            print(line, end="", flush=True)  # noqa: T201
            if acknowledged is not None and int(line) >= acknowledged:
                sleep(random.uniform(0, _SECONDS_OF_A_BATCH))  # noqa: S311 - a point of chance
                os.kill(child, signal.SIGKILL)
                acknowledged = None
    os.waitpid(child, 0)


def _kill_often(url: str, name: str, file: str, kills: int) -> None:
    with open_lines(file) as lines:
        most = sum(1 for _ in lines)
    for number in range(kills):
        # Further and further, so that every part is met.
        _import_until(url, name, file, random.randint(most * number // (2 * kills), most * (number + 1) // (kills + 1)))  # noqa: S311
    _import_until(url, name, file, None)


if __name__ == "__main__":
    _kill_often(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
