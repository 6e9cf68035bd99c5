"""What is left of the gateway's best where it is asked for three times as much, and where one key asks for all it can.

    uv run python tests/benchmarks/overload.py [--leaks 100000] [--rounds 3] [--seconds 4]

It serves a database of made-up leaks (see serving.py) in one process and asks for what is asked for in production, mixed:
leaks by id over REST and GraphQL, pages, machines. First over as many connections as bring out its best. Then at half of
that rate and more, up to three times of it, whatever it answers: more and more clients, which wait for a quarter of a
second or so before they ask. What they get is compared with the best that any such number of clients gets as well. Then
over three times as many connections as it takes in, which ask again at once. Nobody heeds `Retry-After`. Then three
modest keys share it with a greedy one. An answer counts where the log says 200; how long the others took, a few more
clients find out, which do heed it. It needs `wrk` on the PATH.
"""

import argparse
import asyncio
import os
import random
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
from gateway.commands.demo_database import prepare  # noqa: E402
from gateway.commands.keys import issue_key  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from gateway.storage.organizations import list_organizations  # noqa: E402
from schema.scope import KeyScope  # noqa: E402
from tests.benchmarks.serving import SECRET, free_port, leak_ids, wait_for  # noqa: E402
from tests.benchmarks.workloads import WORKLOADS, Workload  # noqa: E402

KEYS = 4
PEAK, MORE, FLOOD = 16, 64, 768
TIMES = (0.5, 1, 1.5, 2, 3)
MODEST, GREEDY = 4, 200
THINKING_MILLISECONDS = 250
PROBES = 16
_RATES = {f"at {times} times the rate": times for times in TIMES}
CONNECTING_SECONDS = 4
"""Nothing is counted before everybody is connected."""
_COUNT = """
done = function(summary, latency)
  io.write(string.format('RESULT %d %d %d', summary.requests, summary.duration, summary.errors.status))
end
"""
_THINK = """
math.randomseed(os.time() + {seed})
delay = function() return math.random({least}, {most}) end
"""


@dataclass(frozen=True)
class Load:
    """What several keys got at the same time.

    Attributes:
        answers: Good answers a second, by script.
        refusals: Others a second.
        processors: How many processors that kept busy.
        waits: How long refusals took, in milliseconds.
    """

    answers: Sequence[float]
    refusals: float
    processors: float
    waits: Sequence[float]

    def of(self, keys: int) -> float:
        """The good answers a second of the first keys."""
        return sum(self.answers[:keys])


def main() -> None:
    """Measure and print."""
    options = _options()
    path = Path(options.database or tempfile.gettempdir()) / f"leaks-benchmark-{options.leaks}.db"
    settings = replace(Settings(secret=SECRET), database_url=f"sqlite:///{path}")
    keys = asyncio.run(_keys(settings, options.leaks))
    with tempfile.TemporaryDirectory() as folder, _served(settings, log := Path(folder) / "log") as (port, process):
        ids = leak_ids(port, keys[0])
        scripts = [_script(ids, key, Path(folder) / f"{number}.lua") for number, key in enumerate(keys)]
        bench = Bench(port, process, scripts, Prober(port, keys[0], ids[0]), log, options.seconds)
        _print([bench.round() for _ in range(options.rounds)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--database", help="the folder of the database; it stays there")
    return parser.parse_args()


async def _keys(settings: Settings, leaks: int) -> list[str]:
    await prepare(settings, leaks, 1)
    async with open_database(settings) as engine:
        owner = next(one for one in await list_organizations(engine) if one.name == "Example Corp")
        return [await issue_key(engine, settings, owner, "overload", [KeyScope.LEAKS_READ]) for _ in range(KEYS)]


@contextmanager
def _served(settings: Settings, log: Path) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    environment = {
        **os.environ,
        "LEAKS_DATABASE_URL": settings.database_url,
        "LEAKS_SECRET": SECRET,
        "LEAKS_RATE_LIMIT": "2000000000",
        "LEAKS_PORT": str(port),
    }
    command = [sys.executable, "-m", "gateway", "serve"]
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=written)
    _part(process.pid)
    try:
        wait_for(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _part(server: int) -> None:
    """Leave a processor to the server alone, where there are several: who asks for more is not to take it away."""
    first, *others = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(server, {first})
        os.sched_setaffinity(0, others)


def _script(ids: Sequence[str], key: str, path: Path) -> Path:
    """A script for wrk that asks for what is asked for in production, each key in an order of its own."""
    by_name = {workload.name: workload for workload in WORKLOADS}
    page = by_name["page-of-50"].document or ""
    pages = [Workload("page", document=page.replace("first: 50", f"first: {size}")) for size in range(10, 31)]
    mixed = []
    for number, leak_id in enumerate(ids):
        asked = (
            [by_name["rest-by-id"]] * 4 + [by_name["by-id"]] * 3 + [pages[number % len(pages)]] * 2 + [by_name["pivot"]]
        )
        mixed.append(asked[number % len(asked)].request(leak_id, key))
    # In one order, all keys would ask for the same page at a time, which is read once.
    random.Random(key).shuffle(mixed)  # noqa: S311 - no secret depends on it
    path.write_text(
        "local requests = {}\nlocal at = 0\n"
        + "".join(f"requests[#requests + 1] = {request}\n" for request in mixed)
        + "request = function() at = at % #requests + 1 return requests[at] end\n"
        + _COUNT
    )
    return path


def _thinking(script: Path, seed: int) -> Path:
    """A script whose clients wait for a while before they ask."""
    path = script.with_suffix(".thinking.lua")
    path.write_text(
        script.read_text()
        + _THINK.format(seed=seed, least=THINKING_MILLISECONDS // 2, most=THINKING_MILLISECONDS * 3 // 2)
    )
    return path


class Prober:
    """A few clients that note how long they wait for a refusal."""

    def __init__(self, port: int, key: str, leak_id: str) -> None:
        self._port = port
        self._request = f"GET /leaks/{leak_id} HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {key}\r\n\r\n".encode()

    async def waits(self, seconds: float, clients: int) -> list[float]:
        """How long refusals took that so many clients had in some seconds, in milliseconds."""
        ends_at = time.perf_counter() + seconds
        found = await asyncio.gather(*(self._probe(ends_at) for _ in range(clients)), asyncio.sleep(seconds, []))
        return [wait for waits in found for wait in waits]

    async def _probe(self, ends_at: float) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        waits = []
        while (began := time.perf_counter()) < ends_at:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            took = time.perf_counter() - began
            headers = dict(line.split(b": ", 1) for line in head.lower().splitlines()[1:-1])
            await reader.readexactly(int(headers[b"content-length"]))
            is_refused = head.startswith(b"HTTP/1.1 503")
            if is_refused:
                waits.append(took * 1000)
            pause = int(headers[b"retry-after"]) if is_refused else 0.02
            await asyncio.sleep(max(0.0, min(pause, ends_at - time.perf_counter())))
        writer.close()
        return waits


class Bench:
    """A server, and what asks it."""

    def __init__(
        self, port: int, process: psutil.Process, scripts: Sequence[Path], prober: Prober, log: Path, seconds: int
    ) -> None:
        self._port = port
        self._process = process
        self._scripts = scripts
        self._prober = prober
        self._log = log
        self._seconds = seconds
        self._thinking = [_thinking(script, seed) for seed, script in enumerate(scripts)]

    def round(self) -> dict[str, Load]:
        """What each key got, by who asked at the same time."""
        peaks = {f"{n} connections": self._load(self._all(n)) for n in (PEAK, MORE)}
        peak = max(load.of(KEYS) for load in peaks.values())
        crowd = peak * (THINKING_MILLISECONDS + 100) / 1000
        quick = [(script, MODEST) for script in self._scripts[1:]]
        modest = [(script, int(crowd / KEYS / 2)) for script in self._thinking[1:]]
        greedy = (self._scripts[0], GREEDY)
        return peaks | {
            **{
                name: self._load(self._all(int(times * crowd), self._thinking), probed=True)
                for name, times in _RATES.items()
            },
            f"{FLOOD} connections": self._load(self._all(FLOOD), probed=True),
            "three modest keys": self._load(modest),
            "three modest keys, beside a greedy one": self._load([*modest, greedy], probed=True),
            "three quick keys": self._load(quick),
            "three quick keys, beside a greedy one": self._load([*quick, greedy], probed=True),
        }

    def _all(self, connections: int, scripts: Sequence[Path] | None = None) -> list[tuple[Path, int]]:
        return [(script, connections // KEYS) for script in scripts or self._scripts]

    def _load(self, shares: Sequence[tuple[Path, int]], *, probed: bool = False) -> Load:
        time.sleep(1)  # what was left of the last ends
        running = [self._wrk(script, connections) for script, connections in shares]
        time.sleep(CONNECTING_SECONDS)
        before, logged, began = sum(self._process.cpu_times()[:2]), self._log.stat().st_size, time.perf_counter()
        waits = asyncio.run(self._prober.waits(self._seconds, PROBES if probed else 0))
        seconds = time.perf_counter() - began
        processors = (sum(self._process.cpu_times()[:2]) - before) / seconds
        with self._log.open("rb") as log:
            log.seek(logged)
            lines = log.read()
        shares_of = [_parse(process.communicate()[0]) for process in running]
        answers = lines.count(b" 200 ") / seconds
        parts = [share / sum(shares_of) * answers for share in shares_of]
        return Load(parts, lines.count(b" 503 ") / seconds, processors, waits)

    def _wrk(self, script: Path, connections: int) -> "subprocess.Popen[str]":
        wrk = shutil.which("wrk") or sys.exit("wrk is not on the PATH.")
        seconds = self._seconds + CONNECTING_SECONDS + 1
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
        return subprocess.Popen([*command, f"http://127.0.0.1:{self._port}"], stdout=subprocess.PIPE, text=True)


def _parse(said: str) -> int:
    """How many good answers there were."""
    (line,) = (line for line in said.splitlines() if line.startswith("RESULT"))
    requests, _, errors = (int(part) for part in line.split()[1:])
    return requests - errors


def _print(rounds: Sequence[dict[str, Load]]) -> None:
    print(
        f"{'':40}{'answers/s':>10}{'of best':>9}{'by processor':>14}{'of best rate':>14}{'refusals/s':>12}"
        f"{'p50, p99 of these, ms':>24}"
    )
    for name in rounds[0]:
        keys = 3 if name.startswith("three") else KEYS
        answers = statistics.median(one[name].of(keys) for one in rounds)
        share = statistics.median(one[name].of(keys) / _best(one, name).of(keys) for one in rounds)
        # What the machine does beside this moves the first ratio, but hardly this one.
        paid = statistics.median(_paid(one[name], keys) / _paid(_best(one, name), keys) for one in rounds)
        is_rate = name in _RATES
        of_rate = f"{statistics.median(one[name].of(keys) / _best_rate(one) for one in rounds):.2f}" if is_rate else ""
        refusals = statistics.median(one[name].refusals for one in rounds)
        waits = sorted(wait for one in rounds for wait in one[name].waits)
        took = f"{_percentile(waits, 50):.0f}, {_percentile(waits, 99):.0f}" if waits else ""
        print(f"{name:40}{answers:10.0f}{share:9.2f}{paid:14.2f}{of_rate:>14}{refusals:12.0f}{took:>24}")


def _best(loads: dict[str, Load], name: str) -> Load:
    """What a load is compared with: the best of all, or what three keys get by themselves."""
    if name.startswith("three"):
        return loads[name.partition(",")[0]]
    return max((loads[f"{n} connections"] for n in (PEAK, MORE)), key=lambda load: load.of(KEYS))


def _best_rate(loads: dict[str, Load]) -> float:
    """The good answers a second at the rate that brings out most."""
    return max(loads[name].of(KEYS) for name in _RATES)


def _paid(load: Load, keys: int) -> float:
    return load.of(keys) / load.processors


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    main()
