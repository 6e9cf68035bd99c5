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

from gateway.errors import error_response
from gateway.explorer.build import BUILD

Page = Callable[[Request], Awaitable[Response]]

PATH = "/graphiql"
_PLACEHOLDER = "__LEAKS_EXPLORER__"

# What the page may do; the rest is forbidden, 'unsafe-inline' and 'unsafe-eval' among it.
#   script-src   our own files; the page's settings reach them in a meta element, so there is no inline script
#   style-src    our own files, and style elements with the page's nonce: the editor makes them as it runs, and
#                src/styles.js gives them the nonce. Style attributes stay forbidden; what the editor writes as such is
#                set through the CSSOM, which no policy restricts
#   connect-src  operations, to this gateway
#   img-src, font-src   GraphiQL's stylesheet holds its icons and fonts as data
#   worker-src   the editor's workers, which are files of ours, none made from a blob
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self' data:; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A worker runs under its own file's policy, and loads the formatter only when it is asked to format.
_FILE_POLICY = "default-src 'none'; script-src 'self'; frame-ancestors 'none'"


def explorer(prefilled_key: str | None = None, build: Path = BUILD) -> tuple[Page | None, list[BaseRoute]]:
    """The page, and the routes that serve it and its files; without a build, a route that says so.

    Args:
        prefilled_key: The key that the page opens with; for the demo only.
        build: Where the build is.
    """
    index = build / "index.html"
    if not index.is_file():
        return None, [Route(PATH, _no_build)]
    page = _page(index.read_text(encoding="utf-8"), prefilled_key)
    return page, [
        Route(PATH, page),
        Route(f"{PATH}/", _without_slash),
        Mount(f"{PATH}/assets", _Assets(directory=build / "assets")),
    ]


def _page(template: str, key: str | None) -> Page:
    async def page(_request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        configuration = json.dumps({"endpoint": "/graphql", "key": key, "nonce": nonce})
        headers = {"Content-Security-Policy": _POLICY.format(nonce=nonce), "Cache-Control": "no-store"}
        return HTMLResponse(template.replace(_PLACEHOLDER, escape(configuration, quote=True)), headers=headers)

    return page


async def _without_slash(_request: Request) -> Response:
    # A path alone: the host that a request names may be anybody's.
    return Response(status_code=307, headers={"Location": PATH})


class _Assets(StaticFiles):
    """The files that the page loads. Their names hold a hash of what is in them, so they never change."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["Content-Security-Policy"] = _FILE_POLICY
        return response


async def _no_build(_request: Request) -> Response:
    return error_response(404, "GraphiQL has not been built here. It is, once Node is there and the gateway starts.")
