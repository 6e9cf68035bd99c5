"""A shortcut past the router for the endpoints that most requests go to."""

from collections.abc import Mapping
from typing import TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

Door = TypeVar("Door")


class ShortWay:
    """Calls the endpoint of most requests directly, found by method and path; all others go to the router.

    Args:
        app: The application with the router.
        doors: Endpoints by method and path (see `door_of`).
    """

    def __init__(self, app: ASGIApp, doors: Mapping[tuple[str, str], ASGIApp]) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._door(scope)(scope, receive, send)

    def _door(self, scope: Scope) -> ASGIApp:
        return (door_of(self._doors, scope) if scope["type"] == "http" else None) or self._app


def door_of(doors: Mapping[tuple[str, str], Door], scope: Scope) -> Door | None:
    """The endpoint for a request's method, and for its path or the path up to its last slash."""
    method, path = scope["method"], scope["path"]
    return doors.get((method, path)) or doors.get((method, path[: path.rfind("/") + 1]))
