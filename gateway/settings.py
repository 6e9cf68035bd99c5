"""The settings: read once from `LEAKS_*` in the environment, and passed down."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gateway.secret import MIN_SECRET_CHARACTERS, SecretError, Secrets, read_or_make_secret
from gateway.storage.roles import SERVING_ROLE
from schema.budget import LARGEST_INT

PREFIX = "LEAKS_"

T = TypeVar("T")


class SettingsError(Exception):
    """A setting that cannot be used; the message names it and says what would be right."""


def data_folder() -> Path:
    """The user's data directory for the gateway."""
    return platformdirs.user_data_path("leaks-gateway", appauthor=False)


def _setting(default: Any, parse: Callable[[str], Any], meaning: str) -> Any:
    """A field that is a setting; the README says of it what `meaning` does."""
    metadata = {"parse": parse, "meaning": meaning}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _text(value: str) -> str:
    return value


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def _switch(value: str) -> bool:
    words = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
    if value.lower() not in words:
        raise ValueError("true or false")
    return words[value.lower()]


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in value.split(",") if part.strip())
    if not all(origin.startswith(("http://", "https://")) for origin in origins):
        raise ValueError("origins such as https://dashboard.example, separated by commas")
    return origins


def _networks(value: str) -> str:
    try:
        return ",".join(
            str(ip_network(part.strip())).removesuffix("/32").removesuffix("/128") for part in value.split(",")
        )
    except ValueError:
        raise ValueError("addresses or networks such as 192.0.2.0/24, separated by commas") from None


def _level(value: str) -> str:
    if value.lower() not in {"debug", "info", "warning", "error"}:
        raise ValueError("debug, info, warning or error")
    return value.lower()


def _executor(value: str) -> str:
    if value not in {"planner", "interpreter"}:
        raise ValueError("planner or interpreter")
    return value


def _role(value: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value):
        raise ValueError("1 to 63 lower-case letters, digits and underscores, no digit first")
    return value


def _secret(value: str) -> str:
    if len(value) < MIN_SECRET_CHARACTERS:
        raise ValueError(f"at least {MIN_SECRET_CHARACTERS} characters")
    return value


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """How the gateway is set. Each field is the setting `LEAKS_` and its name in capitals."""

    database_url: str = _setting(
        lambda: f"sqlite:///{data_folder() / 'leaks.db'}",
        _text,
        "where the records are: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`",
    )
    serving_role: str = _setting(
        SERVING_ROLE, _role, "the role that serves, with PostgreSQL; `migrate` makes it and gives it its rights"
    )
    secret: str = _setting(
        "", _secret, "the installation's secret, which keys, cursors and fingerprints hang on; at least 32 characters"
    )
    secret_file: Path = _setting(
        lambda: data_folder() / "secret", Path, "the file that holds the secret; made where there is none"
    )
    host: str = _setting("127.0.0.1", _text, "the address to serve on")
    port: int = _setting(8000, _number(0, 65535), "the port to serve on")
    workers: int = _setting(1, _number(1, 64), "processes that serve on the port together")
    log_level: str = _setting("info", _level, "what is logged: `debug`, `info`, `warning` or `error`")
    cors_origins: tuple[str, ...] = _setting((), _origins, "origins whose pages may call, separated by commas")
    executor: str = _setting("planner", _executor, "how operations run: `planner`, or `interpreter` for all")
    introspection: bool = _setting(True, _switch, "whether the schema may be asked for")
    max_header_bytes: int = _setting(
        32_768, _number(1024, 2**20), "the longest head of a request: address and headers; the longest trailers, too"
    )
    header_timeout_seconds: int = _setting(
        10, _number(1, 3600), "how long a connection may idle, and the head of a request take to come"
    )
    body_timeout_seconds: int = _setting(
        10, _number(1, 3600), "how long its body may take to come, and a client to go on reading the answer"
    )
    max_request_bytes: int = _setting(131_072, _number(1024, 2**30), "the longest body of an operation")
    max_tokens: int = _setting(2000, _number(10, 10**6), "the most lexical tokens of a document")
    max_depth: int = _setting(15, _number(1, 100), "the most fields inside fields")
    max_aliases: int = _setting(30, _number(0, 10**6), "the most aliases of an operation")
    max_directives: int = _setting(50, _number(0, 10**6), "the most directives of an operation")
    max_selections: int = _setting(
        1000, _number(1, 10**6), "the most fields and fragments of an operation, a fragment's as often as it is spread"
    )
    max_repeats: int = _setting(
        50, _number(1, 10**6), "the most times that the same field, or fragments, can be asked for at one place"
    )
    max_root_fields: int = _setting(30, _number(1, 10**6), "the most fields where an operation starts")
    max_variable_depth: int = _setting(8, _number(0, 500), "the most lists and objects inside each other, in variables")
    max_variable_length: int = _setting(
        1000, _number(1, 10**9), "the most items of a list, or members of an object, in variables"
    )
    max_nodes: int = _setting(100_000, _number(1, 10**9), "the most nodes that an operation can return")
    max_values: int = _setting(1_000_000, _number(1, 10**9), "the most values of fields that an operation can return")
    max_cost: int = _setting(200_000, _number(1, 10**9), "the most points that an operation can cost")
    rate_limit: int = _setting(
        600_000, _number(0, LARGEST_INT), "the points that a key may spend in a minute; 0 sets no limit"
    )
    max_concurrency: int = _setting(
        256, _number(1, 10_000), "the most requests that a process takes in at once, running and waiting"
    )
    max_concurrency_per_key: int = _setting(64, _number(1, 10_000), "the most of them that may be one key's")
    queue_milliseconds: int = _setting(
        20, _number(0, 60_000), "how long a request beyond these waits for its turn, before it is refused"
    )
    max_failed_keys: int = _setting(
        20, _number(0, 10**6), "the most wrong keys a minute from one address; 0 for no end"
    )
    trusted_proxies: str = _setting(
        "127.0.0.1,::1",
        _networks,
        "proxies whose `X-Forwarded-For` is believed: addresses or networks, separated by commas",
    )
    trusted_documents: Path | None = _setting(
        None, Path, "a JSON file from ids to the texts of documents: no others run; else all do that keep to the limits"
    )
    operation_timeout_seconds: int = _setting(
        10, _number(1, 3600), "how long an operation may take; then it is stopped, down to the database"
    )
    readers: int = _setting(
        2, _number(1, 64), "connections that operations read from, with SQLite; one more is for keys and readiness"
    )
    pool_size: int = _setting(
        12,
        _number(2, 1000),
        "connections at the most, with PostgreSQL; two of them (one, if there are two) are kept from operations",
    )

    def __repr__(self) -> str:
        """Name no value: the secret and a database's password are among them."""
        return "Settings(…)"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings of an environment.

        Raises:
            SettingsError: one of them cannot be read.
        """
        given: dict[str, Any] = {}
        for setting in fields(cls):
            name = PREFIX + setting.name.upper()
            if environment.get(name):
                given[setting.name] = _parse(name, environment[name], setting.metadata["parse"])
        return cls(**given)

    @property
    def secrets(self) -> Secrets:
        """The keys derived from the secret, which is made on first need.

        Raises:
            SettingsError: the secret file cannot be read or written.
        """
        try:
            return Secrets.derive(self.secret or read_or_make_secret(self.secret_file))
        except SecretError as error:
            raise SettingsError(str(error)) from error

    @property
    def shown_database_url(self) -> str:
        """Where the records are, without the password, which may stand in the query as well."""
        try:
            url = make_url(self.database_url)
        except ArgumentError:
            return "(unreadable)"
        telling = [name for name in url.query if "password" in name.lower()]
        return url.difference_update_query(telling).render_as_string(hide_password=True)


def _parse(name: str, value: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise SettingsError(f"Invalid {name}. Valid: {error}.") from None
