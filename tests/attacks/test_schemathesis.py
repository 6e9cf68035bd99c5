"""Operations that schemathesis makes up from the published schema, sent to a real server with ids of real records."""

from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from tests.records import EXAMPLE_ID, LARGE_ID, OTHER_ORGANIZATION_LEAK_ID, UNKNOWN_ID, World

CODES = {"BAD_USER_INPUT", "FORBIDDEN", "OPERATION_TOO_COSTLY", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"}
INSTANTS = ("2025-12-05T00:00:00.000Z", "2026-02-01T00:00:00Z", "1970-01-01T00:00:00+14:00")
OTHERS = ("Example Labs", "other@example.org", OTHER_ORGANIZATION_LEAK_ID)

SETTINGS = hypothesis.settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture
def headers(world: World) -> dict[str, str]:
    return {"X-API-Key": world.keys["read"]}


@pytest.fixture
def operations(world: World, live_gateway: str, headers: dict[str, str]) -> list[Any]:
    """What can be asked at the root, each a source of operations."""
    seen = [EXAMPLE_ID, LARGE_ID, world.machine_id, world.host_id, world.person_id, world.domain_id("example.com")]
    unseen = [OTHER_ORGANIZATION_LEAK_ID, UNKNOWN_ID, world.domain_id("example.org", "labs")]
    schemathesis.graphql.scalar("ID", st.sampled_from(seen * 3 + unseen).map(nodes.String))
    schemathesis.graphql.scalar("DateTime", st.sampled_from(INSTANTS).map(nodes.String))
    schema: Any = schemathesis.graphql.from_url(f"{live_gateway}/graphql", headers=headers)
    return [found.ok() for found in schema.get_all_operations()]


def test_whatever_the_schema_allows_is_answered_and_much_of_it_with_records(
    operations: list[Any], headers: dict[str, str]
) -> None:
    counts: Counter[str] = Counter()
    for operation in operations:

        @SETTINGS
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            response = case.call(headers=headers)
            answer = response.json()
            codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
            assert response.status_code in {200, 400}
            assert codes <= CODES, answer
            sent = str(case.body)
            assert not [other for other in OTHERS if other in response.text and other not in sent]
            counts["refused" if codes else "found" if any(answer["data"].values()) else "empty"] += 1

        ask()
    assert len(operations) >= 7
    assert counts["found"] > counts.total() / 4, counts
