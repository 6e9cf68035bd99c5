"""A plain Strawberry application of the same types, as its documentation teaches it: fields, resolvers, DataLoaders."""

import os
from collections import defaultdict
from typing import Any

import strawberry
import uvicorn
from databases import Database
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.types import Info

database = Database(f"sqlite:///{os.environ['LIMIT_DATABASE']}")
ORGANIZATION = "organization_number = 1"
LEAK = "id, risk_level, risk_level_name, status, url, login, first_seen, added_at"
SCOPE = f"domain_number IN (SELECT number FROM domains WHERE {ORGANIZATION} AND archived_at = '')"


async def _connected(table: str, columns: str, order: str, ids: list[str]) -> list[list[Any]]:
    marks = ", ".join(f":id{place}" for place in range(len(ids)))
    rows = await database.fetch_all(
        f"SELECT k.leak_id, {columns} FROM leak_{table} k JOIN {table} n ON n.{ORGANIZATION} AND n.id = k.node_id"
        f" WHERE k.{ORGANIZATION} AND k.leak_id IN ({marks}) ORDER BY {order}, n.id",
        {f"id{place}": leak_id for place, leak_id in enumerate(ids)},
    )
    found = defaultdict(list)
    for row in rows:
        found[row[0]].append((row[1], row[2], row[3]))
    return [found[leak_id] for leak_id in ids]


async def _leaks_of_endpoints(ids: list[str]) -> list[list[Any]]:
    return [
        await database.fetch_all(
            f"SELECT {LEAK} FROM leaks WHERE {ORGANIZATION} AND id IN (SELECT leak_id FROM leak_endpoints"
            f" WHERE {ORGANIZATION} AND node_id = :id AND {SCOPE} ORDER BY added_at DESC, leak_id DESC LIMIT 20)"
            " ORDER BY added_at DESC, id DESC",
            {"id": endpoint_id},
        )
        for endpoint_id in ids
    ]


class _Loaders:
    def __init__(self) -> None:
        self.resources = DataLoader(lambda ids: _connected("resources", "n.id, n.resource, n.type", "n.resource", ids))
        self.users = DataLoader(lambda ids: _connected("users", "n.id, n.identity, n.identity_type", "n.identity", ids))
        self.endpoints = DataLoader(lambda ids: _connected("endpoints", "n.id, n.filename, n.date", "n.date DESC", ids))
        self.leaks = DataLoader(_leaks_of_endpoints)


@strawberry.type
class Resource:
    id: strawberry.ID
    resource: str
    type: str


@strawberry.type
class User:
    id: strawberry.ID
    identity: str
    identity_type: str


@strawberry.type
class Endpoint:
    id: strawberry.ID
    filename: str
    date: str | None

    @strawberry.field
    async def leaks(self, info: Info, first: int = 20) -> "LeakPage":  # noqa: ARG002
        return LeakPage(nodes=[_leak(row) for row in await info.context["loaders"].leaks.load(self.id)])


@strawberry.type
class ResourcePage:
    nodes: list[Resource]


@strawberry.type
class UserPage:
    nodes: list[User]


@strawberry.type
class EndpointPage:
    nodes: list[Endpoint]


@strawberry.type
class Connections:
    leak_id: strawberry.Private[str]

    @strawberry.field
    async def resources(self, info: Info) -> ResourcePage:
        rows = await info.context["loaders"].resources.load(self.leak_id)
        return ResourcePage(nodes=[Resource(id=row[0], resource=row[1], type=row[2].upper()) for row in rows])

    @strawberry.field
    async def users(self, info: Info) -> UserPage:
        rows = await info.context["loaders"].users.load(self.leak_id)
        return UserPage(nodes=[User(id=row[0], identity=row[1], identity_type=row[2].upper()) for row in rows])

    @strawberry.field
    async def endpoints(self, info: Info) -> EndpointPage:
        rows = await info.context["loaders"].endpoints.load(self.leak_id)
        return EndpointPage(nodes=[Endpoint(id=row[0], filename=row[1], date=row[2] or None) for row in rows])


@strawberry.type
class Leak:
    id: strawberry.ID
    risk_level: int
    risk_level_name: str
    status: str
    url: str | None
    login: str
    password: str
    first_seen: str | None
    added_at: str | None

    @strawberry.field
    async def connections(self) -> Connections:
        return Connections(leak_id=str(self.id))


@strawberry.type
class LeakPage:
    nodes: list[Leak]


def _leak(row: Any) -> Leak:
    return Leak(
        id=row[0],
        risk_level=row[1],
        risk_level_name=row[2].upper(),
        status=row[3].upper(),
        url=row[4],
        login=row[5],
        password="***",
        first_seen=row[6] or None,
        added_at=row[7] or None,
    )


@strawberry.type
class Query:
    @strawberry.field
    async def leak(self, id: strawberry.ID) -> Leak | None:  # noqa: A002
        row = await database.fetch_one(
            f"SELECT {LEAK} FROM leaks WHERE {ORGANIZATION} AND id = :id AND {SCOPE}",
            {"id": id},
        )
        return None if row is None else _leak(row)

    @strawberry.field
    async def leaks(self, first: int = 20) -> LeakPage:
        rows = await database.fetch_all(
            f"SELECT {LEAK} FROM leaks WHERE {ORGANIZATION} AND {SCOPE} ORDER BY added_at DESC, id DESC LIMIT :first",
            {"first": first},
        )
        return LeakPage(nodes=[_leak(row) for row in rows])


class _View(GraphQL[Any, Any]):
    async def get_context(self, request: Any, response: Any) -> Any:
        return {"request": request, "response": response, "loaders": _Loaders()}


if __name__ == "__main__":
    uvicorn.run(
        _View(strawberry.Schema(Query)),
        port=int(os.environ["LIMIT_PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
