"""Nobody is told of another's records: whatever is asked, with whatever ids, and whatever changed just before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random

import orjson
import pytest

from gateway.app import create_app
from gateway.storage.database import open_engine
from schema.build import build_schema
from tests.isolation.checks import assert_isolates, assert_sees_its_own, assert_tells_nothing_else, cursors_of
from tests.isolation.lists import assert_every_list_holds_its_own
from tests.isolation.questions import Feeder, Owned
from tests.isolation.tenants import ORGANIZATIONS, SHARED_NODE_ID, SHARED_TEXTS, Tenants, fill, tokens
from tests.records import UNKNOWN_ID
from tests.schema.execution.generator import all_parts
from tests.serving import Gateway, running

pytestmark = pytest.mark.timeout(600)

ROUNDS = {"sqlite": 5, "postgresql": 2}
OPERATIONS = {"sqlite": 60, "postgresql": 40}
MOST_OPERATIONS = 3000
STATUSES = {200, 401, 403, 404}
_PLACES = ("(after)", "(before)")


@dataclass
class Asked:
    """What was asked for in all rounds: and in operations without an error, and of REST, by status."""

    feeder: Feeder
    operations: int = 0
    answered: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)

    @property
    def lacking(self) -> set[object]:
        """What was not asked for yet, was so in operations that failed only, or was not given what each has."""
        parts = all_parts(self.feeder.schema)
        unanswered = {part for part in parts - self.answered if not part.endswith(_PLACES)}
        given = {(part, owner) for part in self.feeder.takers for owner in ORGANIZATIONS}
        return {*(parts - self.feeder.visited), *unanswered, *(given - self.feeder.fed), *(STATUSES - self.statuses)}


def _feeder(seed: int) -> Feeder:
    return Feeder(build_schema()._schema, Random(seed), [], [], [])  # noqa: SLF001, S311


@asynccontextmanager
async def _gateway(tenants: Tenants, executor: str = "planner") -> AsyncIterator[Gateway]:
    """A gateway that has just started: a key is kept by one for seconds."""
    settings = replace(
        tenants.world.settings, executor=executor, max_nodes=10**7, max_values=10**9, max_cost=10**9, rate_limit=0
    )
    async with running(create_app(settings)) as client:
        yield Gateway(client, tenants.world)


async def _owned(gateway: Gateway, tenants: Tenants) -> dict[str, Owned]:
    """What there is of each organization to be sent by others."""
    owned = {}
    for number in ORGANIZATIONS:
        key = next(
            (k for k, one in tenants.keys.items() if one.organization == number and one.works and not one.domains), ""
        )
        domain = tenants.domains[number, f"canary-domain-{number}-old.example"].id
        can_ask = bool(key) and domain in tenants.domain_ids_of(key)
        cursors = await cursors_of(gateway, key, domain) if can_ask else [UNKNOWN_ID]
        texts = tokens(orjson.dumps([r for (owner, _), r in tenants.records.items() if owner == number]).decode())
        owned[number] = Owned([*tenants.ids_of(number), SHARED_NODE_ID], cursors, [*sorted(texts), *SHARED_TEXTS])
    return owned


async def _ask_of_all(gateway: Gateway, tenants: Tenants, asked: Asked, operations: int) -> None:
    """Operations and REST requests by one key after another, with what belongs to anybody."""
    feeder, random, names = asked.feeder, asked.feeder.random, list(tenants.keys)
    feeder.owned = await _owned(gateway, tenants)
    archived = {tenants.domains[place].id for place in tenants.archived}
    for _ in range(operations):
        key = random.choice([name for name in names if tenants.keys[name].works])
        feeder.domain_ids = tenants.domain_ids_of(key)
        made = feeder.make()
        asked.operations += 1
        response = await gateway.respond(made.query, made.variables, key)
        sent = made.query + orjson.dumps(made.variables).decode()
        assert_tells_nothing_else(response, tenants.allowed(key, archived & tokens(sent)), sent)
        if "errors" not in response.json():
            asked.answered |= made.parts
        await _ask_rest(gateway, tenants, asked, random.choice(names))


async def _ask_rest(gateway: Gateway, tenants: Tenants, asked: Asked, key: str) -> None:
    random = asked.feeder.random
    owned = asked.feeder.owned[random.choice((tenants.keys[key].organization, *ORGANIZATIONS))].ids
    leak_id = random.choice(random.choice((owned, [id_ for _, id_ in tenants.records])))
    anybodys = random.choices([domain.id for domain in tenants.domains.values()], k=random.choice((1, 2)))
    domains = random.choice(([], tenants.domain_ids_of(key)[:2], anybodys))
    path = f"/leaks/{leak_id}" + (f"?domain_id={','.join(domains)}" if domains else "")
    response = await gateway.get(path, key)
    asked.statuses.add(response.status_code)
    visible = {r["id"] for r in tenants.visible(key, domains, only_named=bool(domains))}
    foreign = not set(domains) <= set(tenants.domain_ids_of(key))
    found = 403 if foreign else 200 if leak_id in visible else 404
    expected = found if tenants.keys[key].works else tenants.keys[key].status
    assert response.status_code == expected
    assert_tells_nothing_else(response, tenants.allowed(key, domains), "")


async def _rounds(url: str, engine_name: str, seed: int) -> tuple[Tenants, Asked]:
    """Ask and change in turn; in the last round for as long as something is lacking."""
    tenants, asked = await fill(url), Asked(_feeder(seed))
    for number in range(ROUNDS[engine_name]):
        async with _gateway(tenants, ("planner", "interpreter")[number % 3 == 0]) as gateway:
            for key in tenants.keys:
                if tenants.keys[key].organization == ORGANIZATIONS[number % 4]:
                    await assert_sees_its_own(gateway, tenants, key)
            await _ask_of_all(gateway, tenants, asked, OPERATIONS[engine_name])
            while number == ROUNDS[engine_name] - 1 and asked.lacking and asked.operations < MOST_OPERATIONS:
                await _ask_of_all(gateway, tenants, asked, 20)
        async with open_engine(url) as engine:
            for _ in range(3):
                await tenants.change(engine, asked.feeder.random)
    return tenants, asked


def test_no_answer_tells_of_what_its_key_does_not_see(database_url: str, seed: int) -> None:
    tenants, asked = asyncio.run(_rounds(database_url, database_url.partition(":")[0], seed))
    assert asked.statuses <= STATUSES
    assert {key.organization for key in tenants.keys.values()} == set(ORGANIZATIONS)
    assert asked.lacking == set(), "every part of the schema was asked for, with what every organization has"


def test_every_key_is_told_of_all_its_records_and_of_no_others(database_url: str) -> None:
    async def fill_and_ask() -> None:
        await assert_isolates(await fill(database_url))

    asyncio.run(fill_and_ask())


async def test_every_list_holds_what_its_key_may_see(database_url: str) -> None:
    await assert_every_list_holds_its_own(await fill(database_url))


async def test_keys_that_ask_the_same_at_once_are_told_of_their_own(database_url: str) -> None:
    tenants = await fill(database_url)
    shared = next(id_ for _, id_ in tenants.records)
    queries = (
        "{ leaks { totalCount nodes { id url domain { name } } edges { cursor } } }",
        f'{{ leak(id: "{shared}") {{ url connections {{ endpoints {{ totalCount nodes {{ leaks {{ totalCount }} }} }} }} }} }}',
        f'{{ nodes(ids: ["{SHARED_NODE_ID}", "{shared}"]) {{ id ... on Resource {{ resource leaks {{ totalCount }} }} }} }}',
    )
    async with _gateway(tenants) as gateway:
        for query in queries:
            alone = [(await gateway.respond(query, key=key)).content for key in tenants.keys]
            at_once = await asyncio.gather(*(gateway.respond(query, key=key) for key in list(tenants.keys) * 3))
            assert [response.content for response in at_once] == alone * 3
            assert len(set(alone)) > len(ORGANIZATIONS)


@pytest.mark.parametrize("number", ORGANIZATIONS)
async def test_a_cursor_of_another_organization_is_refused_wherever_it_is_sent(
    cursors: tuple[Gateway, dict[str, list[str]]], number: str
) -> None:
    gateway, handed_out = cursors
    query = """query ($after: String) { leaks(after: $after) { totalCount } }"""
    for owner, found in handed_out.items():
        answers = [await gateway.answer(query, {"after": cursor}, f"canary-key-{number}-all") for cursor in found]
        assert any("errors" not in answer for answer in answers) == (owner == number)


@pytest.fixture
async def cursors(sqlite_url: str) -> AsyncIterator[tuple[Gateway, dict[str, list[str]]]]:
    """A gateway, and the cursors that it handed out to each organization."""
    tenants = await fill(sqlite_url)
    async with _gateway(tenants) as gateway:
        yield gateway, {number: one.cursors for number, one in (await _owned(gateway, tenants)).items()}
