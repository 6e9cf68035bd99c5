"""The committed schema is the code's, and holds what the contract promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
    print_ast,
)
from graphql.utilities import find_breaking_changes

from schema.build import SDL_FILE, sdl

NOT_YET_BUILT = {
    "DomainCount", "EndpointCount", "Leak.history", "Leak.samePassword", "LeakEvent", "LeakEventKind", "LeakFilter.search",
    "LeakStatistics", "LeakTimeField", "Mutation", "Query.leakStatistics", "ResourceCount",
    "RiskLevelNameCount", "StatusChange", "StatusChangeConnection", "StatusChangeEdge", "StatusCount", "Subscription",
    "TimeInterval", "TimelineBucket", "UpdateLeakStatusInput", "UpdateLeakStatusPayload", "UserCount",
}  # fmt: skip
"""What the contract has and the code has not; whatever is built leaves this list."""


@pytest.fixture(scope="module")
def contract() -> GraphQLSchema:
    return build_schema((Path(__file__).parent / "schema.graphql").read_text())


@pytest.fixture(scope="module")
def built() -> GraphQLSchema:
    return build_schema(sdl())


def parts(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Every type, field, argument and value by its name, with all that a client may rely on."""
    for name, type_ in schema.type_map.items():
        if is_introspection_type(type_) or is_specified_scalar_type(type_):
            continue
        yield name, type(type_).__name__
        if isinstance(type_, GraphQLEnumType):
            yield from ((f"{name}.{value}", "value") for value in type_.values)
        if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)):
            yield from ((f"{name} implements {interface}", "") for interface in type_.interfaces)
            for field_name, field in type_.fields.items():
                yield f"{name}.{field_name}", str(field.type)
                yield from ((f"{name}.{field_name}({key}:)", _input(value)) for key, value in field.args.items())
        if isinstance(type_, GraphQLInputObjectType):
            yield from ((f"{name}.{key}", _input(value)) for key, value in type_.fields.items())


def _input(value: Any) -> str:
    default = value.default.literal if value.default is not None else None
    return f"{value.type} {_printed(default)}"


def _printed(node: Any) -> str:
    return "" if node is None else print_ast(node)


def is_built(name: str) -> bool:
    return not any(name == part or name.startswith((f"{part}.", f"{part}(", f"{part} ")) for part in NOT_YET_BUILT)


def test_the_committed_schema_is_what_the_code_says() -> None:
    assert SDL_FILE.read_text() == sdl()


def test_everything_of_the_contract_that_is_built_is_as_the_contract_has_it(
    contract: GraphQLSchema, built: GraphQLSchema
) -> None:
    ours = dict(parts(built))
    promised = {name: told for name, told in parts(contract) if is_built(name)}
    assert len(promised) > 100
    assert promised["LeakOrder.direction"] == "OrderDirection! DESC"
    assert {name: ours.get(name) for name in promised} == promised


def test_what_is_not_yet_built_is_not_there(contract: GraphQLSchema, built: GraphQLSchema) -> None:
    assert {name for name in NOT_YET_BUILT if name in dict(parts(built))} == set()
    assert set(dict(parts(contract))) >= NOT_YET_BUILT


def test_nothing_that_a_client_relies_on_is_broken(contract: GraphQLSchema, built: GraphQLSchema) -> None:
    changes = [change.description for change in find_breaking_changes(contract, built)]
    missing = {change.split(" was removed")[0].removeprefix("Field ") for change in changes}
    assert missing <= NOT_YET_BUILT


def test_every_type_is_described(built: GraphQLSchema) -> None:
    for name, type_ in built.type_map.items():
        if not is_introspection_type(type_):
            assert type_.description, name
