"""GET /leaks/{leak_id}, contract 1.0.0: a stored operation on the resolvers of GraphQL, reshaped."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admission import Admission
from gateway.auth import Authenticator
from gateway.budgets import Budgets
from gateway.errors import MASKED, error_response
from gateway.negotiation import preferred
from schema.batches import Request as OperationRequest
from schema.errors import NotFound
from schema.execution.execute import Executor, Operation, Result
from schema.pages import PageLimits
from schema.scope import KeyScope
from schema.store import Store

logger = logging.getLogger(__name__)

OPERATION = """
query Leak($id: ID!, $domainIds: [ID!]) {
  leak(id: $id, domainIds: $domainIds) {
    id riskLevel riskLevelName status url login password firstSeen addedAt
    connections {
      resources { nodes { resource type } }
      users { nodes { identityType } }
      endpoints { nodes { filename date } }
    }
  }
}
"""
WHOLE_LISTS = PageLimits(default=None, maximum=None)
_JSON_TYPE = "application/json"


class LeakEndpoint:
    """Answers with one leak and its connections."""

    def __init__(
        self,
        authenticator: Authenticator,
        executor: Executor,
        store: Store,
        cursor_secret: bytes,
        budgets: Budgets,
        admission: Admission,
    ) -> None:
        self._authenticator = authenticator
        self._executor = executor
        self._store = store
        self._cursor_secret = cursor_secret
        self._budgets = budgets
        self._admission = admission

    async def __call__(self, request: Request) -> Response:
        """The leak, 304 where the client has it already, or an error in the contract's shape."""
        if preferred(request.headers.get("accept"), (_JSON_TYPE,), default=_JSON_TYPE) is None:
            return error_response(406, "Not acceptable. Valid: application/json.")
        caller = await self._authenticator.caller(request.headers)
        caller.require(KeyScope.LEAKS_READ)
        domain_ids = _domain_ids(request.query_params.getlist("domain_id"))
        caller.scope(domain_ids, "domain_id")
        variables = {"id": request.path_params["leak_id"], "domainIds": domain_ids}
        # Its cost is the same whatever the leak is connected to, and nothing of it is given back.
        with self._budgets.spending(caller.key_id, request.scope) as spending:
            context = OperationRequest(caller, self._store, self._cursor_secret, WHOLE_LISTS, budget=spending)
            async with self._admission.turn(caller.key_id):
                result = await self._executor.execute(Operation(OPERATION, variables), context)
                return _response(request, result)


def rest_routes(endpoint: LeakEndpoint) -> list[Route]:
    """The one route of the contract."""

    async def leak(request: Request) -> Response:
        return await endpoint(request)

    return [Route("/leaks/{leak_id}", leak, methods=["GET"])]


def _domain_ids(values: Sequence[str]) -> list[str] | None:
    """The ids of `domain_id`, separated by commas or repeated; None where it is left out."""
    return [part.strip() for value in values for part in value.split(",")] if values else None


def _response(request: Request, result: Result) -> Response:
    if result.errors:
        return _failure(result)
    leak = orjson.loads(orjson.dumps(result.data))["leak"]
    if leak is None:
        raise NotFound("No leak with this id is visible.")
    body = orjson.dumps({"data": _contract_leak(leak)})
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-store", "Vary": "Accept, Authorization, X-API-Key"}
    if _is_known(etag, request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=_JSON_TYPE)


def _failure(result: Result) -> Response:
    logger.error("The stored operation failed", exc_info=result.errors[0])
    return error_response(500, MASKED)


def _contract_leak(leak: dict[str, Any]) -> dict[str, Any]:
    connections = leak["connections"]
    return {
        "id": leak["id"],
        "risk_level": leak["riskLevel"],
        "risk_level_name": leak["riskLevelName"].lower(),
        "status": leak["status"].lower(),
        "url": leak["url"],
        "login": leak["login"],
        "password": leak["password"],
        "first_seen": leak["firstSeen"],
        "added_at": leak["addedAt"],
        "connections": {
            "resources": [
                {"resource": node["resource"], "type": node["type"].lower()}
                for node in connections["resources"]["nodes"]
            ],
            "users": [{"identity_type": node["identityType"].lower()} for node in connections["users"]["nodes"]],
            "endpoints": connections["endpoints"]["nodes"],
        },
    }


def _is_known(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether the client names this version (RFC 9110, section 13.1.2: weak comparison)."""
    named = {tag.strip().removeprefix("W/") for value in if_none_match for tag in value.split(",")}
    return etag in named or "*" in named
