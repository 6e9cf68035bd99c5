"""Requests a second of the gateway against plain Strawberry and against the limit, as ratios of one run.

    uv run python tests/benchmarks/serving.py [--leaks 100000] [--rounds 3] [--seconds 4] [--postgresql]

It makes a database of made-up leaks through the import (or takes the one that is there), starts the three servers, one
process each, checks that they answer alike, and asks them in turn over 16 connections. With `--postgresql` the database
is a PostgreSQL server's, made for the run, and plain Strawberry stays out. It needs `wrk` on the PATH.
"""

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gateway.commands.demo_database import prepare  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from tests.benchmarks.workloads import WORKLOADS, Workload  # noqa: E402
from tests.conftest import new_postgres  # noqa: E402

SECRET = "not-a-secret-" * 4
CONNECTIONS = 16
IDS = 200


def main() -> None:
    """Measure and print."""
    options = _options()
    with _database(options) as url:
        settings = replace(Settings(secret=SECRET), database_url=url)
        key = asyncio.run(prepare(settings, options.leaks, 1)).read_key
        with servers(url, options.only) as running, tempfile.TemporaryDirectory() as folder:
            ports = {name: port for name, (port, _) in running.items()}
            ids = leak_ids(ports["gateway"], key)
            _check_alike(ports, key, ids[0])
            figures = _measure(ports, key, ids, Path(folder), options)
        _print(figures, list(ports))


@contextmanager
def _database(options: argparse.Namespace) -> Iterator[str]:
    if options.postgresql:
        with new_postgres() as server:
            server.psql("CREATE DATABASE leaks;")
            yield server.get_uri("leaks")
    else:
        yield f"sqlite:///{Path(options.database or tempfile.gettempdir()) / f'leaks-benchmark-{options.leaks}.db'}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--database", help="the folder of the database; it stays there")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--only", nargs="*", help="the workloads and servers to measure", default=[])
    return parser.parse_args()


@contextmanager
def servers(url: str, only: Sequence[str] = ()) -> Iterator[dict[str, tuple[int, "subprocess.Popen[bytes]"]]]:
    """The servers over a database, each with its port and its process, for as long as this is open."""
    is_sqlite = url.startswith("sqlite:///")
    environment = {
        **os.environ,
        "LEAKS_DATABASE_URL": url,
        "LEAKS_SECRET": SECRET,
        # Counted as in production, and never refused: one key asks it all.
        "LEAKS_RATE_LIMIT": "2000000000",
        "LIMIT_DATABASE": url.removeprefix("sqlite:///"),
        "PYTHONPATH": str(ROOT),
    }
    commands = {
        "limit": [sys.executable, f"tests/benchmarks/limit{'' if is_sqlite else '_postgresql'}.py"],
        "gateway": [sys.executable, "-m", "gateway", "serve"],
        "plain": [sys.executable, "tests/benchmarks/plain.py"],
    }
    wanted = [name for name in commands if not set(only) & {*commands} or name in only or name == "limit"]
    running: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
    try:
        for name in wanted if is_sqlite else wanted[:2]:
            port = free_port()
            own = {"LIMIT_PORT": str(port), "LEAKS_PORT": str(port)}
            process = subprocess.Popen(commands[name], cwd=ROOT, env=environment | own, stderr=subprocess.DEVNULL)
            running[name] = port, process
        for port, _ in running.values():
            wait_for(port)
        yield running
    finally:
        for _, process in running.values():
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Wait until somebody does."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"Nothing answers on port {port}.")


def leak_ids(port: int, key: str) -> list[str]:
    """Leaks from all over the list."""
    ids: list[str] = []
    after = None
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": key}) as client:
        while len(ids) < IDS:
            query = (
                "query ($after: String) { leaks(first: 100, after: $after) { nodes { id } pageInfo { endCursor } } }"
            )
            body = {"query": query, "variables": {"after": after}}
            leaks = client.post("/graphql", json=body).json()["data"]["leaks"]
            ids += [node["id"] for node in leaks["nodes"]]
            after = leaks["pageInfo"]["endCursor"]
    return ids[:IDS]


def _check_alike(ports: dict[str, int], key: str, leak_id: str) -> None:
    for workload in WORKLOADS:
        answers = {name: _ask(port, key, workload, leak_id) for name, port in ports.items() if _speaks(name, workload)}
        first = answers["limit"]
        for name, answer in answers.items():
            if answer != first:
                raise SystemExit(f"{name} answers {workload.name} otherwise:\n{answer!s:.800}\n{first!s:.800}")


def _speaks(server: str, workload: Workload) -> bool:
    return server != "plain" or workload.document is not None


def _ask(port: int, key: str, workload: Workload, leak_id: str) -> Any:
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}{workload.path.format(id=leak_id)}"
    if workload.document is None:
        return httpx.get(url, headers=headers).json()
    return httpx.post(url, content=workload.body(leak_id), headers=headers, timeout=60).json()


def _measure(
    ports: dict[str, int], key: str, ids: list[str], folder: Path, options: argparse.Namespace
) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    figures = defaultdict(list)
    chosen = [w for w in WORKLOADS if not set(options.only) & {one.name for one in WORKLOADS} or w.name in options.only]
    for _ in range(options.rounds):
        for workload in chosen:
            script = workload.script(ids, key, folder)
            for name, port in ports.items():
                if _speaks(name, workload):
                    figures[workload.name, name].append(_load(port, script, options.seconds))
    return figures


def _load(port: int, script: Path, seconds: int) -> tuple[float, float, float]:
    """Requests a second, and the latency at 50 and 99 of 100 in milliseconds."""
    wrk = shutil.which("wrk") or sys.exit("wrk is not on the PATH.")
    command = [
        wrk,
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in said.splitlines() if line.startswith("RESULT"))
    requests, microseconds, errors, p50, p99 = (float(part) for part in line.split()[1:])
    if errors:
        sys.stderr.write(f"{errors:.0f} errors\n")
    return requests / microseconds * 1e6, p50 / 1000, p99 / 1000


def _print(figures: dict[tuple[str, str], list[tuple[float, float, float]]], servers: list[str]) -> None:
    print(f"{'':18}" + "".join(f"{name:>32}" for name in servers))
    print(f"{'':18}" + f"{'requests/s  p50 ms  p99 ms ratio':>32}" * len(servers))
    for workload in dict.fromkeys(workload for workload, _ in figures):
        limit = statistics.median(rate for rate, _, _ in figures[workload, "limit"])
        row = f"{workload:18}"
        for name in servers:
            runs = figures.get((workload, name))
            if runs is None:
                row += f"{'-':>32}"
                continue
            rate, p50, p99 = (statistics.median(values) for values in zip(*runs, strict=True))
            row += f"{rate:12.0f} {p50:7.2f} {p99:7.2f} {rate / limit:5.2f}".rjust(32)
        print(row)


if __name__ == "__main__":
    main()
