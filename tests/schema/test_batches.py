"""How many statements an operation causes: by its shape, never by how many rows there are."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from gateway.importing.importer import import_leaks
from gateway.storage.database import open_engine
from tests.conftest import ENGINES, fresh_database
from tests.operations import Asking, asking
from tests.records import HOST, MACHINE, World, fill

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module", params=ENGINES)
def many_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A database where a hundred leaks are connected to a hundred things of each kind, many to many."""
    url = fresh_database(request, tmp_path_factory.mktemp("many"), request.param)
    return asyncio.run(_fill_many(url))


async def _fill_many(url: str) -> World:
    world = await fill(url)
    leaks = [
        {
            "id": f"{number:08x}-3333-4333-8333-000000000000", "domain": "quiet.example.com", "risk_level": 5,
            "login": "many", "added_at": "2026-06-01T00:00:00Z",
            "connections": {
                "resources": [{"resource": f"many-{n % 100}", "type": "domain"} for n in range(number, number + 5)],
                "users": [{"identity": f"many-{n % 100}", "identity_type": "email"} for n in range(number, number + 5)],
                "endpoints": [{"filename": f"many-{n % 100}", "date": None} for n in range(number, number + 5)],
            },
        }
        for number in range(100)
    ]  # fmt: skip
    async with open_engine(world.url) as engine:
        await import_leaks(engine, world.organizations["corp"], map(orjson.dumps, leaks), secret=b"plainly-fake")
    return world


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["planned", "interpreted"])
async def operations(many_world: World, request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    async with asking(many_world, planned=request.param == "planned") as asked:
        yield asked


OPERATIONS = {
    "flat": "leaks(first: $n) { nodes { id login } }",
    "edges": "leaks(first: $n) { edges { cursor node { id } } pageInfo { endCursor } }",
    "domain": "leaks(first: $n) { nodes { id domain { id name } } }",
    "connections": """leaks(first: $n) { nodes { connections { resources { nodes { resource } } users { nodes { identity } }
                      endpoints { nodes { filename } } } } }""",
    "counts": """leaks(first: $n) { totalCount nodes { connections { resources { totalCount } users { totalCount nodes { id } }
                 endpoints { totalCount pageInfo { hasNextPage } } } } }""",
    "pivot": """leaks(first: $n) { nodes { connections { endpoints(first: $n) { nodes { leaks(first: $n) { totalCount nodes { id
                domain { name } connections { users { nodes { identity } } } } } } } } } }""",
    "domains": "organization { domains(first: $n) { nodes { leaks(first: $n) { totalCount nodes { id } } } } }",
    "several": "a: leaks(first: $n) { nodes { id } } b: leaks(last: $n) { nodes { id } totalCount } organization { name }",
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_number_of_statements_is_that_of_the_shape(operations: Asking, name: str) -> None:
    query = f"query ($n: Int) {{ {OPERATIONS[name]} }}"
    numbers = {n: len(await operations.statements(query, {"n": n})) for n in (1, 10, 100)}
    assert len(set(numbers.values())) == 1, numbers
    # No list more than a page and a count.
    lists = sum(query.count(part) for part in ("leaks(", "resources {", "users {", "endpoints", "domains("))
    assert numbers[1] <= lists + query.count("totalCount")


async def test_nodes_by_id_are_as_many_statements_as_there_are_kinds(operations: Asking) -> None:
    ids = [leak["id"] for leak in (await operations.ask("{ leaks(first: 100) { nodes { id } } }"))["leaks"]["nodes"]]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Leak { login } } }"
    numbers = {len(await operations.statements(query, {"ids": ids[:n]})) for n in (1, 10, 100)}
    assert len(numbers) == 1
    assert numbers.pop() <= 4


async def test_what_the_caller_knows_is_not_read(operations: Asking) -> None:
    query = "{ viewer { name scopes } organization { name domains(includeArchived: true) { totalCount nodes { id name } } } __typename }"
    assert await operations.statements(query) == []


async def test_what_is_refused_by_its_arguments_is_not_read(operations: Asking) -> None:
    for query in (
        "{ leaks(first: 0) { totalCount } }",
        '{ leaks(after: "x") { nodes { id } } }',
        '{ leak(id: "x", domainIds: []) { id } }',
    ):
        operations.engine.commands.clear()
        with pytest.raises(AssertionError):
            await operations.ask(query)
        assert operations.engine.commands == []


async def test_a_total_is_counted_only_where_it_is_asked_for(operations: Asking) -> None:
    def counts(commands: object) -> int:
        return str(commands).lower().count("count(")

    for fields in (
        "nodes { id }",
        "edges { cursor }",
        "pageInfo { hasNextPage }",
        "nodes { connections { users { nodes { id } } } }",
    ):
        assert counts(await operations.statements(f"{{ leaks(first: 5) {{ {fields} }} }}")) == 0
        assert counts(await operations.statements(f"{{ leaks(first: 5) {{ totalCount {fields} }} }}")) == 1


async def test_a_count_alone_reads_no_page(operations: Asking) -> None:
    commands = await operations.statements("{ leaks { totalCount } }")
    if operations.executor.counts["planned"]:
        (command,) = commands
        assert "ORDER BY" not in command.sql
    else:
        assert len(commands) <= 2


async def test_fields_of_one_name_may_differ_by_type_also_below(operations: Asking) -> None:
    machine_and_host = """{ machine: leaks(first: 1, filter: {filename: "%s", resource: "%s"}) { nodes { connections {
        endpoints { nodes { id filename } } resources { nodes { id resource } } } } } }""" % (MACHINE, HOST)
    (leak,) = (await operations.ask(machine_and_host))["machine"]["nodes"]
    (machine,) = [n["id"] for n in leak["connections"]["endpoints"]["nodes"] if n["filename"] == MACHINE]
    (host,) = [n["id"] for n in leak["connections"]["resources"]["nodes"] if n["resource"] == HOST]
    parts = {
        "Endpoint": "leaks(first: 3) { totalCount nodes { id connections { users(first: 1) { totalCount nodes { id } } } } }",
        "Resource": "leaks(last: 2, filter: {riskLevel: {min: 6}}) { totalCount nodes { id connections { users { nodes { id } totalCount } } } }",
    }
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { %s } }"
    both = "".join(f"... on {type_} {{ {part} }} " for type_, part in parts.items())
    together = await operations.ask(query % both, {"ids": [machine, host]})
    alone = [
        (await operations.ask(query % f"... on {type_} {{ {part} }}", {"ids": [id_]}))["nodes"][0]
        for (type_, part), id_ in zip(parts.items(), (machine, host), strict=True)
    ]
    assert together["nodes"] == alone
