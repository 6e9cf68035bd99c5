"""What budgets cost: the processor's time for the smallest answers with a limit, as a ratio to that without one.

    uv run python tests/benchmarks/budgets.py

It asks in process, without sockets, so that nothing else that an answer takes hides it; the usual limit is not spent.
"""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from starlette.applications import Starlette
from starlette.types import Message

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gateway.app import create_app  # noqa: E402
from gateway.commands.demo_database import Demonstration, prepare  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from tests.benchmarks.serving import SECRET  # noqa: E402
from tests.serving import running  # noqa: E402

LEAKS, ROUNDS, REQUESTS = 1000, 20, 2000


def main() -> None:
    """Ask with a limit and without one in turn, and print what a thousand answers take."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(Settings(secret=SECRET), database_url=f"sqlite:///{folder}/leaks.db")
        metered, free = asyncio.run(_measure(settings))
    print(f"{'limit':>10}{'none':>10}{'ratio':>10}   ms for a thousand answers")
    print(f"{metered:10.1f}{free:10.1f}{metered / free:10.3f}")


async def _measure(settings: Settings) -> tuple[float, float]:
    made = await prepare(settings, LEAKS, 1)
    apps = [create_app(settings), create_app(replace(settings, rate_limit=0))]
    seconds: list[list[float]] = [[], []]
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(running(app))
        for number in range(-1, ROUNDS):
            for app, taken in islice(zip(apps * 2, seconds * 2, strict=True), number % 2, number % 2 + 2):
                began = process_time()
                await _ask(app, made)
                if number >= 0:
                    taken.append(process_time() - began)
    metered, free = (median(taken) / REQUESTS * 1e6 for taken in seconds)
    return metered, free


async def _ask(app: Starlette, made: Demonstration) -> None:
    for _ in range(REQUESTS):
        await app(_scope(made), _receive, _send)


def _scope(made: Demonstration) -> dict[str, Any]:
    path = f"/leaks/{made.leak_id}"
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": b"", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        "headers": [(b"host", b"gateway"), (b"x-api-key", made.read_key.encode())], "state": {},
    }  # fmt: skip


async def _receive() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def _send(message: Message) -> None:
    assert message.get("status", 200) == 200


if __name__ == "__main__":
    main()
