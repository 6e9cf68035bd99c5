"""The short way to the doors that most requests go through."""

from collections.abc import Mapping
from typing import TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

Door = TypeVar("Door")


class ShortWay:
    """Takes most requests straight to their door, found by method and path; for all others there is the router.

    Args:
        app: What has the router.
        doors: By method, and by a path as it is or as far as its last slash.
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
    """What stands at the path of a request, or at its path as far as the last slash."""
    method, path = scope["method"], scope["path"]
    return doors.get((method, path)) or doors.get((method, path[: path.rfind("/") + 1]))
