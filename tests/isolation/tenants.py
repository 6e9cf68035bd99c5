"""Four organizations that share what they can, a canary in every text that they do not share, and who may see which.

They share machines, logins, hosts, a domain's name, ids of leaks, and (which no import would bring about) the id of a
resource. Some rows say that they lie in another organization's domain: nobody sees those. Two organizations have more
domains than a narrow scope holds, so that their leaks are found in other ways than those of the other two.
"""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random

import orjson

from gateway.importing.ids import namespace_of, node_id
from gateway.importing.importer import import_leaks
from gateway.keys import generate, hash_key
from gateway.settings import Settings
from gateway.storage.database import open_engine
from gateway.storage.domains import add_domain, archive_domain, restore_domain
from gateway.storage.engine import Engine
from gateway.storage.imports import Changes, import_statements
from gateway.storage.keys import add_key, revoke_key
from gateway.storage.organizations import add_organization
from gateway.storage.types import month_of
from schema.budget import ALWAYS_WHOLE
from schema.records import Domain, Kind, Organization
from schema.scope import KeyScope
from tests.records import ARCHIVED_AT, HOST, LONG_AGO, MACHINE, PERSON, SECRET, Record, World

ORGANIZATIONS = ("1", "2", "3", "4")
WIDE = ("1", "2")
_MORE_DOMAINS = 9
SHARED_DOMAIN = "example.com"
SHARED_NODE_ID = "00000000-0000-4000-8000-0000000050de"
SHARED_TEXTS = (HOST, PERSON, MACHINE, SHARED_DOMAIN)

_TOKEN = re.compile(
    r"canary(?:-[0-9a-z]+)+"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
)


def tokens(text: str) -> set[str]:
    """What tells whose a text is: its canaries, ids and instants."""
    return set(_TOKEN.findall(text))


@dataclass
class Key:
    """A key as this test knows it.

    Attributes:
        organization: Whose it is.
        domains: The names of those it is limited to; None where it is not.
        status: What a good question is answered with.
    """

    organization: str
    domains: frozenset[str] | None
    status: int = 200

    @property
    def works(self) -> bool:
        """Whether it may read."""
        return self.status == HTTPStatus.OK


@dataclass
class Tenants:
    """What a database was filled with, and what each key may see of it.

    Attributes:
        url: Where the database is.
        organizations: By what they are called here.
        domains: By organization and name, archived ones included.
        texts: The text of each key, by its name.
        key_ids: Its id.
        records: What was imported, by organization and id; a record that came again as it came last.
        keys: By name.
        archived: Which domains are.
        dates: The newest date that a machine was given, by organization, domain and file name.
        planted: Text that belongs to a leak without an import's doing, by organization and the leak's id.
    """

    url: str
    organizations: dict[str, Organization] = field(default_factory=dict)
    domains: dict[tuple[str, str], Domain] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    key_ids: dict[str, str] = field(default_factory=dict)
    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    archived: set[tuple[str, str]] = field(default_factory=set)
    dates: dict[tuple[str, str, str], str] = field(default_factory=dict)
    planted: dict[tuple[str, str], str] = field(default_factory=dict)
    _count: int = 0

    @property
    def world(self) -> World:
        """The same, as the other tests have it."""
        return World(self.url, self.organizations, self.domains, self.texts, self.key_ids)

    # ------------------------------------------------------- who may see what

    def domains_of(self, key: str) -> list[str]:
        """The names of a key's domains, archived ones included."""
        holder = self.keys[key]
        names = sorted(name for organization, name in self.domains if organization == holder.organization)
        return [name for name in names if holder.domains is None or name in holder.domains]

    def domain_ids_of(self, key: str) -> list[str]:
        """Their ids."""
        return [self.domains[self.keys[key].organization, name].id for name in self.domains_of(key)]

    def visible(self, key: str, named: Collection[str] = (), *, only_named: bool = False) -> list[Record]:
        """The records that a key sees, if it names the domains with these ids."""
        organization, seen = self.keys[key].organization, self._seen(key, named, only_named=only_named)
        return [r for (owner, _), r in self.records.items() if owner == organization and r["domain"] in seen]

    def date(self, key: str, filename: str, named: Collection[str] = (), *, only_named: bool = False) -> str | None:
        """The date of a machine that a key sees: of all domains, where it is limited to none."""
        holder = self.keys[key]
        seen = None if holder.domains is None else self._seen(key, named, only_named=only_named)
        dates = (
            date
            for (owner, domain, name), date in self.dates.items()
            if (owner, name) == (holder.organization, filename) and (seen is None or domain in seen)
        )
        return max(dates, default=None)

    def _seen(self, key: str, named: Collection[str], *, only_named: bool) -> set[str]:
        """The names of the domains that a key sees, if it names those with these ids."""
        organization = self.keys[key].organization
        return {
            name
            for name in self.domains_of(key)
            if self.domains[organization, name].id in named
            or ((organization, name) not in self.archived and not only_named)
        }

    def allowed(self, key: str, named: Collection[str] = ()) -> set[str]:
        """All that may stand in an answer to a key that names the domains with these ids."""
        holder = self.keys[key]
        if not holder.works:
            return set()
        organization = self.organizations[holder.organization]
        own = [organization.id, organization.name, self.key_ids[key], key, ARCHIVED_AT, ALWAYS_WHOLE]
        directory = [*own, *self.domain_ids_of(key), *self.domains_of(key)]
        visible = self.visible(key, named)
        return tokens(" ".join(directory)).union(
            self._dates_of(key, visible, named), *(self.tokens_of(holder.organization, one) for one in visible)
        )

    def _dates_of(self, key: str, records: Iterable[Record], named: Collection[str]) -> set[str]:
        """The dates of the machines of some records, in every scope that a key can take."""
        machines = {one["filename"] for record in records for one in record["connections"]["endpoints"]}
        ids = [
            None,
            *(self.domains[self.keys[key].organization, name].id for name in self._seen(key, named, only_named=False)),
        ]
        dates = (
            self.date(key, machine, [id_] if id_ else named, only_named=bool(id_))
            for machine in machines
            for id_ in ids
        )
        return {date for date in dates if date is not None}

    def tokens_of(self, organization: str, record: Record) -> set[str]:
        """What tells of a record: its own texts, and the ids of what it is connected to."""
        shown = {name: value for name, value in record.items() if name != "password"}
        texts = [json.dumps(shown), self.planted.get((organization, record["id"]), "")]
        return tokens(" ".join([*texts, *self.node_ids(organization, record)]))

    def node_ids(self, organization: str, record: Record) -> list[str]:
        """The ids of what a record is connected to."""
        namespace, connected = namespace_of(self.organizations[organization].id), record["connections"]
        return [
            *(node_id(namespace, Kind.RESOURCE, one["type"], one["resource"]) for one in connected["resources"]),
            *(node_id(namespace, Kind.USER, one["identity_type"], one["identity"]) for one in connected["users"]),
            *(node_id(namespace, Kind.ENDPOINT, one["filename"]) for one in connected["endpoints"]),
        ]

    def ids_of(self, organization: str) -> list[str]:
        """Every id that an organization has, always in the same order."""
        records = [record for (owner, _), record in self.records.items() if owner == organization]
        ids = [
            self.organizations[organization].id,
            *(domain.id for (owner, _), domain in self.domains.items() if owner == organization),
            *(self.key_ids[name] for name, key in self.keys.items() if key.organization == organization),
            *(record["id"] for record in records),
            *(id_ for record in records for id_ in self.node_ids(organization, record)),
        ]
        return list(dict.fromkeys(ids))

    # ------------------------------------------------------------ what changes

    async def add_records(self, engine: Engine, organization: str, domain: str, how_many: int) -> None:
        """Import new records: the first has an id that other organizations may have as well."""
        new = [self.record(organization, domain, is_shared=not number) for number in range(how_many)]
        await self._import(engine, organization, new)
        self.records |= {(organization, record["id"]): record for record in new}

    async def move_record(self, engine: Engine, organization: str, leak_id: str, domain: str) -> None:
        """Import a record again that lies in another domain by now, its connections left out."""
        record = self.records[organization, leak_id] | {"domain": domain}
        await self._import(engine, organization, [{k: v for k, v in record.items() if k != "connections"}])
        self.records[organization, leak_id] = record

    async def archive(self, engine: Engine, organization: str, name: str) -> None:
        """Archive a domain."""
        await archive_domain(engine, self.organizations[organization], name, ARCHIVED_AT)
        self.archived.add((organization, name))

    async def restore(self, engine: Engine, organization: str, name: str) -> None:
        """Undo it."""
        await restore_domain(engine, self.organizations[organization], name)
        self.archived.discard((organization, name))

    async def add_key(
        self,
        engine: Engine,
        organization: str,
        what: str,
        domains: Iterable[str] | None = None,
        scope: KeyScope = KeyScope.LEAKS_READ,
    ) -> str:
        """Create a key, and return its name."""
        name, (key_id, text) = f"canary-key-{organization}-{what}", generate()
        limits = None if domains is None else frozenset(domains)
        numbers = None if limits is None else [self.domains[organization, one].number for one in limits]
        await add_key(
            engine, self.organizations[organization], key_id=key_id, name=name,
            hash_=hash_key(text, Settings(secret=SECRET).secrets.key), scopes={scope},
            domain_numbers=numbers, created_at=LONG_AGO, expires_at=None,
        )  # fmt: skip
        self.keys[name] = Key(organization, limits, 200 if scope is KeyScope.LEAKS_READ else 403)
        self.texts[name], self.key_ids[name] = text, key_id
        return name

    async def revoke(self, engine: Engine, key: str) -> None:
        """Revoke a key."""
        await revoke_key(engine, self.key_ids[key], LONG_AGO)
        self.keys[key].status = 401

    async def change(self, engine: Engine, random: Random) -> None:
        """Change something or other."""
        organization = random.choice(ORGANIZATIONS)
        names = [name for owner, name in self.domains if owner == organization]
        name = random.choice(names)
        step = random.choice(("records", "move", "archive", "archive", "key", "revoke"))
        if step == "records":
            await self.add_records(engine, organization, name, 2)
        elif step == "move":
            movable = [id_ for owner, id_ in self.records if owner == organization and (owner, id_) not in self.planted]
            await self.move_record(engine, organization, random.choice(movable), name)
        elif step == "archive":
            await (self.restore if (organization, name) in self.archived else self.archive)(engine, organization, name)
        elif step == "key":
            await self.add_key(engine, organization, f"new-{len(self.keys)}", random.choice((None, [name])))
        else:
            working = [key for key, holder in self.keys.items() if holder.works]
            await self.revoke(engine, random.choice(working))

    # --------------------------------------------------------------- in detail

    async def add_organization(self, engine: Engine, number: str, records: int = 3) -> None:
        """Add an organization with domains, records, and keys of every kind."""
        organization = await add_organization(engine, f"canary-organization-{number}")
        own, old, older = (f"canary-domain-{number}-{what}.example" for what in ("own", "old", "older"))
        self.organizations[number] = organization
        for name in (SHARED_DOMAIN, own, old, older):
            self.domains[number, name] = await add_domain(engine, organization, name)
            await self.add_records(engine, number, name, records)
        await self.archive(engine, number, old)
        await self.archive(engine, number, older)
        await self.add_key(engine, number, "all")
        await self.add_key(engine, number, "own", [own])
        await self.add_key(engine, number, "old", [old, own])
        await self.add_key(engine, number, "nothing", [])
        await self.add_key(engine, number, "write", scope=KeyScope.LEAKS_WRITE)
        await self.revoke(engine, await self.add_key(engine, number, "revoked"))
        if number in WIDE:
            await self._widen(engine, number, own, old, min(records, 1))

    async def _widen(self, engine: Engine, number: str, own: str, old: str, records: int) -> None:
        """Add domains with records, and keys that have most of them."""
        more = [f"canary-domain-{number}-more-{place}.example" for place in range(_MORE_DOMAINS)]
        for name in more:
            self.domains[number, name] = await add_domain(engine, self.organizations[number], name)
            await self.add_records(engine, number, name, records)
        await self.add_key(engine, number, "wide", [own, *more])
        await self.add_key(engine, number, "wide-old", [old, *more])

    async def plant(self, engine: Engine, number: str, other: str) -> None:
        """Write what no import would: a resource with an id that others have, and a leak in another's domain."""
        at = self.organizations[number].number
        leak = next(r for (owner, _), r in self.records.items() if owner == number and r["domain"] == SHARED_DOMAIN)
        domain = self.domains[number, SHARED_DOMAIN].number
        others = self.domains[other, SHARED_DOMAIN].number
        stray, lost = f"{int(number):08x}-0000-4000-8000-00000000057a", f"canary-stray-{number}"
        theirs = next(id_ for owner, id_ in self.records if owner == other and (number, id_) not in self.records)
        dates = (leak["first_seen"], leak["added_at"])
        dates = (*dates, *map(month_of, dates))
        listed = (leak["risk_level"], *dates, "medium")
        changes = Changes(leaks=[
            (at, id_, others, 5, "medium", "new", lost, lost, lost, *dates, None, 0) for id_ in (stray, theirs)
        ])  # fmt: skip
        changes.nodes[Kind.RESOURCE] = [(at, SHARED_NODE_ID, f"canary-planted-{number}", "domain")]
        changes.links[Kind.RESOURCE] = [
            (at, leak["id"], SHARED_NODE_ID, domain, *listed, at, leak["id"]),
            (at, stray, SHARED_NODE_ID, others, *listed, at, stray),
            (at, theirs, SHARED_NODE_ID, others, *listed, at, theirs),
        ]
        async with engine.transaction() as transaction:
            await transaction.run(import_statements(engine.dialect).apply(at, changes))
        self.planted[number, leak["id"]] = f"{SHARED_NODE_ID} canary-planted-{number}"

    async def _import(self, engine: Engine, organization: str, records: list[Record]) -> None:
        secret, owner = Settings(secret=SECRET).secrets.fingerprint, self.organizations[organization]
        summary = await import_leaks(engine, owner, map(orjson.dumps, records), secret=secret)
        assert summary.bad == 0
        for record in records:
            for one in record.get("connections", {}).get("endpoints", ()):
                place = organization, record["domain"], one["filename"]
                self.dates[place] = max(one["date"], self.dates.get(place, ""))

    def record(self, organization: str, domain: str, *, is_shared: bool) -> Record:
        """A record that is like others in what it shares, and like none in all else."""
        self._count += 1
        number = self._count
        canary = f"canary-record-{organization}-{number}"
        of_organization = [owner for owner, _ in self.records].count(organization)
        day, second = f"{1 + number // 12 % 28:02}T{number // 336 % 24:02}", f"{int(organization):02}.000Z"
        added, first = f"2026-{1 + number % 12:02}-{day}", f"2025-{1 + number * 5 % 12:02}-{day}"
        return {
            "id": f"{0 if is_shared else int(organization):08x}-0000-4000-8000-{of_organization if is_shared else number:012x}",
            "domain": domain,
            "risk_level": number * 7 % 11,
            "status": ("new", "investigating", "resolved", "false_positive")[number % 4],
            "url": f"https://example.com/{canary}",
            "login": PERSON if number % 2 else f"{canary}-login@example.com",
            "password": f"{canary}-password",
            "first_seen": f"{first}:00:{second}",
            "added_at": f"{added}:10:{second}",
            "connections": {
                "resources": [{"resource": HOST, "type": "domain"}, {"resource": f"{canary}-host", "type": "apk"}],
                "users": [{"identity": PERSON, "identity_type": "email"},
                          {"identity": f"{canary}-user", "identity_type": "username"}],
                "endpoints": [{"filename": MACHINE, "date": f"{added}:30:{second}"},
                              {"filename": f"{canary}-machine", "date": f"{added}:20:{second}"}],
            },
        }  # fmt: skip


async def fill(url: str, organizations: Iterable[str] = ORGANIZATIONS) -> Tenants:
    """Fill an empty database at head."""
    tenants = Tenants(url)
    names = tuple(organizations)
    async with open_engine(url) as engine:
        for number in names:
            await tenants.add_organization(engine, number)
        for number, other in zip(names, names[1:] + names[:1], strict=True):
            if number != other:
                await tenants.plant(engine, number, other)
    return tenants
