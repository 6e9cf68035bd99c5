"""A connection whose requests pass the gate while the process is crowded."""

import asyncio
from collections.abc import Container
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
    """HTTP/1.1 to clients that keep the deadlines and that there is room for."""

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
        # The application is wrapped in uvicorn's `ProxyHeadersMiddleware`.
        self._proxies: Container[str] = config.loaded_app.trusted_hosts

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._gate.is_open(len(self.tasks)):
            GuardedProtocol._start_asgi_task(self, cycle, app)  # noqa: SLF001 - as `super()`, for less
        else:
            self._answering = cycle
            self._gate.take(_Request(self, cycle, app))

    def enter(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Let the application answer a request, unless the client is gone."""
        if not cycle.disconnected:
            GuardedProtocol._start_asgi_task(self, cycle, app)  # noqa: SLF001 - see above

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the gate forget the connection."""
        self._gate.forget(self)
        super().connection_lost(exc)

    @property
    def is_from_proxy(self) -> bool:
        """Whether the client is a trusted proxy."""
        return self.client is not None and self.client[0] in self._proxies

    def pause(self) -> bool:
        """Stop reading from the connection. False if it is closed."""
        if self.transport.is_closing():
            return False
        self.flow.pause_reading()
        return True

    def resume(self) -> None:
        """Read from it again; the time that it was paused does not count as idle."""
        if not self.transport.is_closing():
            self._answered_at = self.loop.time()
            self.flow.resume_reading()


class _Request:
    """A request whose head has come, on its connection."""

    __slots__ = ("_app", "_cycle", "connection", "scope")

    def __init__(self, protocol: GatedProtocol, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.scope: Scope = cycle.scope  # type: ignore[assignment]
        self.connection = protocol
        self._cycle = cycle
        self._app = app

    @property
    def is_from_proxy(self) -> bool:
        """Whether a trusted proxy sent it."""
        return self.connection.is_from_proxy

    def enter(self) -> None:
        """Let the application answer."""
        self.connection.enter(self._cycle, self._app)

    def refuse(self, head: bytes, body: bytes) -> None:
        """Answer in place of the application."""
        send_whole(self._cycle, head, body)
