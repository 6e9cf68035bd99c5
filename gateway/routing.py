"""The short way to the doors that most requests go through."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


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
        if scope["type"] != "http":
            return self._app
        method, path = scope["method"], scope["path"]
        door = self._doors.get((method, path)) or self._doors.get((method, path[: path.rfind("/") + 1]))
        return door or self._app
