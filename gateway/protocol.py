"""A connection whose requests go through the gate while it is crowded."""

import asyncio
from typing import Any

from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from gateway.deadlines import Deadlines, GuardedProtocol
from gateway.gate import Gate
from gateway.sending import send_whole


class GatedProtocol(GuardedProtocol):
    """HTTP/1.1 to clients that keep the deadlines, and that there is room for."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        deadlines: Deadlines,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop, deadlines=deadlines)
        self._gate: Gate = app_state["gate"]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if len(self.tasks) < self._gate.least:
            GuardedProtocol._start_asgi_task(self, cycle, app)  # noqa: SLF001 - as `super()`, for less
        else:
            self._answering = cycle
            self._gate.take(_Request(self, cycle, app))

    def enter(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Let the application answer a request, unless its client is gone."""
        if not cycle.disconnected:
            GuardedProtocol._start_asgi_task(self, cycle, app)  # noqa: SLF001 - see above

    def refuse(self, cycle: RequestResponseCycle, head: bytes, body: bytes, deaf_seconds: float) -> None:
        """Answer a request in the application's place, and read nothing more for a while."""
        send_whole(cycle, head, body)
        if deaf_seconds and not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_later(deaf_seconds, self._hear_again)

    def _hear_again(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()


class _Request:
    """A request whose head is there, on its connection."""

    __slots__ = ("_app", "_cycle", "_protocol", "scope")

    def __init__(self, protocol: GatedProtocol, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.scope: Scope = cycle.scope  # type: ignore[assignment]
        self._protocol = protocol
        self._cycle = cycle
        self._app = app

    def enter(self) -> None:
        """Let the application answer."""
        self._protocol.enter(self._cycle, self._app)

    def refuse(self, head: bytes, body: bytes, deaf_seconds: float) -> None:
        """Answer in the application's place, and hear nothing more of it for a while."""
        self._protocol.refuse(self._cycle, head, body, deaf_seconds)
