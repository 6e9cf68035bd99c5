"""The ceilings of an operation: what is over one is refused, fast, and before anything is read."""

import dataclasses
from time import process_time
from typing import Any

import pytest
from graphql import get_introspection_query

from gateway.app import create_app
from tests.records import EXAMPLE_ID, World
from tests.serving import Gateway, running

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def code_of(gateway: Gateway, query: str, variables: dict[str, Any] | None = None) -> str | None:
    """The one code of an operation's errors; None where it succeeds."""
    errors = (await gateway.answer(query, variables)).get("errors")
    if errors is None:
        return None
    codes: set[str] = {error["extensions"]["code"] for error in errors}
    assert len(codes) == 1
    return codes.pop()


async def message_of(gateway: Gateway, query: str, variables: dict[str, Any] | None = None) -> str:
    message: str = (await gateway.answer(query, variables))["errors"][0]["message"]
    return message


# ---------------------------------------------------------------------- depth


async def test_fifteen_fields_inside_fields_are_taken_and_sixteen_are_not(gateway: Gateway) -> None:
    twelve = "{ leaks(first: 1) { nodes { " + "connections { users(first: 1) { nodes { leaks(first: 1) { nodes { " * 2
    closed = " } } } } }" * 2 + " } } }"
    # 2 + 2 * 5 = 12 fields so far.
    for inside, code in (
        ("id", None),
        ("domain { name }", None),
        ("connections { users { totalCount } }", None),
        ("connections { users { nodes { id } } }", "OPERATION_TOO_COSTLY"),
        ("connections { users { edges { node { id } } } }", "OPERATION_TOO_COSTLY"),
    ):
        assert await code_of(gateway, twelve + inside + closed) == code
    message = await message_of(gateway, twelve + "connections { users { nodes { id } } }" + closed)
    assert message == "The operation is 16 fields deep; at most 15 are taken."


async def test_a_fragment_is_as_deep_as_what_is_in_it(gateway: Gateway) -> None:
    chain = "".join(
        f"fragment F{n} on Leak {{ connections {{ users(first: 1) {{ nodes {{ leaks(first: 1) {{ nodes {{ ...F{n + 1} }} }} }} }} }} }} "
        for n in range(3)
    )
    query = (
        "{ leaks(first: 1) { nodes { ...F0 ... on Leak { ... on Node { id } } } } } "
        + chain
        + "fragment F3 on Leak { id }"
    )
    assert await message_of(gateway, query) == "The operation is 18 fields deep; at most 15 are taken."
    assert await code_of(gateway, query.replace("...F1", "id", 1).replace("fragment F1", "fragment F9", 1)) is not None


async def test_a_document_that_is_nested_without_measure_is_refused_and_not_fallen_over(gateway: Gateway) -> None:
    for query in (
        "{a" * 990, "{a" * 490 + "}" * 490, "{" * 1900, "[" * 1900, "{a(x:" + "[" * 1900, "{a(x:" + "{a:" * 600,
        "query ($a: " + "[" * 1900, "{a(x:" + "[" * 900 + "]" * 900 + ")}", "{...on Query" * 400 + "{a}" + "}" * 400,
    ):  # fmt: skip
        assert await code_of(gateway, query) in {"GRAPHQL_PARSE_FAILED", "OPERATION_TOO_COSTLY"}


async def test_a_long_chain_of_fragments_is_refused_and_not_fallen_over(gateway: Gateway) -> None:
    for length in (50, 150, 240):
        chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(length))
        query = f"{{ ...F0 }} {chain} fragment F{length} on Query {{ viewer {{ id }} }}"
        assert await code_of(gateway, query) in {
            None,
            "GRAPHQL_PARSE_FAILED",
            "GRAPHQL_VALIDATION_FAILED",
            "OPERATION_TOO_COSTLY",
        }


# -------------------------------------------------------------------- aliases


async def test_thirty_aliases_are_taken_and_thirty_one_are_not(gateway: Gateway) -> None:
    for count, code in ((30, None), (31, "OPERATION_TOO_COSTLY")):
        assert await code_of(gateway, "{ " + " ".join(f"a{n}: __typename" for n in range(count)) + " }") == code
        assert await code_of(gateway, "{ " + " ".join(f"a{n}: viewer {{ id }}" for n in range(count)) + " }") == code


async def test_an_alias_counts_as_often_as_its_fragment_is_spread(gateway: Gateway) -> None:
    fragment = "fragment F on Query { a: viewer { b: id } }"
    for times, code in ((15, None), (16, "OPERATION_TOO_COSTLY")):
        spreads = " ".join(["...F"] * times)
        assert await code_of(gateway, f"{{ {spreads} }} {fragment}") == code
        assert await code_of(gateway, f"{{ ... {{ {spreads} }} }} {fragment}") == code
    assert await message_of(gateway, f"{{ {' '.join(['...F'] * 16)} }} {fragment}") == (
        "The operation has 32 aliases; at most 30 are taken."
    )


@pytest.mark.parametrize("leaf", ["a: id", "id", "x: __typename"])
async def test_fragments_that_double_and_double_are_refused_at_once(gateway: Gateway, leaf: str) -> None:
    chain = " ".join(f"fragment F{n} on ApiKey {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
    query = f"{{ viewer {{ ...F0 }} }} {chain} fragment F60 on ApiKey {{ {leaf} }}"
    started = process_time()
    code = await code_of(gateway, query)
    assert process_time() - started < 1
    assert code == "OPERATION_TOO_COSTLY"


async def test_lists_in_fragments_that_double_and_double_are_counted_at_once(gateway: Gateway) -> None:
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    started = process_time()
    code = await code_of(
        gateway, f"{{ ...F0 }} {chain} fragment F40 on Query {{ leaks(first: 100) {{ nodes {{ id }} }} }}"
    )
    assert process_time() - started < 1
    assert code == "OPERATION_TOO_COSTLY"


@pytest.mark.parametrize("field", ["name", "... { name }", "...F"])
async def test_the_same_may_be_asked_for_fifty_times_at_one_place(gateway: Gateway, field: str) -> None:
    fragment = "fragment F on ApiKey { name }" if field == "...F" else ""
    assert await gateway.ask(f"{{ viewer {{ {f'{field} ' * 50} }} }} {fragment}") == {"viewer": {"name": "read"}}
    for query in (
        f"{{ viewer {{ {f'{field} ' * 51} }} }} {fragment}",
        f"{{ {f'viewer {{ {field} }} ' * 51} }} {fragment}",
    ):
        started = process_time()
        assert await message_of(gateway, query) == (
            "The operation asks for the same 51 times at one place; at most 50 are taken."
        )
        assert process_time() - started < 1


async def test_what_is_merged_is_counted_where_it_meets(gateway: Gateway) -> None:
    fields = "leaks { nodes { connections { %s } } } " % ("users { totalCount } " * 8)
    assert await message_of(gateway, "{ " + fields * 7 + "}") == (
        "The operation asks for the same 56 times at one place; at most 50 are taken."
    )
    assert await code_of(gateway, "{ " + fields * 6 + "}") is None


# ----------------------------------------------------------- size and directives


async def test_a_thousand_selections_are_taken_and_more_are_not(gateway: Gateway) -> None:
    roots = " ".join(f"a{n}: viewer {{ ...F }}" for n in range(25))
    fragment = f"fragment F on ApiKey {{ {'id name ' * 19} }}"
    assert await code_of(gateway, f"{{ {roots} }} {fragment}") is None
    assert await message_of(gateway, f"{{ {roots} __typename }} {fragment}") == (
        "The operation has 1001 selections, its fragments spread; at most 1000 are taken."
    )


async def test_fifty_directives_are_taken_and_fifty_one_are_not(gateway: Gateway) -> None:
    for directives, code in ((50, None), (51, "OPERATION_TOO_COSTLY")):
        fields = "id @include(if: true) name @skip(if: false) " * 12 + "... @include(if: true) { id } " * (
            directives - 26
        )
        fragment = "fragment F on ApiKey { id @skip(if: false) name @skip(if: false) }"
        assert await code_of(gateway, f"{{ viewer {{ {fields} ...F }} }} {fragment}") == code
    assert await code_of(gateway, "{ __typename " + "@a " * 900 + "}") == "OPERATION_TOO_COSTLY"


async def test_thirty_fields_are_taken_at_the_root_and_more_are_not(gateway: Gateway) -> None:
    aliases = " ".join(f"a{n}: __typename" for n in range(28))
    for more, code in (
        ("viewer { id } viewer { name } __typename", None),
        ("viewer { id } ...F", None),
        ("viewer { id } organization { id } ...F", "OPERATION_TOO_COSTLY"),
    ):
        fragment = "fragment F on Query { __typename }" if "...F" in more else ""
        assert await code_of(gateway, f"{{ {aliases} {more} }} {fragment}") == code


# ------------------------------------------------------------------ fragments


@pytest.mark.parametrize(
    "query",
    [
        "{ ...Nowhere }",
        "{ viewer { ...Nowhere } }",
        "{ ...F } fragment F on Query { ...F }",
        "{ ...F } fragment F on Query { ...G } fragment G on Query { viewer { id } ...F }",
        "{ ...F } fragment F on Query { viewer { ...G } } fragment G on ApiKey { id ...G }",
        "{ ...F } fragment F on Nowhere { id }",
        "{ ... on Nowhere { id } }",
        "{ ...F } fragment F on Query { viewer { id } } fragment F on Query { viewer { id } }",
        "{ viewer { id } } fragment Unused on Query { viewer { id } }",
    ],
)
async def test_a_fragment_that_is_unknown_or_circular_is_an_error_that_says_so(gateway: Gateway, query: str) -> None:
    answer = await gateway.answer(query)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}
    assert any(word in answer["errors"][0]["message"] for word in ("Nowhere", "F", "G", "Unused"))


# --------------------------------------------------------------------- tokens


async def test_two_thousand_tokens_are_taken_and_more_are_not(gateway: Gateway) -> None:
    for count, code in ((2000 - 16, None), (2000 - 15, "GRAPHQL_PARSE_FAILED")):
        statuses = "NEW " * count
        assert await code_of(gateway, f"{{ leaks(filter: {{status: [{statuses}]}}) {{ totalCount }} }}") == code


async def test_comments_and_commas_are_no_tokens(gateway: Gateway) -> None:
    assert await code_of(gateway, "{ __typename " + "," * 50_000 + "# a comment \n" * 1000 + "}") is None


# ---------------------------------------------------------------------- nodes


async def test_what_an_operation_can_return_is_bounded_by_the_sizes_of_its_pages(gateway: Gateway) -> None:
    three = """query ($a: Int, $b: Int = 20, $c: Int) { leaks(first: $a) { nodes { connections { endpoints(first: $b) { nodes {
                 leaks(last: $c) { nodes { id } } } } } } } }"""
    for variables, code in (
        ({"a": 100, "b": 10, "c": 98}, None),
        ({"a": 100, "b": 10, "c": 99}, "OPERATION_TOO_COSTLY"),
        ({"a": 100, "b": 100, "c": 100}, "OPERATION_TOO_COSTLY"),
        ({"a": 100, "c": 100}, "OPERATION_TOO_COSTLY"),
        ({"a": 20, "b": None, "c": 100}, None),
        ({}, None),
    ):
        assert await code_of(gateway, three, variables) == code, variables


async def test_the_message_says_how_many_nodes_and_what_to_do(gateway: Gateway) -> None:
    query = "query ($n: Int) { leaks(first: $n) { edges { node { connections { users(first: $n) { nodes { leaks(first: $n) { edges { node { id } } } } } } } } } }"
    assert await message_of(gateway, query, {"n": 100}) == (
        "The operation can return 1010100 nodes; at most 100000 are taken. Ask for smaller pages."
    )


async def test_a_size_that_is_not_taken_is_told_as_such_and_not_as_a_cost(gateway: Gateway) -> None:
    query = "query ($n: Int) { leaks(first: $n) { nodes { connections { users(first: $n) { nodes { id } } } } } }"
    for size in (10**9, -(10**9), 0):
        assert await code_of(gateway, query, {"n": size}) == "BAD_USER_INPUT"


async def test_nodes_by_id_count_as_many_as_there_are_ids(gateway: Gateway) -> None:
    below = "... on Leak { connections { users(first: 100) { nodes { leaks(first: 10) { nodes { id } } } } } }"
    query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {below} }} }}"
    assert await code_of(gateway, query, {"ids": [EXAMPLE_ID] * 90}) is None
    assert await code_of(gateway, query, {"ids": [EXAMPLE_ID] * 91}) == "OPERATION_TOO_COSTLY"
    inline = ", ".join([f'"{EXAMPLE_ID}"'] * 91)
    assert await code_of(gateway, f"{{ nodes(ids: [{inline}]) {{ {below} }} }}") == "OPERATION_TOO_COSTLY"


async def test_connections_of_one_leak_cost_no_page(gateway: Gateway) -> None:
    query = "query ($id: ID!) { leak(id: $id) { connections { users(first: 100) { nodes { leaks(first: 100) { nodes { id } } } } } } }"
    assert await code_of(gateway, query, {"id": EXAMPLE_ID}) is None


# ------------------------------------------------------------------ variables


async def test_variables_are_taken_eight_lists_and_objects_deep(gateway: Gateway) -> None:
    query = "query ($f: LeakFilter) { leaks(filter: $f) { totalCount } }"
    for depth, message in ((8, None), (9, "The variables are 9 lists and objects deep; at most 8 are taken.")):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            value = opening * depth + "1" + closing * depth
            body = '{"query": "%s", "variables": {"f": %s}}' % (query, value)
            (error, *_) = (await gateway.post(body.encode())).json()["errors"]
            assert (error["message"] == message) == (depth == 9), error


async def test_variables_are_taken_a_thousand_items_long(gateway: Gateway) -> None:
    query = "query ($s: [LeakStatus!]) { leaks(filter: {status: $s}) { totalCount } }"
    assert await code_of(gateway, query, {"s": ["NEW"] * 1000}) is None
    for value in (["NEW"] * 1001, [["NEW"] * 1001], {"a": ["NEW"] * 1001}, {f"a{n}": 1 for n in range(1001)}):
        assert await message_of(gateway, query, {"s": value}) == (
            "A list or an object in the variables has 1001 items; at most 1000 are taken."
        )


# -------------------------------------------------------------- introspection


async def test_the_introspection_of_graphiql_passes_with_every_option(gateway: Gateway) -> None:
    query = get_introspection_query(
        descriptions=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
    )
    data = await gateway.ask(query)
    assert {"Leak", "LeakFilter", "Node"} <= {type_["name"] for type_ in data["__schema"]["types"]}
    assert data == await gateway.ask(query, key="restricted to nothing")


@pytest.mark.asyncio
async def test_introspection_can_be_turned_off(world: World) -> None:
    settings = dataclasses.replace(world.settings, introspection=False)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        for query in ("{ __schema { types { name } } }", '{ __type(name: "Leak") { name } }', "{ viewer { id } __schema { queryType { name } } }",
                      "{ ...F } fragment F on Query { __schema { queryType { name } } }", get_introspection_query()):  # fmt: skip
            assert await code_of(gateway, query) == "GRAPHQL_VALIDATION_FAILED"
        assert await gateway.ask("{ __typename viewer { __typename } }") == {
            "__typename": "Query",
            "viewer": {"__typename": "ApiKey"},
        }


@pytest.mark.asyncio
async def test_the_ceilings_are_settings(world: World) -> None:
    settings = dataclasses.replace(
        world.settings, max_tokens=20, max_depth=2, max_aliases=1, max_nodes=10, max_request_bytes=1024
    )
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        for query, code in (
            ("{ viewer { id } }", None),
            ("{ " + "__typename " * 19 + "}", "GRAPHQL_PARSE_FAILED"),
            ("{ leaks(first: 1) { nodes { id } } }", "OPERATION_TOO_COSTLY"),
            ("{ a: __typename }", None),
            ("{ a: __typename b: __typename }", "OPERATION_TOO_COSTLY"),
            ("{ viewer { id } #" + "x" * 1100 + "\n}", "BAD_USER_INPUT"),
        ):
            assert await code_of(gateway, query) == code, query
    settings = dataclasses.replace(world.settings, max_nodes=10)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        assert await code_of(gateway, "{ leaks(first: 10) { nodes { id } } }") is None
        assert await code_of(gateway, "{ leaks(first: 11) { nodes { id } } }") == "OPERATION_TOO_COSTLY"
    settings = dataclasses.replace(
        world.settings, max_directives=0, max_selections=4, max_repeats=2, max_root_fields=2, max_variable_depth=0
    )
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        for query, code in (
            ("{ viewer { id name } __typename }", None),
            ("{ viewer { id name } __typename a: __typename }", "OPERATION_TOO_COSTLY"),
            ("{ a: __typename b: __typename __typename }", "OPERATION_TOO_COSTLY"),
            ("{ __typename __typename __typename }", "OPERATION_TOO_COSTLY"),
            ("{ __typename @include(if: true) }", "OPERATION_TOO_COSTLY"),
        ):
            assert await code_of(gateway, query) == code, query
        assert await code_of(gateway, "{ __typename }", {"a": []}) == "OPERATION_TOO_COSTLY"
    settings = dataclasses.replace(world.settings, max_variable_length=2)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        assert await code_of(gateway, "{ __typename }", {"a": [1, 2]}) is None
        assert await code_of(gateway, "{ __typename }", {"a": [1, 2, 3]}) == "OPERATION_TOO_COSTLY"
