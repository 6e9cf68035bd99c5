"""A soak: mixed requests against a server with two workers, while an import runs and processes are killed.

Asked are an organization's records that nobody changes, whose answers are known to the byte, and counts of one that is
imported into, which never go back.
"""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil

from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from tests.faults.importing import BATCH_SIZE
from tests.faults.server import PROJECT, Server, serving
from tests.faults.traffic import Question, Traffic, answered, get
from tests.gateway.importing.conftest import numbered_lines
from tests.records import World

CONNECTIONS = 6
SECONDS_BETWEEN_KILLS = 5.0
LEAKS_OF_A_ROUND = 400
KILLS_OF_A_ROUND = 3


@dataclass
class Report:
    """What a soak saw.

    Attributes:
        statuses: How often each status was answered.
        dropped: Requests that were not answered, since their worker was killed.
        wrong: Answers that should have been others.
        kills: How many workers were killed.
        imported: How many leaks the last import acknowledged.
        handles: The most handles that a worker had open, at each look.
        megabytes: The most memory that a worker held, at each look.
        troubles: What a check of the database said at the end.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    dropped: int = 0
    wrong: list[tuple[Question, object]] = field(default_factory=list)
    kills: int = 0
    imported: int = 0
    handles: list[int] = field(default_factory=list)
    megabytes: list[int] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


async def soak(world: World, requests: list[bytes], folder: Path, seconds: float) -> Report:
    """Run for a while, and tell what was seen."""
    report = Report()
    with serving(world, folder, "--workers", "2") as server:
        await Traffic(server.port, [Question(get("/healthz", ""))]).ask(1)
        async with Traffic(server.port, await answered(server.port, requests)).flowing(CONNECTIONS) as traffic:
            ends_at = monotonic() + seconds
            await asyncio.gather(_kill(server, report, ends_at), _import(world, folder, report, ends_at))
        report.statuses, report.dropped = traffic.statuses, traffic.dropped
        report.wrong.extend(traffic.wrong)
        assert await asyncio.to_thread(server.end) == 0
        assert "Traceback" not in server.log.read_text()
    async with open_engine(world.url) as engine:
        report.troubles = await find_troubles(engine)
    return report


async def _kill(server: Server, report: Report, ends_at: float) -> None:
    """Kill a worker now and then; those that live are looked at before."""
    while monotonic() + SECONDS_BETWEEN_KILLS < ends_at:
        await asyncio.sleep(SECONDS_BETWEEN_KILLS)
        workers = server.workers
        _look(workers, report)
        if len(workers) > 1:
            random.choice(workers).kill()  # noqa: S311 - whichever
            report.kills += 1
    await asyncio.sleep(max(0.0, ends_at - monotonic()))


def _look(workers: list[psutil.Process], report: Report) -> None:
    report.handles.append(max(worker.num_fds() for worker in workers))
    report.megabytes.append(max(worker.memory_info().rss for worker in workers) >> 20)


async def _import(world: World, folder: Path, report: Report, ends_at: float) -> None:
    """Import more and more, each time with imports that are killed before."""
    file, leaks = folder / "leaks.jsonl", 0
    while monotonic() < ends_at:
        leaks += LEAKS_OF_A_ROUND
        file.write_bytes(b"\n".join(numbered_lines(leaks)))
        arguments = (world.url, "Example Labs", str(file), str(KILLS_OF_A_ROUND))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.importing", *arguments, cwd=PROJECT, stdout=subprocess.PIPE
        )
        told, _ = await process.communicate()
        report.imported = int(told.split()[-1])
        assert process.returncode == 0
        assert report.imported == leaks
        assert leaks % BATCH_SIZE == 0
