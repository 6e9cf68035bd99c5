"""Requests leave nothing to the garbage collector, since everybody waits while it works."""

import gc
import http.client
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import orjson
import pytest

from gateway.app import create_app
from gateway.storage import quick
from tests.faults.traffic import CURSORS, PAGE, get
from tests.records import EXAMPLE_ID, UNKNOWN_ID, World
from tests.serving import served

TIMES = 500
MOST = 200
"""Others are at work in this process as well, but they leave less than one object for each request."""

Asked = Callable[[], int]


@contextmanager
def connected(address: str, key: str) -> Iterator[Callable[..., int]]:
    """A connection that is kept alive: from a method, a path and a body to the status of the response."""
    with closing(http.client.HTTPConnection(urlsplit(address).netloc)) as connection:

        def ask(method: str, path: str, query: str | None = None) -> int:
            body = None if query is None else orjson.dumps({"query": query})
            connection.request(method, path, body, {"Content-Type": "application/json", "X-API-Key": key})
            response = connection.getresponse()
            response.read()
            return response.status

        yield ask


def left_by(ask: Asked) -> int:
    """How many objects are left that only the garbage collector frees, where requests are repeated."""
    for _ in range(TIMES // 5):
        ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(TIMES):
            ask()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", f"/leaks/{EXAMPLE_ID}"), 200),
        (("GET", f"/leaks/{UNKNOWN_ID}"), 404),
        (("POST", "/graphql", PAGE), 200),
        (("POST", "/graphql", CURSORS), 200),
        (("GET", "/healthz"), 200),
    ],
    ids=["leak", "unknown", "page", "cursors", "health"],
)
@pytest.mark.parametrize("is_quick", [True, False], ids=["in-the-loop", "in-a-thread"])
def test_a_request_leaves_no_reference_cycle(
    world: World, monkeypatch: pytest.MonkeyPatch, request_: tuple[str, ...], status: int, *, is_quick: bool
) -> None:
    if not is_quick:
        # Whatever takes any time is not read in the event loop; with PostgreSQL nothing is.
        monkeypatch.setattr(quick, "_SECONDS", 0)
    with served(create_app(world.settings), world.settings) as address, connected(address, world.keys["read"]) as ask:
        assert ask(*request_) == status
        assert left_by(lambda: ask(*request_)) < MOST


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_reset", [True, False])
def test_a_client_that_goes_away_before_it_is_answered_leaves_no_reference_cycle(
    world: World, *, is_reset: bool
) -> None:
    with served(create_app(world.settings), world.settings) as address, connected(address, world.keys["read"]) as ask:
        host, port = urlsplit(address).hostname, urlsplit(address).port
        request = get(f"/leaks/{EXAMPLE_ID}", world.keys["read"])

        def go_away() -> int:
            with socket.create_connection((host, port)) as client:
                if is_reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(request)
            # So that the server has met it.
            return ask("GET", "/healthz")

        assert left_by(go_away) < MOST
