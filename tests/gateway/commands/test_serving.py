"""demo and serve, as processes."""

import errno
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from gateway.commands.listening import bind, listen
from gateway.explorer.build import ensure_build
from schema.errors import BadUserInput
from tests.gateway.commands.conftest import Run


@contextmanager
def _started(
    environment: dict[str, str], *arguments: str, few_handles: bool = False
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and what it said until it was up; with fewer handles at first than the system allows."""
    ensure_build()
    shell = ["sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh"] if few_handles else []
    process = subprocess.Popen(
        [*shell, sys.executable, "-m", "gateway", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if "Serving on" in line:
                break
        yield process, "".join(said)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


FORWARDED = {"X-Forwarded-For": "198.51.100.7"}


def _when_up(url: str, key: str) -> httpx.Response:
    """The answer of a server whose workers are starting."""
    transport = httpx.HTTPTransport(retries=10)
    with httpx.Client(transport=transport, timeout=30) as client:
        return client.get(url, headers={"X-API-Key": key, **FORWARDED})


def test_the_demo_prints_requests_that_work(environment: dict[str, str]) -> None:
    port = _free_port()
    with _started(environment, "demo", "--port", port, "--leaks", "300") as (process, said):
        lines = re.findall(r"^  (curl .*)$", said, re.MULTILINE)
        answers = [orjson.loads(subprocess.check_output(shlex.split(line))) for line in lines]
        assert len(answers) == 3
        assert answers[0]["data"]["password"] == "***"
        assert answers[1]["data"]["leaks"]["totalCount"] > 100
        assert answers[2]["data"]["leak"]["connections"]["endpoints"]["nodes"][0]["leaks"]["nodes"]
        (key,) = re.findall(r"^Key that reads +(lgk_\w+)$", said, re.MULTILINE)
        assert key in httpx.get(f"http://127.0.0.1:{port}/graphiql").text
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_second_demo_uses_the_database_again_and_revokes_the_first_keys(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'data' / 'leaks-gateway' / 'demo-50-7.db'}"
    said = []
    for _ in range(2):
        with _started(environment, "demo", "--port", "0", "--leaks", "50", "--seed", "7") as (_, words):
            said.append(words)
    assert "Making 50 leaks" in said[0]
    assert "Making" not in said[1]
    listed = run("keys", "list", "--database-url", url).stdout.splitlines()
    assert [line.split("\t")[-1] == "-" for line in listed] == [False, False, True, True]
    names = [line.split("\t")[1] for line in run("organizations", "list", "--database-url", url).stdout.splitlines()]
    assert names == ["Example Corp", "Example Labs"]


def test_the_demo_adds_nothing_to_real_records(ready: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'data' / 'leaks-gateway' / 'leaks.db'}"
    done = ready("demo", "--port", "0", "--database-url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'error: The database holds records of "Acme"; the demo needs one of its own.\n'
    assert ready("organizations", "list").stdout.count("\n") == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])  # noqa: S104 - it is refused
def test_the_demo_serves_loopback_only(run: Run, host: str) -> None:
    done = run("demo", "--host", host)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: demo shows its key")


def test_a_server_logs_no_secret_and_ends_cleanly(ready: Run, environment: dict[str, str]) -> None:
    key = ready("keys", "create", "-o", "Acme").stdout.strip()
    port = _free_port()
    with _started(environment, "serve", "--port", port) as (process, _):
        at = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{at}/healthz", headers=FORWARDED).text == "ok\n"
        assert httpx.get(f"{at}/readyz").text == "ready\n"
        answer = httpx.get(f"{at}/graphql", params={"query": "{ viewer { name } }"}, headers={"X-API-Key": key})
        assert answer.json() == {"data": {"viewer": {"name": "key"}}}
        assert key not in httpx.get(f"{at}/graphiql").text
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        log = process.stdout.read()
        assert process.wait(10) == 0
    assert f"{answer.headers['X-Request-ID']} GET /graphql 200" in log
    assert re.search(r"GET /healthz 200 \S+ ms 198\.51\.100\.7\n", log), "a proxy on this machine is believed"
    assert "viewer" not in log
    assert key not in log
    assert "Traceback" not in log


SIGNALLED_EARLY = """
import signal
from gateway.commands import main, serving

class Early(serving._Server):
    def run(self, sockets):
        signal.raise_signal(signal.SIGTERM)
        super().run(sockets)

serving._Server = Early
main()
"""


def test_a_server_that_is_told_to_end_before_it_listens_to_signals_ends(
    ready: Run, environment: dict[str, str]
) -> None:
    ready("organizations", "list")
    command = [sys.executable, "-c", SIGNALLED_EARLY, "serve", "--port", "0"]
    assert subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.fixture
def many_handles() -> Iterator[None]:
    """As many handles as the system allows, for a test that holds many sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_handles")
def test_a_thousand_idle_sockets_leave_honest_clients_alone(ready: Run, environment: dict[str, str]) -> None:
    key = ready("keys", "create", "-o", "Acme").stdout.strip()
    # Few of those that the log tells of: nobody reads it here before the end.
    half = [b"", b"GET /graphql HTTP/1.1\r\nHost: "] * 5
    half += [b"POST /graphql HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"]
    hurried = environment | {"LEAKS_HEADER_TIMEOUT_SECONDS": "5", "LEAKS_BODY_TIMEOUT_SECONDS": "5"}
    with _started(hurried, "serve", "--port", "0", few_handles=True) as (_, said):
        (port,) = re.findall(r"Serving on http://127.0.0.1:(\d+)", said)
        idle = [socket.create_connection(("127.0.0.1", int(port))) for _ in range(1000)]
        for number, client in enumerate(idle):
            client.sendall(half[number % len(half)])
        for _ in range(10):
            answer = httpx.get(f"http://127.0.0.1:{port}/leaks/x", headers={"X-API-Key": key}, timeout=5)
            assert answer.status_code == 404
        for client in idle:
            client.settimeout(30)
            while client.recv(4096):
                pass
            client.close()


def test_workers_serve_together(ready: Run, environment: dict[str, str]) -> None:
    key = ready("keys", "create", "-o", "Acme").stdout.strip()
    port = _free_port()
    proxied = {**environment, "LEAKS_TRUSTED_PROXIES": "192.0.2.1"}
    with _started(proxied, "serve", "--port", port, "--workers", "2") as (process, _):
        assert _when_up(f"http://127.0.0.1:{port}/leaks/x", key).status_code == 404
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate()
        assert process.returncode == 0
    assert re.search(r"GET /leaks/x 404 \S+ ms 127\.0\.0\.1\n", log), "nobody but the proxy is believed"
    assert "Operations: " in log, "the log of a worker is written to its end"
    assert ready("keys", "list").stdout.split("\t")[6] != "-", "workers write when a key was used"


def test_a_port_in_use_is_one_line(ready: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ready("serve", "--port", port)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: 127.0.0.1:{port} cannot be served on: {os.strerror(errno.EADDRINUSE)}.\n",
    )


def test_a_port_that_is_in_use_by_the_time_it_is_served_on_is_told() -> None:
    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", first.getsockname()[1]) as second:
        listen(first, 1)
        with pytest.raises(BadUserInput, match=f"cannot be served on: {os.strerror(errno.EADDRINUSE)}"):
            listen(second, 1)


def test_a_host_that_is_not_ours_is_one_line(ready: Run) -> None:
    done = ready("serve", "--host", "192.0.2.1", "--port", "0")
    assert (done.returncode, done.stderr) == (
        1,
        f"error: 192.0.2.1:0 cannot be served on: {os.strerror(errno.EADDRNOTAVAIL)}.\n",
    )


def test_the_schema_is_what_the_code_says(run: Run) -> None:
    assert run("schema", "--check").returncode == 0


def test_help_teaches(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in (
        "demo",
        "serve",
        "migrate",
        "organizations",
        "domains",
        "keys",
        "import",
        "export",
        "check",
        "backup",
    ):
        assert command in done.stdout


def test_the_secret_is_made_once_and_for_its_owner_only(run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    del environment["LEAKS_SECRET"]
    run("migrate")
    run("organizations", "add", "Acme")
    run("keys", "create", "-o", "Acme")
    secret = tmp_path / "data" / "leaks-gateway" / "secret"
    first = secret.read_text()
    run("keys", "create", "-o", "Acme")
    assert secret.read_text() == first
    assert secret.stat().st_mode & 0o777 == 0o600
