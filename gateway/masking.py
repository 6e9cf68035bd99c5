"""An unexpected exception becomes a masked response, and a traceback in the log with the request's id."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import MASKED, error_response

logger = logging.getLogger(__name__)


class MaskingMiddleware:
    """Answers if the application fails. It is the innermost middleware, so that this response gets all headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_noted(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception:
            if has_started:
                raise
            logger.exception("A request failed")
            await error_response(500, MASKED)(scope, receive, send)
