"""Whether a worker's handles, threads and memory stay flat over many requests and connections.

    uv run python tests/benchmarks/handles.py [--requests 100000] [--reconnects 1000] [--postgresql [--drops 1000]]

Requests are of all kinds, found and not found, planned and interpreted. With PostgreSQL its connections are dropped as
well, time and again, under a few requests. It ends with 1 where an answer was wrong or something grew.
"""

import argparse
import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.worlds import new_world
from tests.faults.server import serving
from tests.faults.test_server import own_bytes
from tests.faults.traffic import Traffic, answered, connected, questions
from tests.records import World

_CONNECTIONS = 8
_MOST_MORE = 4
_MOST_MORE_BYTES = 8_000_000
_DROP = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def main() -> int:
    """Send it all, and print what the worker holds in between."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--reconnects", type=int, default=1000)
    parser.add_argument("--drops", type=int, default=1000)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        world = stack.enter_context(new_world(is_postgresql=options.postgresql))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(serving(world, folder))
        worker = psutil.Process(server.process.pid)
        return asyncio.run(_send(server.port, worker, world, options))


async def _send(port: int, worker: psutil.Process, world: World, options: argparse.Namespace) -> int:
    traffic = Traffic(port, await answered(port, questions(world)))
    print(f"{'':24}{'handles':>10}{'threads':>10}{'MB':>10}")
    await _ask(traffic, 10_000)
    before = _look(worker, "after 10,000 to warm up")
    await _ask(traffic, options.requests)
    _look(worker, f"{options.requests:,} requests")
    await _reconnect(traffic, options.reconnects)
    _look(worker, f"{options.reconnects:,} reconnects")
    if options.postgresql:
        dropped = await _drop(traffic, world.url, options.drops)
        _look(worker, f"{dropped:,} dropped")
    await _ask(traffic, 1000)
    after = _look(worker, "at the end")
    print(f"{dict(sorted(traffic.statuses.items()))}, {traffic.dropped} unanswered, {len(traffic.wrong)} wrong")
    is_flat = all(late <= early + more for early, late, more in zip(before, after, _ALLOWED, strict=True))
    return 0 if is_flat and not traffic.wrong and not traffic.dropped else 1


_ALLOWED = (_MOST_MORE, _MOST_MORE, _MOST_MORE_BYTES)
"""How many more handles, threads and bytes are none that grow."""


def _look(worker: psutil.Process, when: str) -> tuple[int, int, int]:
    handles, threads, size = worker.num_fds(), worker.num_threads(), own_bytes(worker)
    print(f"{when:24}{handles:10}{threads:10}{size / 1e6:10.1f}", flush=True)
    return handles, threads, size


async def _ask(traffic: Traffic, number: int) -> None:
    until = traffic.answered + number
    await asyncio.gather(*(traffic.ask(until) for _ in range(_CONNECTIONS)))


async def _reconnect(traffic: Traffic, number: int) -> None:
    for _ in range(number):
        async with connected(traffic.port) as connection:
            question = traffic.questions[0]
            traffic.note(question, await connection.ask(question.request))


async def _drop(traffic: Traffic, url: str, number: int) -> int:
    """Drop the connections to PostgreSQL until so many were, and have them made anew."""
    dropped = 0
    traffic.excused.add(503)
    connection = await asyncpg.connect(url)
    while dropped < number:
        dropped += await connection.fetchval(_DROP)
        await _ask(traffic, _CONNECTIONS * 2)
    await connection.close()
    traffic.excused.clear()
    return dropped


if __name__ == "__main__":
    sys.exit(main())
