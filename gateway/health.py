"""Whether the process is alive, and whether it can answer."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.errors import error_response
from schema.errors import Unavailable

IsReady = Callable[[], Awaitable[bool]]


def health_routes(is_ready: IsReady) -> list[Route]:
    """`/healthz`: alive. `/readyz`: the store answers and its migrations are at head."""

    async def readyz(_request: Request) -> Response:
        try:
            ready = await is_ready()
        except Unavailable as error:
            return error_response(503, error.message)
        return PlainTextResponse("ready\n") if ready else error_response(503, "The migrations are not at head.")

    return [Route("/healthz", _healthz), Route("/readyz", readyz)]


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")
