"""GraphiQL, served by the gateway itself: its page, its files, and what the page may do.

Nothing comes from another origin and nothing runs that is not in a file of ours. The editor makes style elements as it
runs: those carry a nonce that is new with every page, so that not even a style can be put in by anybody else.
"""

import json
import secrets
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.errors import error_response
from gateway.explorer.build import BUILD

Page = Callable[[Request], Awaitable[Response]]

PATH = "/graphiql"
_PLACEHOLDER = "__LEAKS_EXPLORER__"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self' data:; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def explorer(prefilled_key: str | None = None, build: Path = BUILD) -> tuple[Page | None, list[BaseRoute]]:
    """The page, and the routes that serve it and its files; without a build, a route that says so.

    Args:
        prefilled_key: The key that the page opens with; for the demo only.
        build: Where the build is.
    """
    index = build / "index.html"
    if not index.is_file():
        return None, [Route(PATH, _no_build)]
    page = _page(index.read_text(), prefilled_key)
    return page, [
        Route(PATH, page),
        Mount(PATH, _Files(directory=build)),
    ]


def _page(template: str, key: str | None) -> Page:
    async def page(_request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        configuration = json.dumps({"endpoint": "/graphql", "key": key, "nonce": nonce})
        headers = {"Content-Security-Policy": _POLICY.format(nonce=nonce), "Cache-Control": "no-store"}
        return HTMLResponse(template.replace(_PLACEHOLDER, escape(configuration, quote=True)), headers=headers)

    return page


class _Files(StaticFiles):
    """The files of the build. Their names hold a hash of what is in them, so they never change."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, but for the page itself, which is no file to a browser."""
        if path.endswith(".html") or path in {"", "."}:
            return error_response(404, "Not Found.")
        return await super().get_response(path, scope)


async def _no_build(_request: Request) -> Response:
    return error_response(404, "GraphiQL has not been built here. It is, once Node is there and the gateway starts.")
