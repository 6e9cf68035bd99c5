"""Documents by name: as Apollo Client and urql persist them, as persisted documents have it, and those that are trusted."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.documents import PersistedTexts
from gateway.settings import SettingsError
from schema.budget import Unlimited
from tests.records import EXAMPLE_ID, World
from tests.serving import Gateway, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

RESPONSE = "application/graphql-response+json"
NOT_FOUND = {"errors": [{"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}]}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(hash_: Any, version: Any = 1) -> dict[str, Any]:
    return {"persistedQuery": {"version": version, "sha256Hash": hash_}}


async def post(gateway: Gateway, key: str = "read", accept: str = "application/json", **sent: Any) -> httpx.Response:
    return await gateway.post(orjson.dumps(sent), key, Accept=accept)


async def get(gateway: Gateway, key: str = "read", **sent: Any) -> httpx.Response:
    parameters = {
        name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in sent.items()
    }
    return await gateway.get("/graphql", key, params=parameters)


def code_of(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    code: str = error["extensions"]["code"]
    return code


# ---------------------------------------------------------------- automatic


@pytest.mark.parametrize("ask", [post, get])
async def test_a_document_that_was_sent_with_its_hash_is_found_by_it(gateway: Gateway, ask: Any) -> None:
    query = f"query ($id: ID!) {{ leak(id: $id) {{ id }} }} # {ask.__name__}"
    named: Any = {"variables": {"id": EXAMPLE_ID}, "extensions": persisted(digest(query))}
    missed = await ask(gateway, **named)
    assert (missed.status_code, missed.json()) == (200, NOT_FOUND)
    assert missed.headers["cache-control"] == "no-store"
    data = {"data": {"leak": {"id": EXAMPLE_ID}}}
    for sent in ({"query": query, **named}, named, named):
        response = await ask(gateway, **sent)
        assert (response.status_code, response.json()) == (200, data)
    # urql sends this member again.
    again = {"persistedQuery": {**named["extensions"]["persistedQuery"], "miss": True}}
    assert (await ask(gateway, variables=named["variables"], extensions=again)).json() == data
    assert (await ask(gateway, query=None, **named) if ask is post else await ask(gateway, **named)).json() == data


async def test_a_document_that_is_not_found_is_a_404_where_statuses_count(gateway: Gateway) -> None:
    response = await post(gateway, accept=RESPONSE, extensions=persisted("0" * 64))
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


async def test_a_document_is_found_by_its_document_id(gateway: Gateway) -> None:
    query = "{ viewer { name } } # by its document id"
    assert (await post(gateway, documentId=f"sha256:{digest(query)}")).json() == NOT_FOUND
    await post(gateway, query=query, extensions=persisted(digest(query)))
    for ask in (post, get):
        for name in (f"sha256:{digest(query)}", digest(query)):
            assert (await ask(gateway, documentId=name)).json() == {"data": {"viewer": {"name": "read"}}}


async def test_each_organization_finds_its_own_alone(gateway: Gateway) -> None:
    query = "{ organization { name } } # of one organization"
    named: Any = {"extensions": persisted(digest(query))}
    assert "data" in (await post(gateway, query=query, **named)).json()
    assert "data" in (await post(gateway, "restricted", **named)).json()
    assert (await post(gateway, "labs", **named)).json() == NOT_FOUND


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nowhere }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ " + "a { " * 20 + "b" + " }" * 21, "OPERATION_TOO_COSTLY"),
    ],
)
async def test_a_document_that_is_not_valid_is_not_kept(gateway: Gateway, query: str, code: str) -> None:
    for _ in range(2):
        assert code_of(await post(gateway, query=query, extensions=persisted(digest(query)))) == code
        assert (await post(gateway, extensions=persisted(digest(query)))).json() == NOT_FOUND


async def test_a_hash_of_another_text_is_refused_and_nothing_is_kept(gateway: Gateway) -> None:
    query, other = "{ viewer { name } } # mine", "{ viewer { id } } # other"
    response = await post(gateway, query=query, extensions=persisted(digest(other)))
    assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT")
    for text in (query, other):
        assert (await post(gateway, extensions=persisted(digest(text)))).json() == NOT_FOUND


@pytest.mark.parametrize(
    "extension",
    [
        5, "x", [], {}, {"version": 1}, {"sha256Hash": "0" * 64}, {"version": 2, "sha256Hash": "0" * 64}, {"version": "1", "sha256Hash": "0" * 64},
        *({"version": 1, "sha256Hash": wrong} for wrong in (None, 5, "", "0" * 63, "0" * 65, "A" * 64, "0" * 63 + "\n", "é" * 64, ["0" * 64])),
    ],
)  # fmt: skip
async def test_what_is_no_hash_is_refused(gateway: Gateway, extension: Any) -> None:
    for query in ({}, {"query": "{ viewer { name } }"}):
        response = await post(gateway, extensions={"persistedQuery": extension}, **query)
        assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT")


@pytest.mark.parametrize("document_id", [5, "", {}, "sha256:", "md5:" + "0" * 32, "a b", "x" * 257, "../etc", "\x00"])
async def test_what_is_no_document_id_is_refused(gateway: Gateway, document_id: Any) -> None:
    response = await post(gateway, documentId=document_id)
    assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT")


async def test_a_document_and_the_name_of_one_are_refused(gateway: Gateway) -> None:
    response = await post(gateway, query="{ viewer { name } }", documentId=digest("{ viewer { name } }"))
    assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT")


async def test_members_that_are_null_are_as_if_left_out(gateway: Gateway) -> None:
    for more in ({"documentId": None}, {"extensions": {"persistedQuery": None}}):
        assert "data" in (await post(gateway, query="{ viewer { name } }", **more)).json()


async def test_no_more_is_kept_than_there_is_room_for() -> None:
    texts = PersistedTexts(lambda _query, _budget=None: None)
    for number in range(20_000):
        texts.keep(f"{number}", f"{number}", "corp", Unlimited())
    found = sum(texts.find(f"{number}", "corp") is not None for number in range(20_000))
    assert 1000 < found < 10_000
    assert texts.find("19999", "corp") == "19999"
    for number in range(100):
        texts.keep("x" * 100_000, f"long {number}", "corp", Unlimited())
    assert sum(texts.find(f"long {number}", "corp") is not None for number in range(100)) < 50
    assert texts.find("19999", "corp") is None


# ------------------------------------------------------------------- trusted

LISTED = "query One($id: ID!) { leak(id: $id) { id } }"
ALSO_LISTED = "{ viewer { name } }"
DATA = {"data": {"leak": {"id": EXAMPLE_ID}}}


def trusting(world: World, folder: Path, texts: Any) -> Starlette:
    """The application, with a file of trusted documents."""
    path = folder / "trusted.json"
    if texts is not None:
        path.write_bytes(texts if isinstance(texts, bytes) else orjson.dumps(texts, option=orjson.OPT_INDENT_2))
    return create_app(dataclasses.replace(world.settings, trusted_documents=path))


@pytest.mark.asyncio
async def test_only_what_is_listed_runs_by_id_by_hash_or_by_text(world: World, tmp_path: Path) -> None:
    texts = {f"sha256:{digest(LISTED)}": LISTED, "viewer-1": ALSO_LISTED}
    async with running(trusting(world, tmp_path, texts)) as client:
        gateway = Gateway(client, world)
        variables = {"id": EXAMPLE_ID}
        for ask in (post, get):
            for named in (
                {"documentId": f"sha256:{digest(LISTED)}"},
                {"documentId": digest(LISTED)},
                {"extensions": persisted(digest(LISTED))},
                {"query": LISTED},
                {"query": LISTED, "extensions": persisted(digest(LISTED))},
            ):
                assert (await ask(gateway, variables=variables, **named)).json() == DATA
            for name in ("viewer-1", digest(ALSO_LISTED), f"sha256:{digest(ALSO_LISTED)}"):
                assert (await ask(gateway, documentId=name)).json() == {"data": {"viewer": {"name": "read"}}}
            for unlisted in ("{ viewer { id } }", LISTED + " ", "{ __schema { queryType { name } } }", "{", ""):
                hashed: Any = {"extensions": persisted(digest(unlisted))}
                for response in (await ask(gateway, query=unlisted), await ask(gateway, query=unlisted, **hashed)):
                    assert (response.status_code, code_of(response)) == (403, "FORBIDDEN")
                assert (await ask(gateway, documentId=digest(unlisted))).json() == NOT_FOUND
            assert (await ask(gateway, documentId="viewer-2")).json() == NOT_FOUND
        response = await post(gateway, query=LISTED, extensions=persisted(digest(ALSO_LISTED)))
        assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT")
        assert (await gateway.get(f"/leaks/{EXAMPLE_ID}")).status_code == 200, "REST has its own"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "cannot be read"),
        (b"", "no JSON"),
        (b"[]", "no object"),
        ({"a": 5}, "no object"),
        (b'{"a": "{ __typename }", "a": "{ viewer { id } }"}', "two members of one name"),
        ({"a": "{ nowhere }"}, '"a" cannot run: Cannot query field'),
        ({"a": "{"}, '"a" cannot run: Syntax Error'),
        ({"a": "{ " + "a { " * 20 + "b" + " }" * 21}, '"a" cannot run: The operation is 21 fields deep'),
        ({"a b": ALSO_LISTED}, "its id cannot be one"),
        ({digest(LISTED): ALSO_LISTED}, "its id is the SHA-256 of another text"),
        ({f"sha256:{digest(LISTED)}": ALSO_LISTED}, "its id is the SHA-256 of another text"),
    ],
)
async def test_a_file_that_cannot_be_trusted_ends_the_start(tmp_path: Path, texts: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        trusting(World("sqlite:///nowhere.db", {}, {}, {}), tmp_path, texts)
