"""What is left of the gateway's best where it is asked for more than it can do, and where one key asks for all of it.

    uv run python tests/benchmarks/overload.py [--leaks 100000] [--rounds 3] [--seconds 4] [--workload page-of-50]

It serves a database of made-up leaks (see serving.py) in one process and asks over as many connections as bring out its
best, over three times as many, and over three times as many as it takes in. Then four keys share it with a fifth that
is greedy. Whoever is refused asks again when he was told to; where it says so, at once, which is the worst that a client
can do. An answer counts where it is 200. It needs `wrk` on the PATH.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gateway.commands.database import open_database  # noqa: E402
from gateway.commands.demonstration import prepare  # noqa: E402
from gateway.commands.keys import issue_key  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from gateway.storage.organizations import list_organizations  # noqa: E402
from schema.scope import KeyScope  # noqa: E402
from tests.benchmarks.serving import SECRET, free_port, leak_ids, wait_for  # noqa: E402
from tests.benchmarks.workloads import WORKLOADS, Workload  # noqa: E402

KEYS = 5
PEAK, OVERLOAD, FLOOD = 16, 48, 768
GREEDY, GREEDIER = 64, 192
_WAIT_AS_TOLD = """
local refused = 0
function response(status) if status == 503 then refused = refused + 1 end end
function delay() if refused == 0 then return 0 end refused = refused - 1 return 1000 end
"""
_COUNT_REFUSALS = """
done = function(summary, latency)
  io.write(string.format('RESULT %d %d %d 0 %f', summary.requests, summary.duration, summary.errors.status,
    latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """What one key got.

    Attributes:
        answers: Good answers a second.
        refusals: Others a second.
        p99: How long 99 of 100 took at most, refusals included, in milliseconds.
    """

    answers: float
    refusals: float
    p99: float


@dataclass(frozen=True)
class Shared:
    """What several keys got at the same time, and how many processors that kept busy."""

    loads: Sequence[Load]
    processors: float

    @property
    def answers(self) -> float:
        """The good answers a second of the first four keys, or of the one that there is."""
        return sum(load.answers for load in self.loads[:4])


def main() -> None:
    """Measure and print."""
    options = _options()
    path = Path(options.database or tempfile.gettempdir()) / f"leaks-benchmark-{options.leaks}.db"
    settings = replace(Settings(secret=SECRET), database_url=f"sqlite:///{path}")
    keys = asyncio.run(_keys(settings, options.leaks))
    workload = next(one for one in WORKLOADS if one.name == options.workload)
    with _served(settings) as (port, process), tempfile.TemporaryDirectory() as folder:
        ids = leak_ids(port, keys[0])
        rude = [_script(workload, ids, key, Path(folder) / str(number)) for number, key in enumerate(keys)]
        scripts = [_patient(script) for script in rude]
        rounds = [_round(port, process, (scripts, rude), options.seconds) for _ in range(options.rounds)]
    _print(rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--workload", default="page-of-50", choices=[one.name for one in WORKLOADS])
    parser.add_argument("--database", help="the folder of the database; it stays there")
    return parser.parse_args()


async def _keys(settings: Settings, leaks: int) -> list[str]:
    await prepare(settings, leaks, 1)
    async with open_database(settings) as engine:
        owner = next(one for one in await list_organizations(engine) if one.name == "Example Corp")
        return [await issue_key(engine, settings, owner, "overload", [KeyScope.LEAKS_READ]) for _ in range(KEYS)]


@contextmanager
def _served(settings: Settings) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    environment = {
        **os.environ,
        "LEAKS_DATABASE_URL": settings.database_url,
        "LEAKS_SECRET": SECRET,
        "LEAKS_RATE_LIMIT": "2000000000",
        "LEAKS_PORT": str(port),
    }
    command = [sys.executable, "-m", "gateway", "serve"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _script(workload: Workload, ids: Sequence[str], key: str, folder: Path) -> Path:
    folder.mkdir()
    path = workload.script(list(ids), key, folder)
    path.write_text(path.read_text() + _COUNT_REFUSALS)
    return path


def _patient(script: Path) -> Path:
    """A script that waits as long as `Retry-After` says."""
    path = script.with_name("patient.lua")
    path.write_text(script.read_text() + _WAIT_AS_TOLD)
    return path


def _round(
    port: int, process: psutil.Process, scripts: tuple[Sequence[Path], Sequence[Path]], seconds: int
) -> dict[str, Shared]:
    """What each key got, by who asked at the same time; the second scripts do not wait as told."""
    patient, rude = scripts

    def four(connections: int, scripts: Sequence[Path] = patient) -> list[tuple[Path, int]]:
        return [(script, connections // 4) for script in scripts[:4]]

    def load(*shares: tuple[Path, int]) -> Shared:
        time.sleep(1)  # what was left of the last ends
        before = sum(process.cpu_times()[:2])
        loads = _load(port, shares, seconds)
        return Shared(loads, (sum(process.cpu_times()[:2]) - before) / seconds)

    return {
        f"a key, {PEAK} connections": load((patient[0], PEAK)),
        f"four keys, {PEAK} connections": load(*four(PEAK)),
        f"four keys, {OVERLOAD} connections": load(*four(OVERLOAD)),
        f"four keys, {FLOOD} connections": load(*four(FLOOD)),
        f"four keys, {FLOOD} connections, at once again": load(*four(FLOOD, rude)),
        f"four keys, {PEAK}, and a greedy one, {GREEDY}": load(*four(PEAK), (patient[4], GREEDY)),
        f"four keys, {PEAK}, and a greedy one, {GREEDIER}": load(*four(PEAK), (patient[4], GREEDIER)),
        f"four keys, {PEAK}, and a greedy one, {GREEDIER}, at once again": load(*four(PEAK), (rude[4], GREEDIER)),
    }


def _load(port: int, shares: Sequence[tuple[Path, int]], seconds: int) -> list[Load]:
    wrk = shutil.which("wrk") or sys.exit("wrk is not on the PATH.")
    address = f"http://127.0.0.1:{port}"
    commands = [
        [wrk, "-t1", f"-c{n}", f"-d{seconds}s", "--latency", "-s", str(script), address] for script, n in shares
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    return [_parse(process.communicate()[0]) for process in running]


def _parse(said: str) -> Load:
    (line,) = (line for line in said.splitlines() if line.startswith("RESULT"))
    requests, microseconds, errors, _, p99 = (float(part) for part in line.split()[1:])
    seconds = microseconds / 1e6
    return Load((requests - errors) / seconds, errors / seconds, p99 / 1000)


def _print(rounds: Sequence[dict[str, Shared]]) -> None:
    best = f"four keys, {PEAK} connections"
    print(f"{'':52}{'answers/s':>10}{'of best':>9}{'by processor':>14}{'refusals/s':>12}{'p99 ms':>9}")
    for name in rounds[0]:
        answers = statistics.median(one[name].answers for one in rounds)
        share = statistics.median(one[name].answers / one[best].answers for one in rounds)
        # What the machine does beside this moves the first ratio, but hardly this one.
        paid = statistics.median(_by_processor(one[name]) / _by_processor(one[best]) for one in rounds)
        refusals = statistics.median(sum(load.refusals for load in one[name].loads) for one in rounds)
        p99 = statistics.median(max(load.p99 for load in one[name].loads[:4]) for one in rounds)
        print(f"{name:52}{answers:10.0f}{share:9.2f}{paid:14.2f}{refusals:12.0f}{p99:9.1f}")


def _by_processor(shared: Shared) -> float:
    return shared.answers / shared.processors


if __name__ == "__main__":
    main()
