"""Strings that attack, in every place of the schema that takes one: nothing is found by them, and nothing falls over.

The places are found in the schema, so a new argument is attacked from the day it is there.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_composite_type,
    print_type,
)

from schema.build import build_schema as build_strawberry_schema
from tests.attacks.conftest import Target
from tests.records import EXAMPLE_ID, Oracle, Record

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCHEMA: GraphQLSchema = build_schema(build_strawberry_schema().as_str())

STRINGS = (
    "", " ", "\x00", "a\x00b", "\x01\x1f\x7f", "\u202e\u200b\ufeff", "\U0001f511", "\uffff", "é" * 3000, "x" * 50_000,
    "'", '"', "\\", "';", "''", "' OR '1'='1", "' OR 1=1 --", '" OR ""="', "1; DROP TABLE leaks; --", "') UNION SELECT * FROM keys --",
    "x' AND 1=(SELECT COUNT(*) FROM keys) --", "$1", "?", ":id", "%(id)s", "{0}", "%s%s%n", "${jndi:ldap://x}", "{{7*7}}", "$(id)", "`id`",
    "%", "_", "%%%", "\\%", "[a-z]%", "*", ".*", "(a+)+$", "null", "None", "NaN", "true", "0", "-1", "1e309", "[]", "{}", '{"$ne": null}',
    "../../etc/passwd", "<script>alert(1)</script>", "2026-02-30T00:00:00Z", "+292278994-08-17T07:12:55.807Z", "0000-00-00", "9999999999999",
    "00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}", "urn:uuid:00000000-0000-0000-0000-000000000000",
)  # fmt: skip

_WAYS = {
    "Query": "{ %s }",
    "Organization": "{ organization { %s } }",
    "Domain": "{ organization { domains { nodes { %s } } } }",
    "Connections": f'{{ leak(id: "{EXAMPLE_ID}") {{ connections {{ %s }} }} }}',
    "Resource": f'{{ leak(id: "{EXAMPLE_ID}") {{ connections {{ resources {{ nodes {{ %s }} }} }} }} }}',
    "User": f'{{ leak(id: "{EXAMPLE_ID}") {{ connections {{ users {{ nodes {{ %s }} }} }} }} }}',
    "Endpoint": f'{{ leak(id: "{EXAMPLE_ID}") {{ connections {{ endpoints {{ nodes {{ %s }} }} }} }} }}',
}
_TEXTUAL = {"ID": "ID!", "String": "String", "DateTime": "DateTime"}


def _values(type_: GraphQLInputType) -> Iterator[tuple[str, str, str]]:
    """Each string in a value of a type: where it is, the value with `$x` in its place, and the type of `$x`."""
    named = get_named_type(type_)
    if named.name in _TEXTUAL:
        yield "", "[$x]" if "[" in str(type_) else "$x", _TEXTUAL[named.name]
    elif isinstance(named, GraphQLInputObjectType):
        for name, field in named.fields.items():
            for place, value, variable in _values(field.type):
                yield f".{name}{place}", f"{{{name}: {value}}}", variable


def _places() -> Iterator[tuple[str, str]]:
    """Every place that takes a string, and an operation with `$x` in it."""
    for type_ in SCHEMA.type_map.values():
        for name, field in type_.fields.items() if isinstance(type_, GraphQLObjectType) else ():
            for argument, definition in field.args.items():
                for place, value, variable in _values(definition.type):
                    needed = f'id: "{EXAMPLE_ID}", ' if "id" in field.args and argument != "id" else ""
                    selected = _selection(get_named_type(field.type))
                    asked = f"{name}({needed}{argument}: {value}) {selected}"
                    yield (
                        f"{type_.name}.{name}.{argument}{place}",
                        f"query ($x: {variable}) {_WAYS[type_.name] % asked}",
                    )


def _selection(type_: Any) -> str:
    if not is_composite_type(type_):
        return ""
    return "{ totalCount nodes { id } }" if "totalCount" in print_type(type_) else "{ id }"


PLACES = dict(_places())


async def test_the_places_are_those_that_the_schema_is_known_to_have() -> None:
    found = {place.partition(".")[0] for place in PLACES}
    assert found == set(_WAYS)
    for place in (
        "Query.node.id", "Query.nodes.ids", "Query.leak.id", "Query.leak.domainIds", "Query.leaks.after", "Query.leaks.domainIds",
        "Query.leaks.filter.login", "Query.leaks.filter.urlContains", "Query.leaks.filter.addedAt.since", "Query.domain.id",
        "Organization.domains.before", "Domain.leaks.filter.resource", "Connections.users.after", "Resource.leaks.filter.identity",
        "User.leaks.before", "Endpoint.leaks.filter.filename",
    ):  # fmt: skip
        assert place in PLACES


@pytest.mark.parametrize("place", PLACES)
async def test_no_string_finds_anything_or_makes_anything_fall_over(target: Target, place: str) -> None:
    query = PLACES[place]
    wildcards = place.endswith("urlContains")
    # What lies below a node resolves its arguments as a root field does.
    for text in STRINGS if place.startswith("Query.") else STRINGS[::6]:
        if wildcards and text in {"", "%", "_", "0", "\\", "?"}:
            continue  # these are in urls; what they find is told below
        answer = await target.answer(query, {"x": text})
        codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
        assert codes <= {"BAD_USER_INPUT", "FORBIDDEN"}, (text, answer)
        assert codes or not list(_found(answer["data"])), (text, answer)


def _found(value: Any) -> Iterator[Any]:
    """What an answer shows of what is below the argument: nodes, and counts above nothing."""
    if isinstance(value, dict):
        if set(value) == {"totalCount", "nodes"}:
            yield from (each for each in (value["totalCount"], *value["nodes"]) if each)
        elif set(value) == {"id"}:
            yield value
        else:
            for inner in value.values():
                yield from _found(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner)


@pytest.mark.parametrize("text", ["%", "_", "%_", "100%_off", "\\", "/", "?", "0", "EXAMPLE", "Ünter", "*", "."])
async def test_wildcards_stand_for_themselves(target: Target, text: str) -> None:
    query = "query ($x: String) { leaks(first: 100, filter: {urlContains: $x}) { nodes { id } } }"
    data = await target.ask(query, {"x": text})
    corp: Oracle = target.world.corp

    def is_wanted(leak: Record) -> bool:
        return leak["url"] is not None and text.lower() in leak["url"].lower()

    assert [node["id"] for node in data["leaks"]["nodes"]] == corp.leaks(is_wanted=is_wanted)


@pytest.mark.parametrize("text", STRINGS)
async def test_no_string_finds_anything_by_rest(target: Target, text: str) -> None:
    escaped = quote(text, safe="")
    if len(escaped) > 16_000:
        return
    for path, statuses in ((f"/leaks/{escaped}", {404}), (f"/leaks/{EXAMPLE_ID}?domain_id={escaped}", {400, 403})):
        response = await target.get(path)
        assert response.status_code in statuses
        assert set(response.json()) == {"type", "status", "detail"}


@pytest.mark.parametrize("text", STRINGS)
async def test_no_string_is_a_key_a_name_or_a_document(target: Target, text: str) -> None:
    as_header = text.encode()[:8000].replace(b"\x00", b"").replace(b"\n", b"")
    for name in (b"X-API-Key", b"Authorization"):
        response = await target.client.get(f"/leaks/{EXAMPLE_ID}", headers={name: as_header})
        assert response.status_code == 401
    for sent in (
        {"query": text},
        {"query": "query A { __typename }", "operationName": text or "B"},
        {"documentId": text or " "},
    ):
        answer = (await target.post(orjson.dumps(sent))).json()
        assert list(answer) == ["errors"]
        assert "INTERNAL" not in {error["extensions"]["code"] for error in answer["errors"]}


async def test_nothing_is_lost_after_all(target: Target) -> None:
    data = await target.ask("{ leaks { totalCount } }")
    assert data["leaks"]["totalCount"] == len(target.world.corp.leaks())
