"""The gateway as a process: its supervisor, its workers, its log."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import psutil

from tests.records import SECRET, World

PROJECT = Path(__file__).parents[2]
_SECONDS_TO_START = 60.0


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that serve, beside the one that looks after them."""
        return [one for one in psutil.Process(self.process.pid).children() if _serves(one)]

    def end(self) -> int:
        """Ask it to end, as an operator does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def _serves(process: psutil.Process) -> bool:
    try:
        return any("spawn_main" in part for part in process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


@contextmanager
def serving(world: World, folder: Path, *arguments: str, module: str = "gateway", **settings: str) -> Iterator[Server]:
    """Serve a world on a free port, by the command line or a module that stands for it."""
    log = folder / "server.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEAKS_")}
    # Counted as in production, and never refused: a few keys ask it all.
    unthrottled = {"LEAKS_MAX_FAILED_KEYS": "0", "LEAKS_RATE_LIMIT": "2000000000"}
    served = {"LEAKS_SECRET": SECRET, "LEAKS_DATABASE_URL": world.settings.database_url}
    environment |= served | unthrottled | settings
    command = [sys.executable, "-m", module, "serve", "--port", "0", *arguments]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=stream, stderr=stream)
    try:
        yield Server(process, _port(process, log), log)
    finally:
        children = psutil.Process(process.pid).children() if process.poll() is None else []
        for left in (process, *children):
            left.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    began = monotonic()
    while monotonic() - began < _SECONDS_TO_START and process.poll() is None:
        if told := re.search(r"Serving on http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(told[1])
        sleep(0.05)
    raise AssertionError(log.read_text())
