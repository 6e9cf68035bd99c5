"""The limit: one hand-written statement an answer, called in the event loop of a bare ASGI application.

It knows its five questions beforehand, reads nothing of a request but the id, and asks for no key.
"""

import os
import sqlite3
from typing import Any

import orjson
import uvicorn

FOUND = "organization_number = 1 AND domain_number IN (SELECT value FROM json_each(?1))"
LEAK = (
    "'id', l.id, 'riskLevel', l.risk_level, 'riskLevelName', upper(l.risk_level_name), 'status', upper(l.status), "
    "'url', l.url, 'login', l.login, 'password', '***', 'firstSeen', nullif(l.first_seen, ''), "
    "'addedAt', nullif(l.added_at, '')"
)


def _connected(table: str, order: str, fields: str, limit: str = "LIMIT 20") -> str:
    return (
        f"(SELECT json_group_array(json_object({fields})) FROM (SELECT n.* FROM leak_{table} k CROSS JOIN {table} n"
        f" ON n.organization_number = 1 AND n.id = k.node_id WHERE k.organization_number = 1 AND k.leak_id = l.id"
        f" ORDER BY {order}, n.id {limit}) n)"
    )


RESOURCES = _connected("resources", "+n.resource", "'id', n.id, 'resource', n.resource, 'type', upper(n.type)")
USERS = _connected("users", "+n.identity", "'id', n.id, 'identity', n.identity, 'identityType', upper(n.identity_type)")
ENDPOINTS = _connected("endpoints", "+n.date DESC", "'id', n.id, 'filename', n.filename, 'date', nullif(n.date, '')")
CONNECTIONS = (
    f"json_object('resources', json_object('nodes', {RESOURCES}), 'users', json_object('nodes', {USERS}),"
    f" 'endpoints', json_object('nodes', {ENDPOINTS}))"
)
REST_CONNECTIONS = (
    "json_object('resources', "
    + _connected("resources", "+n.resource", "'resource', n.resource, 'type', n.type", "")
    + ", 'users', "
    + _connected("users", "+n.identity", "'identity_type', n.identity_type", "")
    + ", 'endpoints', "
    + _connected("endpoints", "+n.date DESC", "'filename', n.filename, 'date', nullif(n.date, '')", "")
    + ")"
)
PIVOT_LEAKS = (
    "(SELECT json_group_array(json_object('id', l.id, 'login', l.login, 'url', l.url, 'connections',"
    " json_object('users', json_object('nodes', "
    + _connected("users", "+n.identity", "'id', n.id, 'identity', n.identity")
    + ")))) FROM (SELECT l.* FROM leak_endpoints k CROSS JOIN leaks l ON l.organization_number = 1 AND l.id = k.leak_id"
    " WHERE k.organization_number = 1 AND k.node_id = n.id AND k.domain_number IN (SELECT value FROM json_each(?1))"
    " ORDER BY k.added_at DESC, k.leak_id DESC LIMIT 20) l)"
)
PAGE = f"(SELECT * FROM leaks WHERE {FOUND} ORDER BY added_at DESC, id DESC LIMIT %d) l"

STATEMENTS = {
    "rest-by-id": f"""SELECT json_object('data', json_object('id', l.id, 'risk_level', l.risk_level, 'risk_level_name',
        l.risk_level_name, 'status', l.status, 'url', l.url, 'login', l.login, 'password', '***', 'first_seen',
        nullif(l.first_seen, ''), 'added_at', nullif(l.added_at, ''), 'connections', {REST_CONNECTIONS}))
        FROM leaks l WHERE organization_number = 1 AND id = ?2 AND +domain_number IN (SELECT value FROM json_each(?1))""",
    "by-id": f"""SELECT json_object('data', json_object('leak', json_object({LEAK}, 'connections', {CONNECTIONS})))
        FROM leaks l WHERE organization_number = 1 AND id = ?2 AND +domain_number IN (SELECT value FROM json_each(?1))""",
    "page-of-50": f"""SELECT json_object('data', json_object('leaks', json_object('nodes',
        json_group_array(json_object({LEAK}, 'connections', {CONNECTIONS}))))) FROM {PAGE % 50}""",
    "pivot": "SELECT json_object('data', json_object('leak', json_object('id', l.id, 'connections',"
    " json_object('endpoints', json_object('nodes', "
    + _connected(
        "endpoints",
        "+n.date DESC",
        f"'id', n.id, 'filename', n.filename, 'leaks', json_object('nodes', {PIVOT_LEAKS})",
    )
    + "))))) FROM leaks l WHERE organization_number = 1 AND id = ?2"
    " AND +domain_number IN (SELECT value FROM json_each(?1))",
    "flat-page-of-100": f"""SELECT json_object('data', json_object('leaks', json_object('nodes',
        json_group_array(json_object({LEAK}))))) FROM {PAGE % 100}""",
}


class Limit:
    """The application."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self._connection.execute("PRAGMA mmap_size = 1073741824")
        domains = self._connection.execute(
            "SELECT json_group_array(number) FROM domains WHERE organization_number = 1 AND archived_at = ''"
        )
        (self._domains,) = domains.fetchone()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            body = self._answer("rest-by-id", scope["path"].rpartition("/")[2])
        else:
            asked = orjson.loads((await receive())["body"])
            body = self._answer(asked["extensions"]["name"], asked["variables"].get("id"))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, name: str, leak_id: str | None) -> bytes:
        statement = STATEMENTS[name]
        values = (self._domains, leak_id) if "?2" in statement else (self._domains,)
        text: str = self._connection.execute(statement, values).fetchone()[0]
        return text.encode()


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
