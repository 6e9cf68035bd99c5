"""Made-up leaks to show the gateway with: the same for the same seed, and plainly nobody's.

Every host is one of the names, and every address of the blocks, that are set aside for documentation (RFC 2606 and
RFC 5737).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeAlias, TypeVar

import orjson

from gateway.importing.records import NAMES_BY_LEVEL

Record: TypeAlias = dict[str, Any]
Choice = TypeVar("Choice")

REFERENCE = datetime(2026, 11, 1, tzinfo=UTC)
"""The made-up present: nothing is younger."""

DAYS = 400
LEAKS_A_MACHINE = 15
LEAKS_A_PERSON = 5

_SECONDS_A_DAY = 86_400
_DAY_NAMES = [(REFERENCE - timedelta(days=age)).strftime("%Y-%m-%d") for age in range(1, DAYS + 2)]
_TIMES_OF_DAY = [f"T{n // 60:02}:{n % 60:02}:" for n in range(24 * 60)]
_SECONDS = [f"{second:02}.{millisecond:03}Z" for second in range(60) for millisecond in (0, 219, 500, 879)]

_COUNTRIES = ("US", "DE", "BR", "IN", "FR", "PL", "ID", "TR", "MX", "EG", "VN", "ES")
_BLOCKS = ("203.0.113", "198.51.100", "192.0.2")
_HOSTS_A_BLOCK = 254
_SERVICES = (
    ("vpn", "/remote/login"),
    ("mail", "/owa/auth/logon.aspx"),
    ("sso", "/auth/realms/staff/login"),
    ("portal", "/login"),
    ("git", "/users/sign_in"),
    ("jira", "/login.jsp"),
    ("hr", "/self-service"),
    ("wiki", "/dologin.action"),
    ("api", "/v1/session"),
    ("crm", "/Account/Login"),
    ("ci", "/j_acegi_security_check"),
    ("files", "/index.php/login"),
)
_APPS = ("mail", "wallet", "travel", "chat", "expenses", "roster")
_FIRST_NAMES = (
    "alex", "amina", "bruno", "chen", "dana", "elif", "farid", "grace", "hana", "ivan",
    "jonas", "kim", "lena", "marco", "nadia", "omar", "priya", "quinn", "rosa", "sven",
)  # fmt: skip
_LAST_NAMES = (
    "adler", "bauer", "costa", "diaz", "eriksen", "fischer", "gupta", "haddad", "ito", "jansen",
    "kaya", "lopez", "meyer", "novak", "okafor", "park", "quist", "rossi", "silva", "tanaka",
    "ueda", "vogel", "weber", "xu", "yilmaz", "zhang", "abbott", "blum", "conti", "dubois",
)  # fmt: skip
_PEOPLE = [(first, last) for last in _LAST_NAMES for first in _FIRST_NAMES]
_PROVIDERS = ("mail.example", "post.example", "inbox.example")

# What is drawn from these is as frequent as it stands in them.
_RISKS = [level for level, weight in enumerate((4, 6, 8, 10, 12, 16, 14, 12, 9, 6, 3)) for _ in range(weight)]
_STATUSES = ("new",) * 62 + ("investigating",) * 14 + ("resolved",) * 18 + ("false_positive",) * 6
_IDENTITIES = ("staff",) * 9 + ("staff, username",) * 3 + ("private",) * 3 + ("private, username",) + ("username",) * 4
_TARGETS = ("host",) * 9 + ("host, domain",) * 4 + ("host, domain, ip",) * 2 + ("host, ip",) * 3 + ("host, app",) * 2
_INFECTED_MACHINES = (0,) * 12 + (1,) * 76 + (2,) * 12
_DATED = ((True, True),) * 95 + ((False, True),) * 4 + ((False, False),)
_WITH_URL = (True,) * 19 + (False,)
_OWNED = (True,) * 7 + (False,) * 3
_PASSWORDS = ("***",) * 600 + tuple(f"not-a-password-{number}" for number in range(350)) + (None,) * 50


@dataclass(frozen=True, slots=True)
class DemoOrganization:
    """A made-up organization.

    Attributes:
        name: What it is called.
        domains: Those in use, the one with the most leaks first.
        archived_domains: Those that were given up; they have leaks too.
    """

    name: str
    domains: tuple[str, ...]
    archived_domains: tuple[str, ...]


ORGANIZATIONS = (
    DemoOrganization(
        "Example Corp",
        (
            "example.com", "eu.example.com", "shop.example.com", "cloud.example.com", "partners.example.com",
            "support.example.com", "pay.example.com", "mobile.example.com", "careers.example.com", "corp.example",
        ),
        ("legacy.example.com", "beta.example.com"),
    ),
    DemoOrganization("Example Labs", ("example.org", "labs.example.org", "research.example.net"), ("old.example.org",)),
)  # fmt: skip


def demo_lines(organization: DemoOrganization, leaks: int, seed: int = 1) -> Iterator[bytes]:
    """As many made-up leaks of an organization as are wanted, as lines of an import without line feeds."""
    return map(orjson.dumps, demo_leaks(organization, leaks, seed))


def demo_leaks(organization: DemoOrganization, leaks: int, seed: int = 1) -> Iterator[Record]:
    """As many made-up leaks of an organization as are wanted, as records of an import.

    Machines, users and resources are shared, by fewer leaks or more; many of their names occur in every organization.
    """
    random = Random(f"{organization.name} {seed}")  # noqa: S311 - made up, not secret
    world = _World(organization, leaks, random)
    for _ in range(leaks):
        yield world.leak()


class _World:
    """What the leaks of an organization have in common, as numbers: the name of a thing follows from its number."""

    def __init__(self, organization: DemoOrganization, leaks: int, random: Random) -> None:
        self._domains = organization.domains + organization.archived_domains
        self._machines = leaks // LEAKS_A_MACHINE + 1
        self._people = leaks // LEAKS_A_PERSON + 1
        self._hosts = len(_SERVICES) + leaks // 200
        self._draw = random.random
        self._bits = random.getrandbits

    def leak(self) -> Record:
        draw = self._draw
        domain = self._domains[int(draw() ** 1.7 * len(self._domains))]
        machine = int(draw() ** 2 * self._machines)
        users = self._users(machine)
        resources, url = self._targets(domain)
        risk_level = self._one_of(_RISKS)
        first_seen, added_at = self._dates(machine)
        return {
            "id": _uuid(self._bits(128)),
            "domain": domain,
            "risk_level": risk_level,
            "risk_level_name": NAMES_BY_LEVEL[risk_level],
            "status": self._one_of(_STATUSES),
            "url": url,
            "login": users[0]["identity"],
            "password": self._one_of(_PASSWORDS),
            "first_seen": first_seen,
            "added_at": added_at,
            "connections": {"resources": resources, "users": users, "endpoints": self._endpoints(machine)},
        }

    def _one_of(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self._draw() * len(choices))]

    def _users(self, machine: int) -> list[Record]:
        """Most logins of a machine are its few owners', some are anybody's."""
        owned = self._one_of(_OWNED)
        person = (machine * 7 + int(self._draw() * 7)) % self._people if owned else int(self._draw() * self._people)
        round_, number = divmod(person, len(_PEOPLE))
        first, last = _PEOPLE[number]
        suffix = str(round_) if round_ else ""
        kind = self._one_of(_IDENTITIES)
        users = []
        if kind.startswith("staff"):
            users.append({"identity": f"{first}.{last}{suffix}@{self._domains[person % 3]}", "identity_type": "email"})
        elif kind.startswith("private"):
            users.append({"identity": f"{first}{last}{suffix}@{_PROVIDERS[person % 3]}", "identity_type": "email"})
        if kind.endswith("username"):
            users.append({"identity": f"{first[0]}{last}{suffix}", "identity_type": "username"})
        return users

    def _targets(self, domain: str) -> tuple[list[Record], str | None]:
        """What can be reached with a login, and where it was entered."""
        number = int(self._draw() ** 3 * self._hosts)
        round_, service = divmod(number, len(_SERVICES))
        name, path = _SERVICES[service]
        host = f"{name}{round_}.{domain}" if round_ else f"{name}.{domain}"
        kind = self._one_of(_TARGETS)
        resources = [{"resource": host, "type": "domain"}]
        if kind.startswith("host, domain"):
            resources.append({"resource": domain, "type": "domain"})
        if kind.endswith("ip"):
            resources.append({"resource": _address(number * 7), "type": "ip"})
        if kind.endswith("app"):
            resources.append({"resource": f"com.example.{_APPS[number % len(_APPS)]}", "type": "apk"})
        return resources, f"https://{host}{path}" if self._one_of(_WITH_URL) else None

    def _endpoints(self, machine: int) -> list[Record]:
        count = self._one_of(_INFECTED_MACHINES)
        machines = (machine, int(self._draw() * self._machines))[:count]
        return [
            {"filename": machine_name(number), "date": instant(machine_age_seconds(number), number)}
            for number in dict.fromkeys(machines)
        ]

    def _dates(self, machine: int) -> tuple[str | None, str | None]:
        """A leak is first seen after its machine was infected, and added after that."""
        first_seen_age = int(machine_age_seconds(machine) * (1 - self._draw() / 10))
        added_age = int(first_seen_age * (1 - self._draw() ** 2 / 5))
        variant = self._bits(12)
        has_first_seen, has_added_at = self._one_of(_DATED)
        return (
            instant(first_seen_age, variant) if has_first_seen else None,
            instant(added_age, variant) if has_added_at else None,
        )


def machine_name(number: int) -> str:
    """The stealer log's file name of a machine."""
    country = _COUNTRIES[number * 5 % len(_COUNTRIES) if number % 3 else 0]
    round_ = number // (len(_BLOCKS) * _HOSTS_A_BLOCK)
    return f"[{country}]{_address(number)}_{round_}.rar" if round_ else f"[{country}]{_address(number)}.rar"


def machine_age_seconds(number: int) -> int:
    """How long before the reference a machine was infected: more of them lately."""
    chance = number * 2_654_435_761 % 4_294_967_296 / 4_294_967_296
    return int(chance**1.5 * DAYS * _SECONDS_A_DAY)


def instant(age_seconds: int, variant: int) -> str:
    """The instant so long before the reference, to the minute; the variant makes up the rest."""
    days, seconds = divmod(age_seconds, _SECONDS_A_DAY)
    return _DAY_NAMES[days] + _TIMES_OF_DAY[1439 - seconds // 60] + _SECONDS[variant % len(_SECONDS)]


def _address(number: int) -> str:
    return f"{_BLOCKS[number % 3]}.{number // 3 % _HOSTS_A_BLOCK + 1}"


def _uuid(bits: int) -> str:
    text = f"{bits & ~(0xF000_C000 << 48) & (1 << 128) - 1 | 0x4000_8000 << 48:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
