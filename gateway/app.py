"""The composition root: what the application answers, and what it is made of."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.admission import ABREAST, Admission
from gateway.auth import Authenticator
from gateway.budgets import Budgets
from gateway.cors import cors
from gateway.documents import named_documents
from gateway.doors import Entrance
from gateway.envelope import EnvelopeMiddleware
from gateway.errors import error_response
from gateway.explorer import explorer
from gateway.garbage import collected_rarely
from gateway.gate import Gate, State
from gateway.graphql import GraphQLEndpoint, graphql_routes
from gateway.health import health_routes
from gateway.logs import flush
from gateway.masking import MaskingMiddleware
from gateway.rest import LeakEndpoint, rest_routes
from gateway.routing import ShortWay
from gateway.settings import Settings
from gateway.storage.database import make_engine
from gateway.storage.dialects import SQLITE
from gateway.storage.engine import Damaged, Engine
from gateway.storage.migrations import is_at_head
from gateway.storage.patience import finish, promptly
from gateway.storage.postgresql import KEPT_CONNECTIONS
from gateway.storage.reads import SQLStore
from gateway.throttle import Throttle
from gateway.timeouts import Timeouts
from gateway.uses import Uses
from schema.errors import Unavailable
from schema.execution.execute import Executor
from schema.execution.limits import Limits

Doors: TypeAlias = dict[tuple[str, str], GraphQLEndpoint | LeakEndpoint]

_SECONDS_TO_CANCEL = 1.0
"""How long the gateway has to end a statement itself, before the database does."""

logger = logging.getLogger(__name__)


class Gateway(Starlette):
    """Starlette without its outermost middleware: whatever fails is answered further inside."""

    def build_middleware_stack(self) -> ASGIApp:
        """The middleware but `ServerErrorMiddleware`."""
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)  # noqa: S101 - so Starlette documents it
        return outermost.app


def create_app(
    settings: Settings | None = None, *, demo_key: str | None = None, engine: Engine | None = None
) -> Starlette:
    """The application.

    Args:
        settings: How it is set; from the environment where left out.
        demo_key: The key that GraphiQL opens with; for the demo only.
        engine: The database; the one of the settings where left out.
    """
    settings = settings or Settings.from_environment(os.environ)
    engine = engine or make_engine(
        settings.database_url,
        readers=settings.readers,
        pool_size=settings.pool_size,
        serving_role=settings.serving_role,
        statement_seconds=settings.operation_timeout_seconds + _SECONDS_TO_CANCEL,
    )
    timeouts = Timeouts(SQLStore(engine), settings.operation_timeout_seconds)
    secrets = settings.secrets
    uses = Uses(engine)
    authenticator = Authenticator(engine, secrets.key, Throttle(settings.max_failed_keys), uses)
    executor = Executor(_limits(settings), introspection=settings.introspection, planned=settings.executor == "planner")
    budgets, admission = Budgets(engine, settings.rate_limit), _admission(settings, engine)
    entrance = Entrance(authenticator, budgets, admission, timeouts, executor, secrets.cursor)
    documents = named_documents(settings.trusted_documents, executor.prepare)
    graphql, rest = GraphQLEndpoint(entrance, documents, settings.max_request_bytes), LeakEndpoint(entrance)
    page, explorer_routes = explorer(demo_key)
    doors: Doors = {("POST", "/graphql"): graphql, ("GET", "/leaks/"): rest}
    # By other methods, the router leads to the same endpoints, at the same cost.
    gated: Doors = {**doors, ("GET", "/graphql"): graphql, ("HEAD", "/graphql"): graphql, ("HEAD", "/leaks/"): rest}
    gate = Gate(admission, authenticator.known, gated, origins=settings.cors_origins)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        await engine.open()
        try:
            with collected_rarely():
                async with uses.written():
                    yield {"gate": gate}
                    gate.close()
                    await finish(budgets.close(), "what keys spent last")
        finally:
            await engine.close()
            counts = executor.counts
            logger.info("Operations: %d planned, %d interpreted", counts["planned"], counts["interpreted"])
            flush()

    app = Gateway(
        routes=[
            *rest_routes(rest),
            *graphql_routes(graphql, page),
            *explorer_routes,
            *health_routes(partial(_is_ready, engine)),
        ],
        middleware=[
            Middleware(EnvelopeMiddleware),
            *cors(settings.cors_origins),
            Middleware(ShortWay, doors=doors),
            Middleware(MaskingMiddleware),
        ],
        exception_handlers={
            HTTPException: _http_error_response,
        },
        lifespan=lifespan,
    )
    # It would send clients to whatever host a request names.
    app.router.redirect_slashes = False
    return app


async def _is_ready(engine: Engine) -> bool:
    """Whether the database answers and is at the newest version.

    Raises:
        Unavailable: it does not answer in time, or is damaged.
    """
    with suppress(Damaged):
        if not engine.is_damaged:
            return await promptly(is_at_head(engine))
    raise Unavailable("The database is damaged. Run: python -m gateway check")


def _limits(settings: Settings) -> Limits:
    return Limits(
        tokens=settings.max_tokens,
        depth=settings.max_depth,
        aliases=settings.max_aliases,
        directives=settings.max_directives,
        selections=settings.max_selections,
        repeats=settings.max_repeats,
        root_fields=settings.max_root_fields,
        nodes=settings.max_nodes,
        values=settings.max_values,
        # What no budget ever holds is told as too costly, and not as to be tried again.
        points=min(settings.max_cost, settings.rate_limit or settings.max_cost),
        variable_depth=settings.max_variable_depth,
        variable_length=settings.max_variable_length,
    )


def _admission(settings: Settings, engine: Engine) -> Admission:
    # With PostgreSQL a turn is a connection; with SQLite connections are shared.
    connections = max(1, settings.pool_size - KEPT_CONNECTIONS)
    return Admission(
        settings.max_concurrency,
        settings.max_concurrency_per_key,
        settings.queue_milliseconds / 1000,
        settings.operation_timeout_seconds,
        ABREAST if engine.dialect is SQLITE else connections,
    )


async def _http_error_response(_request: Request, error: Any) -> Response:
    return error_response(error.status_code, f"{error.detail}.", error.headers)
