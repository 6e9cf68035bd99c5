"""The command line: in this process, where only its words count, and in one of its own, where the process does."""

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.commands import main


@dataclass(frozen=True)
class Done:
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEAKS_")}
    return {**kept, "XDG_DATA_HOME": str(tmp_path / "data"), "LEAKS_SECRET": "not-a-secret-" * 4}


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command to its end."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> Done:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with monkeypatch.context() as replaced:
            for name, value in (environment | settings).items():
                replaced.setenv(name, value)
            replaced.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            replaced.setattr(sys, "stdout", out)
            replaced.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, _text(out), _text(err))

    return run


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.fixture
def ready(run: Run) -> Run:
    """The same, over a database at head with one organization, `Acme`, and its domain."""
    assert run("migrate").returncode == 0
    assert run("organizations", "add", "Acme").returncode == 0
    assert run("domains", "add", "acme.example", "-o", "Acme").returncode == 0
    return run
