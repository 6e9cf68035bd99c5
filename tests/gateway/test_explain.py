"""What an operation cost, told to whoever asks with a key that may."""

from typing import Any

import pytest

from tests.records import EXAMPLE_ID
from tests.serving import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

NESTED = """query ($id: ID!) { leak(id: $id) { id connections { endpoints { pageInfo { endCursor }
    nodes { leaks { totalCount pageInfo { endCursor } nodes { login } } } } } } }"""


async def _explained(gateway: Gateway, query: str, key: str = "explain", **variables: Any) -> Any:
    response = await gateway.respond(query, variables, key, X_Leaks_Explain="1")
    return response.json()


async def test_a_planned_operation_tells_its_levels(gateway: Gateway) -> None:
    answer = await _explained(gateway, NESTED, id=EXAMPLE_ID)
    assert list(answer) == ["data", "extensions"]
    explained = answer["extensions"]["explain"]
    assert explained["executor"] == "planner"
    assert explained["microseconds"] >= sum(level["microseconds"] for level in explained["levels"]) >= 0
    statements = [len(level["statements"]) for level in explained["levels"]]
    assert statements == [1, 1, 2], "the leak; its machines; their leaks and how many"
    assert [level["statements"][0]["rows"] for level in explained["levels"][:2]] == [1, 3]


async def test_an_interpreted_operation_tells_its_batches(gateway: Gateway) -> None:
    answer = await _explained(
        gateway, "{ __schema { queryType { name } } leaks(first: 2) { nodes { id } totalCount } }"
    )
    explained = answer["extensions"]["explain"]
    assert explained["executor"] == "interpreter"
    assert [[one["rows"] for one in level["statements"]] for level in explained["levels"]] == [[3], [1]]


async def test_statements_are_told_without_values(gateway: Gateway) -> None:
    answer = await _explained(gateway, NESTED, id=EXAMPLE_ID)
    (statement,) = answer["extensions"]["explain"]["levels"][0]["statements"]
    assert set(statement) == {"statement", "rows", "microseconds"}
    assert "FROM leaks" in statement["statement"]
    assert EXAMPLE_ID not in statement["statement"]


async def test_data_is_the_same_with_an_explanation_and_without(gateway: Gateway) -> None:
    explained = await _explained(gateway, NESTED, id=EXAMPLE_ID)
    assert (await gateway.answer(NESTED, {"id": EXAMPLE_ID})) == {"data": explained["data"]}


@pytest.mark.parametrize("also", ["", "__schema { queryType { name } }"], ids=["planned", "interpreted"])
async def test_a_key_without_the_scope_is_refused(gateway: Gateway, also: str) -> None:
    response = await gateway.respond(f"{{ leaks {{ totalCount }} {also} }}", key="read", X_Leaks_Explain="1")
    assert response.status_code == 403
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert "leaks:explain" in error["message"]


async def test_nobody_is_told_who_does_not_ask(gateway: Gateway) -> None:
    assert "extensions" not in await gateway.answer("{ leaks { totalCount } }", key="explain")
