"""Two executors, one truth: what is planned answers as what is interpreted does."""

import asyncio
import json
from random import Random
from typing import Any

import orjson
import pytest

from gateway.keys import parse
from gateway.storage.callers import find_key
from gateway.storage.reads import SQLStore
from schema.batches import Request
from schema.budget import Cost, Unlimited
from schema.build import build_schema
from schema.errors import GatewayError
from schema.execution.execute import Executor, Operation
from schema.execution.limits import Limits
from schema.execution.refusal import RequestError
from schema.scope import Caller
from schema.store import Store
from tests.operations import asking
from tests.records import World
from tests.schema.execution.generator import Generator, Made, all_parts

SECRET = b"plainly-fake-cursor-secret"
WIDE = Limits(tokens=10**5, depth=100, aliases=10**4, nodes=10**7, values=10**9, points=10**9)
OPERATIONS = {"sqlite": 1000, "postgresql": 150}


class _Costless(Unlimited):
    """A budget that takes nothing: what is interpreted costs more, and `rateLimit` tells."""

    def take(self, cost: Cost) -> None:
        """Take nothing."""


async def _answer(executor: Executor, made: Made, caller: Caller, store: Store) -> Any:
    """What a client would see: data with its keys in order, errors by their places; or why it was refused."""
    try:
        result = await executor.execute(
            Operation(made.query, made.variables), Request(caller, store, SECRET, budget=_Costless())
        )
    except (RequestError, GatewayError) as error:
        return type(error).__name__, str(error)
    errors = sorted(json.dumps([error.path, error.message, str(error.locations)]) for error in result.errors)
    return json.dumps(orjson.loads(orjson.dumps(result.data))), errors


async def _cursors(executor: Executor, caller: Caller, store: Store) -> list[str]:
    """Cursors of several lists and orders, and one that is forged."""
    query = """{ a: leaks(first: 3) { edges { cursor node { connections { users { edges { cursor } } } } } }
        b: leaks(first: 3, orderBy: {field: RISK_LEVEL}) { edges { cursor } }
        organization { domains(first: 2) { edges { cursor } } } }"""
    text = (await _answer(executor, Made(query, {}), caller, store))[0]
    found = [part.split('"')[0] for part in text.split('"cursor": "')[1:]]
    assert len(found) > 5
    return [*found, found[0][:-1] + ("A" if found[0][-1] != "A" else "B"), "forged"]


def _ids(world: World) -> list[str]:
    corp = list(world.corp.leaks())[:6]
    domains = [domain.id for domain in world.domains.values()]
    return [*corp, *domains, world.machine_id, world.host_id, world.person_id, "no-id", world.organizations["corp"].id]


async def _compare(world: World, operations: int, seed: int) -> tuple[Generator, Executor, int]:
    planned, interpreted = Executor(WIDE), Executor(WIDE, planned=False)
    wrong = 0
    async with world.serving() as engine:
        store = SQLStore(engine)
        callers = []
        for name in ("read", "restricted"):
            stored = await find_key(engine, parse(world.keys[name]) or "")
            assert stored is not None
            callers.append(stored.caller)
        cursors = await _cursors(interpreted, callers[0], store)
        visible = [domain.id for domain in callers[0].domains]
        generator = Generator(build_schema()._schema, Random(seed), _ids(world), visible, cursors)  # noqa: SLF001, S311
        for number in range(operations):
            made = generator.make()
            caller = callers[number % 4 == 0]
            one, other = [await _answer(executor, made, caller, store) for executor in (planned, interpreted)]
            assert one == other, f"{made.query}\n{made.variables}"
            wrong += isinstance(one[1], str) or bool(one[1])
    return generator, planned, wrong


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [20, 21])
def test_a_plan_answers_as_the_interpreter_does(world: World, seed: int) -> None:
    operations = OPERATIONS[world.url.partition(":")[0]]
    generator, planned, wrong = asyncio.run(_compare(world, operations, seed))
    assert planned.counts["planned"] > operations / 3, "most of what is valid is planned"
    assert operations / 50 < wrong < operations * 0.8, "some fail, and many do not"
    if operations == max(OPERATIONS.values()):
        assert all_parts(generator.schema) - generator.visited == set(), "every part of the schema was asked for"


CONNECTED = (
    "connections { resources { nodes { resource } } users { nodes { identity } } endpoints { nodes { filename } } }"
)


@pytest.mark.parametrize(
    ("query", "statements"),
    [
        (f"{{ leaks(first: 50) {{ nodes {{ id {CONNECTED} }} }} }}", 1),
        (f'{{ leak(id: "$leak") {{ id {CONNECTED} }} }}', 1),
        (
            """{ leak(id: "$leak") { connections { endpoints { nodes { leaks(first: 20) { nodes { connections { users {
               nodes { identity } } } } } } } } } }""",
            1,
        ),
        (
            """{ leak(id: "$leak") { connections { endpoints { pageInfo { endCursor } nodes { leaks { pageInfo { endCursor }
               nodes { id } } } } } } }""",
            3,
        ),
        (
            """{ leaks(first: 50) { nodes { connections { endpoints { nodes { leaks(first: 3) { nodes { id connections {
               users { nodes { id } } } } } } } } } } }""",
            3,
        ),
    ],
    ids=["page", "leak", "pivot", "pages by level", "machines of a page"],
)
async def test_an_operation_causes_so_many_statements(fresh_world: World, query: str, statements: int) -> None:
    async with asking(fresh_world, planned=True) as asked:
        leak_id = next(iter(fresh_world.corp.leaks()))
        await asked.ask(query.replace("$leak", leak_id))
        asked.engine.commands.clear()
        await asked.ask(query.replace("$leak", leak_id))
        assert len(asked.engine.commands) == statements


LISTS = " ".join(f"{name} {{ totalCount nodes {{ id }} }}" for name in ("resources", "users", "endpoints"))
WIDEST = (
    f'{{ leak(id: "$leak") {{ {" ".join(f"a{n}: connections {{ ...C }}" for n in range(28))} }} }}'
    f" fragment C on Connections {{ {LISTS} }}"
)
LONGEST = f'{{ leak(id: "$leak") {{ connections {{ {LISTS} }} {" ".join(f"a{n}: login" for n in range(130))} }} }}'
MOST_CHARACTERS = 32_768


@pytest.mark.parametrize("query", [WIDEST, LONGEST], ids=["lists", "columns"])
async def test_however_much_is_asked_of_a_leak_it_is_answered(world: World, query: str) -> None:
    made = Made(query.replace("$leak", next(iter(world.corp.leaks()))), {})
    async with world.serving() as engine:
        stored = await find_key(engine, parse(world.keys["read"]) or "")
        assert stored is not None
        answers = [
            await _answer(Executor(WIDE, planned=planned), made, stored.caller, SQLStore(engine))
            for planned in (True, False)
        ]
    assert answers[0] == answers[1]
    assert answers[0][1] == []


async def test_no_statement_is_so_long_that_others_wait_while_it_is_written(world: World) -> None:
    leak_id = next(iter(world.corp.leaks()))
    filters = '{ riskLevel: { min: 1 } status: [NEW] identity: "somebody" }'
    pages = f"{{ leaks(filter: {filters}) {{ {' '.join(f'a{n}: nodes {{ id }}' for n in range(29))} }} }}"
    async with asking(world, planned=True) as asked:
        for query in (WIDEST.replace("$leak", leak_id), pages):
            commands = await asked.statements(query)
            assert max(len(command.sql) for command in commands) < MOST_CHARACTERS


async def test_others_go_first_behind_each_statement_that_is_new(fresh_world: World) -> None:
    orders = [
        f"{{ field: {field}, direction: {way} }}" for field in ("FIRST_SEEN", "ADDED_AT") for way in ("ASC", "DESC")
    ]
    query = f"{{ {' '.join(f'a{n}: leaks(orderBy: {order}) {{ totalCount }}' for n, order in enumerate(orders))} b: leaks {{ nodes {{ id }} }} }}"
    async with asking(fresh_world, planned=True) as asked:
        for pauses in (5, 0):
            await asked.statements(query)
            assert asked.engine.pauses == pauses
            asked.engine.pauses = 0
