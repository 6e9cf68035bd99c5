"""The limit on PostgreSQL: one hand-written statement an answer, through asyncpg, in a bare ASGI application.

Like the other it knows its five questions beforehand, reads nothing of a request but the id, and asks for no key.
"""

import os
from typing import Any

import asyncpg
import orjson
import uvicorn


def _instant(column: str) -> str:
    known = f"nullif({column}, '-infinity'::timestamptz) AT TIME ZONE 'UTC'"
    return f"""to_char({known}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


FOUND = "organization_number = 1 AND domain_number = ANY($1)"
LEAK = (
    "'id', l.id, 'riskLevel', l.risk_level, 'riskLevelName', upper(l.risk_level_name), 'status', upper(l.status), "
    f"'url', l.url, 'login', l.login, 'password', '***', 'firstSeen', {_instant('l.first_seen')}, "
    f"'addedAt', {_instant('l.added_at')}"
)


def _connected(table: str, order: str, fields: str, limit: str = "LIMIT 20") -> str:
    return (
        f"(SELECT coalesce(json_agg(json_build_object({fields})), '[]') FROM (SELECT n.* FROM leak_{table} k JOIN {table} n"
        f" ON n.organization_number = 1 AND n.id = k.node_id WHERE k.organization_number = 1 AND k.leak_id = l.id"
        f" ORDER BY {order}, n.id {limit}) n)"
    )


DATE = f"'date', {_instant('n.date')}"
RESOURCES = _connected("resources", "n.resource", "'id', n.id, 'resource', n.resource, 'type', upper(n.type)")
USERS = _connected("users", "n.identity", "'id', n.id, 'identity', n.identity, 'identityType', upper(n.identity_type)")
ENDPOINTS = _connected("endpoints", "n.date DESC", f"'id', n.id, 'filename', n.filename, {DATE}")
CONNECTIONS = (
    f"json_build_object('resources', json_build_object('nodes', {RESOURCES}), 'users', json_build_object('nodes', {USERS}),"
    f" 'endpoints', json_build_object('nodes', {ENDPOINTS}))"
)
REST_CONNECTIONS = (
    "json_build_object('resources', "
    + _connected("resources", "n.resource", "'resource', n.resource, 'type', n.type", "")
    + ", 'users', "
    + _connected("users", "n.identity", "'identity_type', n.identity_type", "")
    + ", 'endpoints', "
    + _connected("endpoints", "n.date DESC", f"'filename', n.filename, {DATE}", "")
    + ")"
)
PIVOT_USERS = _connected("users", "n.identity", "'id', n.id, 'identity', n.identity")
PIVOT_LEAKS = (
    "(SELECT coalesce(json_agg(json_build_object('id', l.id, 'login', l.login, 'url', l.url, 'connections',"
    f" json_build_object('users', json_build_object('nodes', {PIVOT_USERS})))), '[]')"
    " FROM (SELECT l.* FROM leak_endpoints k JOIN leaks l ON l.organization_number = 1 AND l.id = k.leak_id"
    " WHERE k.organization_number = 1 AND k.node_id = n.id AND k.domain_number = ANY($1)"
    " ORDER BY k.added_at DESC, k.leak_id DESC LIMIT 20) l)"
)
PIVOT = _connected(
    "endpoints",
    "n.date DESC",
    f"'id', n.id, 'filename', n.filename, 'leaks', json_build_object('nodes', {PIVOT_LEAKS})",
)
ONE = f"FROM leaks l WHERE {FOUND} AND id = $2"
PAGE = f"(SELECT * FROM leaks WHERE {FOUND} ORDER BY added_at DESC, id DESC LIMIT %d) l"

STATEMENTS = {
    "rest-by-id": f"""SELECT json_build_object('data', json_build_object('id', l.id, 'risk_level', l.risk_level,
        'risk_level_name', l.risk_level_name, 'status', l.status, 'url', l.url, 'login', l.login, 'password', '***',
        'first_seen', {_instant("l.first_seen")}, 'added_at', {_instant("l.added_at")}, 'connections',
        {REST_CONNECTIONS})) {ONE}""",
    "by-id": f"""SELECT json_build_object('data', json_build_object('leak', json_build_object({LEAK}, 'connections',
        {CONNECTIONS}))) {ONE}""",
    "page-of-50": f"""SELECT json_build_object('data', json_build_object('leaks', json_build_object('nodes',
        json_agg(json_build_object({LEAK}, 'connections', {CONNECTIONS}))))) FROM {PAGE % 50}""",
    "pivot": f"""SELECT json_build_object('data', json_build_object('leak', json_build_object('id', l.id, 'connections',
        json_build_object('endpoints', json_build_object('nodes', {PIVOT}))))) {ONE}""",
    "flat-page-of-100": f"""SELECT json_build_object('data', json_build_object('leaks', json_build_object('nodes',
        json_agg(json_build_object({LEAK}))))) FROM {PAGE % 100}""",
}


class Limit:
    """The application."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._domains: list[int] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            body = await self._answer("rest-by-id", scope["path"].rpartition("/")[2])
        else:
            asked = orjson.loads((await receive())["body"])
            body = await self._answer(asked["extensions"]["name"], asked["variables"].get("id"))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, name: str, leak_id: str | None) -> bytes:
        statement = STATEMENTS[name]
        pool = self._pool or await self._open()
        values = (self._domains, leak_id) if "$2" in statement else (self._domains,)
        text: str = await pool.fetchval(statement, *values)
        return text.encode()

    async def _open(self) -> asyncpg.Pool:
        self._pool = await asyncpg.create_pool(self._url, min_size=10, max_size=10)
        found = await self._pool.fetch(
            "SELECT number FROM domains WHERE organization_number = 1 AND archived_at = '-infinity'"
        )
        self._domains = [row[0] for row in found]
        return self._pool


if __name__ == "__main__":
    uvicorn.run(
        Limit(os.environ["LIMIT_DATABASE"]),
        port=int(os.environ["LIMIT_PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
