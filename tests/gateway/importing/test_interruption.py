"""An import that is ended halfway, however, and run again ends as if it had run once."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.importing.demo import ORGANIZATIONS, demo_lines
from gateway.importing.files import open_lines
from gateway.importing.importer import Summary, import_leaks
from gateway.storage.database import open_engine
from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import Command
from schema.errors import Unavailable
from tests.conftest import ENGINES, fresh_database
from tests.gateway.importing.conftest import CORP, SECRET, add_organizations, dump, numbered_lines, take

LEAKS = 2000
BATCH_SIZE = 125
PROJECT = Path(__file__).parents[3]


@pytest.fixture(params=ENGINES)
def two_databases(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Two fresh databases at head, on each engine in turn."""
    return fresh_database(request, tmp_path, request.param), fresh_database(request, tmp_path, request.param)


async def run_import(url: str, file: str) -> None:
    """Import a file, saying after each batch how far it is."""
    async with open_engine(url) as engine:
        with open_lines(file) as lines:
            await import_leaks(
                engine,
                CORP,
                lines,
                secret=SECRET,
                batch_size=BATCH_SIZE,
                report=lambda progress: print(progress.lines, flush=True),  # noqa: T201 - the test listens
            )


def end_halfway(url: str, file: Path, how: signal.Signals) -> int:
    """End a process that imports while it is at work on a batch; the lines it was done with."""
    arguments = [sys.executable, "-m", "tests.gateway.importing.test_interruption", url, str(file)]
    with subprocess.Popen(arguments, cwd=PROJECT, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        done = next(int(told) for told in process.stdout if int(told) >= LEAKS // 3)
        process.send_signal(how)
        process.communicate()
    return done


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_an_import_that_is_ended_and_run_again_ends_as_one_run(
    two_databases: tuple[str, str], tmp_path: Path, how: signal.Signals
) -> None:
    file = tmp_path / "leaks.jsonl"
    file.write_bytes(b"\n".join(demo_lines(ORGANIZATIONS[0], LEAKS)))
    ended, clean = two_databases
    for url in (ended, clean):
        async with open_engine(url) as engine:
            await add_organizations(engine, *ORGANIZATIONS[0].domains[1:], *ORGANIZATIONS[0].archived_domains)
    done = await asyncio.to_thread(end_halfway, ended, file, how)
    async with open_engine(ended) as engine:
        left = len((await dump(engine))["leaks"])
    assert done <= left < LEAKS
    assert left % BATCH_SIZE == 0
    await run_import(ended, str(file))
    await run_import(clean, str(file))
    async with open_engine(ended) as engine, open_engine(clean) as other:
        assert await dump(engine) == await dump(other)


async def test_a_full_disk_leaves_whole_batches_and_a_database_that_works(sqlite_url: str) -> None:
    lines = numbered_lines(400)

    async def bound_pages(engine: Engine, count: int) -> None:
        async with engine.transaction() as transaction:
            await transaction.run(fetch(Command(f"PRAGMA max_page_count = {count}")))

    async with open_engine(sqlite_url) as engine:
        await add_organizations(engine)
        await bound_pages(engine, 120)
        with pytest.raises(Unavailable):
            await take(engine, *lines, batch_size=20)
        left = len((await dump(engine))["leaks"])
        assert 0 < left < 400
        assert left % 20 == 0
        await bound_pages(engine, 10**6)
        assert await take(engine, *lines, batch_size=20) == Summary(new=400 - left, unchanged=left)


if __name__ == "__main__":
    asyncio.run(run_import(*sys.argv[1:]))
