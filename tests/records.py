"""Two organizations, made up: records to import, keys to call with, and what a list of them must be, in plain Python.

They share machines, users, hosts, a domain's name and even ids of leaks, so that whatever is told of one to the other is
seen.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import orjson

from gateway.importing.ids import namespace_of, node_id
from gateway.importing.importer import import_leaks
from gateway.keys import generate, hash_key
from gateway.settings import Settings
from gateway.storage.database import open_engine
from gateway.storage.domains import add_domain, archive_domain
from gateway.storage.engine import Engine
from gateway.storage.keys import add_key, revoke_key
from gateway.storage.organizations import add_organization, find_organization
from schema.records import Domain, Kind, Organization
from schema.scope import KeyScope

Record = dict[str, Any]

SERVING_LOGIN = "leaks_server"
"""The login that serves from PostgreSQL."""
SECRET = "plainly-fake-installation-secret-for-tests"
ARCHIVED_AT = "2026-01-02T03:04:05.006Z"
LONG_AGO = "2020-01-01T00:00:00.000Z"
FAR_AWAY = "2999-01-01T00:00:00.000Z"
UNKNOWN_ID = "00000000-0000-4000-8000-00000000dead"

MACHINE = "[US]192.0.2.1.rar"
"""The machine that leaks of every domain of both organizations were stolen from."""
PERSON = "shared@example.com"
HOST = "vpn.example.com"

EXAMPLE_ID = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
BARE_ID = "00000000-0000-4000-8000-00000000ba5e"
LARGE_ID = "00000000-0000-4000-8000-0000000001a4"
ARCHIVED_LEAK_ID = "00000000-0000-4000-8000-0000000000a1"
OLDER_ARCHIVED_LEAK_ID = "00000000-0000-4000-8000-0000000000a2"
OTHER_DOMAIN_LEAK_ID = "00000000-0000-4000-8000-0000000000d2"
OTHER_ORGANIZATION_LEAK_ID = "00000000-0000-4000-8000-0000000000b1"

MANY = 130
_LEVEL_NAMES = ("none", *("low",) * 3, *("medium",) * 3, *("high",) * 4)
_STATUSES = ("new", "investigating", "resolved", "false_positive")
_START = datetime(2026, 2, 1, tzinfo=UTC)


def level_id(level: int) -> str:
    """The id of the leak with a risk level and little else."""
    return f"00000000-0000-4000-8000-1e0000000{level:03}"


def _leak(id_: str, domain: str, **values: Any) -> Record:
    return {
        "id": id_,
        "domain": domain,
        "risk_level": 5,
        "risk_level_name": "medium",
        "status": "new",
        "url": "https://example.com/login",
        "login": "user@example.com",
        "password": "not-a-password",
        "first_seen": "2025-12-05T00:00:00.000Z",
        "added_at": "2025-12-05T01:09:22.879Z",
        "connections": _connected(),
    } | values


def _connected(
    resources: Iterable[tuple[str, str]] = (),
    users: Iterable[tuple[str, str]] = (),
    endpoints: Iterable[tuple[str, str | None]] = (),
) -> Record:
    return {
        "resources": [{"resource": name, "type": type_} for name, type_ in resources],
        "users": [{"identity": name, "identity_type": type_} for name, type_ in users],
        "endpoints": [{"filename": name, "date": date} for name, date in endpoints],
    }


def instant(number: int) -> str:
    """An instant; the same for several numbers, so that there are ties."""
    at = _START + timedelta(hours=number // 3, milliseconds=number // 3)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


EXAMPLE_CONNECTIONS = _connected(
    [(HOST, "domain"), ("192.0.2.7", "ip"), ("com.example.wallet", "apk"), ("api.example.com", "domain")],
    [("user@example.com", "email"), ("a.user", "username")],
    [
        ("[DE]198.51.100.4.rar", None),
        (MACHINE, "2025-12-04T14:30:00.000Z"),
        ("[FR]198.51.100.5.rar", "2025-12-06T14:30:00.000Z"),
    ],
)

CORP_LEAKS: Sequence[Record] = (
    _leak(EXAMPLE_ID, "example.com", connections=EXAMPLE_CONNECTIONS),
    _leak(
        BARE_ID, "example.com", risk_level=0, risk_level_name="none", status="false_positive", url=None, login="nobody",
        first_seen=None, added_at=None,
    ),
    _leak(
        LARGE_ID, "example.net", risk_level=10, risk_level_name="high", status="resolved",
        connections=_connected(
            [(f"host-{n:03}.example.net", "domain") for n in range(MANY)],
            [(f"user-{n:03}", "username") for n in range(MANY)],
            [(f"[PL]203.0.113.{n}.rar", instant(3 * n)) for n in range(MANY)],
        ),
    ),
    _leak(
        ARCHIVED_LEAK_ID, "old.example.com", login="only-in-the-archive@example.com",
        connections=_connected([(HOST, "domain")], [(PERSON, "email")], [(MACHINE, "2025-12-04T14:30:00.000Z")]),
    ),
    _leak(
        OLDER_ARCHIVED_LEAK_ID, "older.example.com",
        connections=_connected([(HOST, "domain")], [(PERSON, "email")], [(MACHINE, "2025-12-04T14:30:00.000Z")]),
    ),
    _leak(
        OTHER_DOMAIN_LEAK_ID, "example.net", login="Straße@Example.NET", url="https://EXAMPLE.net/Ünter/100%_off",
        connections=_connected([(HOST, "domain")], [(PERSON, "email")], [(MACHINE, "2025-12-04T14:30:00.000Z")]),
    ),
    *(
        _leak(level_id(level), "example.com", risk_level=level, risk_level_name=_LEVEL_NAMES[level], added_at=None)
        for level in range(11)
    ),
    *(
        _leak(
            f"{number * 7919 % 0xFFFFFFFF:08x}-1111-4111-8111-{number:012x}",
            ("example.com", "example.net", "old.example.com")[number % 11 % 3],
            risk_level=number * 7 % 11,
            risk_level_name=_LEVEL_NAMES[number * 7 % 11],
            status=_STATUSES[number * 5 % 4],
            url=None if number % 9 == 0 else f"https://{('vpn', 'MAIL', 'git')[number % 3]}.example.com/{number % 4}",
            login=("User", "user", "USER", "person")[number % 4] + f"{number % 5}@example.com",
            first_seen=None if number % 6 == 0 else instant(number * 17 % 60),
            added_at=None if number % 7 == 0 else instant(number * 13 % 60),
            connections=_connected(
                [(HOST, "domain")] * (number % 2) + [(f"host-{number % 5:03}.example.net", "domain")],
                [(PERSON, ("email", "username")[number % 2]), (f"user-{number % 6:03}", "username")],
                [(MACHINE, "2025-12-04T14:30:00.000Z"), (f"[PL]203.0.113.{number % 8}.rar", instant(0))],
            ),
        )
        for number in range(90)
    ),
)  # fmt: skip

LABS_LEAKS: Sequence[Record] = (
    _leak(
        EXAMPLE_ID, "example.org", risk_level=9, risk_level_name="high", login="other@example.org",
        connections=_connected([(HOST, "domain")], [(PERSON, "email")], [(MACHINE, "2025-12-04T14:30:00.000Z")]),
    ),
    _leak(
        OTHER_ORGANIZATION_LEAK_ID, "example.com", risk_level=8, risk_level_name="high",
        connections=_connected([(HOST, "domain")], [(PERSON, "email")], [(MACHINE, "2025-12-04T14:30:00.000Z")]),
    ),
)  # fmt: skip

_ONE = {Kind.RESOURCE: ("resource", "type"), Kind.USER: ("identity", "identity_type"), Kind.ENDPOINT: ("filename",)}
_LISTS = {Kind.RESOURCE: "resources", Kind.USER: "users", Kind.ENDPOINT: "endpoints"}


@dataclass(frozen=True)
class World:
    """What a database was filled with.

    Attributes:
        url: Where the database is.
        organizations: By name.
        domains: By organization and name, archived ones included.
        keys: The text of each key, by what it is for.
        key_ids: Its id.
    """

    url: str
    organizations: Mapping[str, Organization]
    domains: Mapping[tuple[str, str], Domain]
    keys: Mapping[str, str]
    key_ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        # The tests present more wrong keys than anybody should.
        return Settings(database_url=login_as(self.url, SERVING_LOGIN), secret=SECRET, max_failed_keys=0)

    def serving(self) -> AbstractAsyncContextManager[Engine]:
        """The database, open as the gateway has it open."""
        return open_engine(self.settings.database_url, self.settings.serving_role)

    def domain_id(self, name: str, organization: str = "corp") -> str:
        return self.domains[organization, name].id

    def node_id(self, kind: Kind, *value: str, organization: str = "corp") -> str:
        """The id of a resource, user or endpoint, by its name, and its type if it has one."""
        return node_id(namespace_of(self.organizations[organization].id), kind, *value[::-1])

    @property
    def machine_id(self) -> str:
        return self.node_id(Kind.ENDPOINT, MACHINE)

    @property
    def host_id(self) -> str:
        return self.node_id(Kind.RESOURCE, HOST, "domain")

    @property
    def person_id(self) -> str:
        return self.node_id(Kind.USER, PERSON, "email")

    @cached_property
    def corp(self) -> "Oracle":
        return Oracle(self, "corp", CORP_LEAKS)

    @cached_property
    def labs(self) -> "Oracle":
        return Oracle(self, "labs", LABS_LEAKS)


def login_as(url: str, login: str) -> str:
    """The URL with a login of PostgreSQL's in place of the superuser that tests administer with."""
    return url.replace("postgresql://postgres:", f"postgresql://{login}:", 1)


async def fill(url: str) -> World:
    """Fill an empty database at head."""
    async with open_engine(url) as engine:
        corp = await add_organization(engine, "Example Corp")
        labs = await add_organization(engine, "Example Labs")
        await add_organization(engine, "Example Nobody")
        names = {
            "corp": (corp, ("example.com", "example.net", "old.example.com", "older.example.com", "quiet.example.com")),
            "labs": (labs, ("example.com", "example.org")),
        }
        domains = {
            (short, name): await add_domain(engine, organization, name)
            for short, (organization, of_organization) in names.items()
            for name in of_organization
        }
        # Imported in use, archived after.
        await _import(engine, corp, CORP_LEAKS)
        await _import(engine, labs, LABS_LEAKS)
        for name in ("old.example.com", "older.example.com"):
            domains["corp", name] = await archive_domain(engine, corp, name, ARCHIVED_AT)
        keys = [key async for key in _keys(engine, domains)]
        await revoke_key(engine, next(id_ for name, id_, _ in keys if name == "revoked"), LONG_AGO)
        return World(
            url,
            {"corp": corp, "labs": labs},
            domains,
            {name: text for name, _, text in keys},
            {name: id_ for name, id_, _ in keys},
        )


async def _import(engine: Engine, organization: Organization, leaks: Sequence[Record]) -> None:
    secret = Settings(secret=SECRET).secrets.fingerprint
    summary = await import_leaks(engine, organization, map(orjson.dumps, leaks), secret=secret)
    assert (summary.new, summary.bad) == (len(leaks), 0)


async def _keys(engine: Engine, domains: Mapping[tuple[str, str], Domain]) -> Any:
    read, write, explain = KeyScope
    one = [domains["corp", "example.net"].number]
    old = [domains["corp", "old.example.com"].number]
    for organization, name, scopes, numbers, expires_at in (
        ("Example Corp", "read", {read}, None, None),
        ("Example Corp", "read and write", {read, write}, None, FAR_AWAY),
        ("Example Corp", "write", {write}, None, None),
        ("Example Corp", "explain", {read, explain}, None, None),
        ("Example Corp", "restricted", {read}, one, None),
        ("Example Corp", "restricted to the archived", {read}, old, None),
        ("Example Corp", "restricted to nothing", {read}, [], None),
        ("Example Corp", "expired", {read}, None, LONG_AGO),
        ("Example Corp", "revoked", {read}, None, None),
        ("Example Labs", "labs", {read}, None, None),
        ("Example Nobody", "nobody", {read}, None, None),
    ):
        key_id, text = generate()
        owner = await find_organization(engine, organization)
        hash_ = hash_key(text, Settings(secret=SECRET).secrets.key)
        await add_key(
            engine, owner, key_id=key_id, name=name, hash_=hash_, scopes=scopes, domain_numbers=numbers,
            created_at=LONG_AGO, expires_at=expires_at,
        )  # fmt: skip
        yield name, key_id, text


# ----------------------------------------------------------------- the oracle


class Oracle:
    """What lists of an organization's leaks must be, from the records that were imported."""

    def __init__(self, world: World, organization: str, leaks: Sequence[Record]) -> None:
        self._world = world
        self._organization = organization
        self._leaks = leaks

    def leaks(
        self,
        domains: Iterable[str] = ("example.com", "example.net", "quiet.example.com", "example.org"),
        is_wanted: Callable[[Record], bool] = lambda _: True,
        field: str = "addedAt",
        *,
        descending: bool = True,
    ) -> list[str]:
        """The ids of a list of leaks, in order."""
        column = {"addedAt": "added_at", "firstSeen": "first_seen", "riskLevel": "risk_level"}[field]
        allowed = set(domains)
        found = [leak for leak in self._leaks if leak["domain"] in allowed and is_wanted(leak)]
        found.sort(key=lambda leak: ("" if leak[column] is None else leak[column], leak["id"]), reverse=descending)
        return [leak["id"] for leak in found]

    def connected(self, leak_id: str, kind: Kind) -> list[Record]:
        """What a leak is connected to, in the order of its lists, with ids."""
        leak = next(leak for leak in self._leaks if leak["id"] == leak_id)
        return self._ordered(leak["connections"][_LISTS[kind]], kind)

    def _ordered(self, nodes: Iterable[Record], kind: Kind) -> list[Record]:
        unique = {
            self._world.node_id(kind, *(node[part] for part in _ONE[kind]), organization=self._organization): node
            for node in nodes
        }
        found = [{"id": id_, **node} for id_, node in unique.items()]
        if kind is Kind.ENDPOINT:
            found = [{**node, "date": self._newest_date(node["filename"])} for node in found]
            return sorted(found, key=lambda node: (node["date"] or "", node["id"]), reverse=True)
        return sorted(found, key=lambda node: (node[_ONE[kind][0]], node["id"]))

    def _newest_date(self, filename: str) -> str | None:
        dates = [
            endpoint["date"] or ""
            for leak in self._leaks
            for endpoint in leak["connections"]["endpoints"]
            if endpoint["filename"] == filename
        ]
        return max(dates) or None


def has(kind: Kind, name: str) -> Callable[[Record], bool]:
    """Whether a record is connected to something by this name."""
    return lambda leak: any(node[_ONE[kind][0]] == name for node in leak["connections"][_LISTS[kind]])
