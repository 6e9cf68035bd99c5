"""What operations can cost: from the weights that the schema publishes, before anything is read."""

import dataclasses
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_introspection_query,
    get_named_type,
    print_ast,
)

from gateway.app import create_app
from schema.build import sdl
from tests.operations import asking
from tests.records import EXAMPLE_ID, UNKNOWN_ID, World
from tests.serving import Gateway, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

COSTS = [
    # An operation costs 1, and each object that it can return 1 more.
    ("", 1),
    ("__typename", 1),
    ("viewer { id name }", 2),
    ("organization { id name }", 2),
    ('leak(id: "$leak") { id login }', 2),
    ('node(id: "$leak") { id ... on Leak { login domain { id } } }', 3),
    ('nodes(ids: ["$leak", "$leak"]) { id }', 3),
    # A list costs 1, and so much as it can be long.
    ("leaks(first: 5) { nodes { id } }", 7),
    ("leaks(last: 5) { nodes { id } }", 7),
    ("leaks { nodes { id } }", 22),
    ("leaks(first: 100) { __typename }", 2),
    ("leaks(first: 5) { edges { cursor node { id } } pageInfo { endCursor } }", 7),
    ("leaks(first: 5) { edges { cursor } }", 2),
    ("organization { domains(first: 3) { nodes { name } } }", 6),
    # What stands below a list counts as often as the list can be long.
    ("leaks(first: 5) { nodes { domain { name } } }", 12),
    ("leaks(first: 5) { nodes { connections { users(first: 3) { nodes { id } } } } }", 27),
    ('leak(id: "$leak") { connections { endpoints(first: 2) { nodes { leaks(first: 3) { nodes { id } } } } } }', 13),
    # A count costs 10 for each list, a search that no index helps 100.
    ("leaks(first: 5) { totalCount }", 12),
    ("leaks(first: 5) { nodes { connections { users(first: 1) { totalCount } } } }", 62),
    ('leaks(first: 5, filter: {urlContains: "x"}) { nodes { id } }', 107),
    ('leaks(first: 5, filter: {login: "x", urlContains: null}) { nodes { id } }', 7),
    # Under two names is twice; what is skipped counts all the same; fragments count where they are spread.
    ("a: leaks(first: 5) { nodes { id } } b: leaks(first: 5) { nodes { id } }", 13),
    ("leaks(first: 5) @skip(if: true) { nodes { id } }", 7),
    ("... on Query { leaks(first: 5) { nodes { ... on Leak { domain { id } } } } }", 12),
    # Introspection reads nothing, but answers at length.
    ("__schema { queryType { name } }", 101),
]


def filled(text: str) -> str:
    return text.replace("$leak", EXAMPLE_ID)


@pytest.mark.parametrize(("asked", "cost"), COSTS)
async def test_an_operation_can_cost(gateway: Gateway, asked: str, cost: int) -> None:
    data = await gateway.ask(f"{{ {filled(asked)} rateLimit {{ cost }} }}")
    assert data["rateLimit"] == {"cost": cost}


MUCH_OF_THE_SCHEMA = """{ __schema { types { a: fields { type { ...T } } b: fields { type { ...T } } } } }
    fragment T on __Type { c: fields { type { ...N } args { type { ...N } } } d: fields { type { ...N } } }
    fragment N on __Type { kind name ofType { kind name ofType { kind name } } }"""


@pytest.mark.parametrize("query", [get_introspection_query(), MUCH_OF_THE_SCHEMA], ids=["usual", "much"])
async def test_introspection_costs_as_many_objects_as_it_returns(gateway: Gateway, query: str) -> None:
    response = await gateway.respond(query)
    cost = int(response.headers["X-Leaks-Cost"].partition(";")[0])
    assert 0.8 < cost / response.text.count("{") < 5


async def test_what_fragments_cost_counts_wherever_they_are_spread(gateway: Gateway) -> None:
    query = """{ a: leaks(first: 2) { ...Page } b: leaks(first: 3) { ...Page } rateLimit { cost } }
        fragment Page on LeakConnection { nodes { domain { id } } }"""
    assert (await gateway.ask(query))["rateLimit"] == {"cost": 1 + (1 + 2 * 2) + (1 + 3 * 2)}


@pytest.mark.parametrize(
    ("variables", "cost"),
    [
        ({}, 22 + 1),
        ({"n": 3}, 5 + 1),
        ({"n": 4}, 6 + 1),
        ({"n": 3, "s": "example"}, 105 + 1),
        ({"n": 3, "s": None}, 5 + 1),
        ({"n": 3, "f": {"urlContains": "example"}}, 105 + 1),
        ({"n": 3, "f": {"urlContains": None, "login": "example"}}, 5 + 1),
        ({"n": 3, "s": ""}, 105 + 1),
        ({"n": 3, "ids": [UNKNOWN_ID] * 7}, 5 + 7),
        ({"n": 3, "ids": UNKNOWN_ID}, 5 + 1),
    ],
)
async def test_the_cost_hangs_on_variables_as_on_what_they_stand_for(
    gateway: Gateway, variables: dict[str, Any], cost: int
) -> None:
    declared, given = ("$s: String", "{urlContains: $s}") if "s" in variables else ("$f: LeakFilter", "$f")
    query = f"""query ($n: Int, {declared}, $ids: [ID!]! = ["{UNKNOWN_ID}"]) {{
        leaks(first: $n, filter: {given}) {{ nodes {{ id }} }} nodes(ids: $ids) {{ id }} rateLimit {{ cost }} }}"""
    for _ in range(2):
        assert (await gateway.ask(query, variables))["rateLimit"] == {"cost": cost}


async def test_an_operation_over_the_ceiling_is_refused_and_nothing_is_read(world: World) -> None:
    settings = dataclasses.replace(world.settings, max_cost=100)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        assert "errors" not in await gateway.answer("{ leaks(first: 98) { nodes { id } } }")
        response = await gateway.respond("{ leaks(first: 99) { nodes { id } } }")
        (error,) = response.json()["errors"]
        assert (response.status_code, error["extensions"]["code"]) == (400, "OPERATION_TOO_COSTLY")
        assert error["message"] == "The operation can cost 101 points; at most 100 are taken. Ask for smaller pages."


async def test_as_many_values_are_taken_as_are_set_whatever_they_are_called(world: World) -> None:
    settings = dataclasses.replace(world.settings, max_values=40)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        assert "errors" not in await gateway.answer("{ leaks(first: 10) { nodes { a: url b: url c: url id } } }")
        (error,) = (await gateway.answer("{ leaks(first: 10) { totalCount nodes { a: url b: url c: url id } } }"))[
            "errors"
        ]
        assert error["message"] == ("The operation can return 41 values; at most 40 are taken. Ask for smaller pages.")


DEEP = """leaks(first: 10) { nodes { domain { leaks(first: 40) { nodes { domain { leaks(first: 40) { nodes {
    connections { endpoints(first: %d) { pageInfo { hasNextPage } } } } } } } } } } }"""


async def test_what_is_interpreted_costs_fifty_times_an_object(gateway: Gateway) -> None:
    query = "{ __schema { queryType { name } } leaks(first: 5) { nodes { id } } rateLimit { cost } }"
    assert (await gateway.ask(query))["rateLimit"] == {"cost": 101 + 50 * 6}
    (error,) = (await gateway.answer(f"{{ {DEEP % 1} __schema {{ queryType {{ name }} }} }}"))["errors"]
    assert error["message"] == (
        "The operation cannot be planned, and can cost 1661651 points without that; at most 200000 are taken."
        " Ask for introspection by itself, for an edge's node once, or for smaller pages."
    )
    assert error["extensions"] == {"code": "OPERATION_TOO_COSTLY"}


async def test_an_argument_that_cannot_be_taken_is_told_alone_where_much_would_be_read_for_it(gateway: Gateway) -> None:
    told = {"message": "Invalid first: 0. Valid: 1 to 100.", "extensions": {"code": "BAD_USER_INPUT"}}
    assert await gateway.answer(f"{{ {DEEP % 0} }}") == {"errors": [told]}


async def test_what_no_budget_holds_is_too_costly_and_not_to_be_tried_again(world: World) -> None:
    settings = dataclasses.replace(world.settings, rate_limit=50)
    async with running(create_app(settings)) as client:
        codes = await Gateway(client, world).codes("{ leaks(first: 100) { nodes { id } } }")
        assert codes == ["OPERATION_TOO_COSTLY"]


# ------------------------------------------------------------------ rateLimit


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "interpreted"])
async def test_the_rate_limit_is_planned_like_any_other_field_and_costs_nothing(world: World, planned: bool) -> None:
    async with asking(world, planned=planned) as operations:
        answer = await operations.ask(
            "{ rateLimit { __typename limit cost remaining resetAt } leaks(first: 2) { nodes { id } } }"
        )
        assert list(answer["rateLimit"]) == ["__typename", "limit", "cost", "remaining", "resetAt"]
        assert answer["rateLimit"]["cost"] == 4
        assert operations.executor.counts["planned" if planned else "interpreted"] == 1


# ----------------------------------------------------------------- as published


@pytest.fixture(scope="module")
def published() -> GraphQLSchema:
    return build_schema(sdl())


def fields(schema: GraphQLSchema) -> list[tuple[str, GraphQLField]]:
    return [
        (f"{type_.name}.{name}", field)
        for type_ in schema.type_map.values()
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
    ]


def directives(node: Any) -> list[str]:
    return [print_ast(directive) for directive in node.ast_node.directives]


async def test_every_list_says_how_long_it_can_be(published: GraphQLSchema) -> None:
    page = (
        '@listSize(assumedSize: 20, slicingArguments: ["first", "last"], sizedFields: ["nodes", "edges"],'
        " requireOneSlicingArgument: false)"
    )
    lists = [
        (name, field) for name, field in fields(published) if get_named_type(field.type).name.endswith("Connection")
    ]
    assert len(lists) > 5
    for name, field in lists:
        assert directives(field) == [page], name


async def test_every_count_and_search_says_what_it_weighs(published: GraphQLSchema) -> None:
    counts = [field for name, field in fields(published) if name.endswith(".totalCount")]
    assert len(counts) == len([name for name in published.type_map if name.endswith("Connection")])
    for field in counts:
        assert directives(field) == ['@cost(weight: "10")']
    leak_filter: Any = published.type_map["LeakFilter"]
    assert directives(leak_filter.fields["urlContains"]) == ['@cost(weight: "100")']
