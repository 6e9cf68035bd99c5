"""GraphiQL in a real browser."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from graphql import parse, validate

from gateway.explorer.build import BUILD, SOURCES
from schema.build import build_schema
from tests.gateway.explorer.conftest import ExplorerServer, Visit

EXAMPLES = sorted((SOURCES / "src" / "examples").glob("*.graphql"))
QUERY = "{ organization { name } }"


async def _open(visit: Visit, url: str) -> None:
    await visit.page.goto(f"{url}/graphiql")
    await visit.page.wait_for_selector(".graphiql-query-editor .view-lines")


async def _enter_key(visit: Visit, key: str) -> None:
    await visit.page.get_by_label("API key").fill(key)
    async with visit.page.expect_response("**/graphql"):
        await visit.page.get_by_label("API key").press("Enter")
    await visit.page.wait_for_selector(".graphiql-query-editor .view-lines")


async def _type_and_run(visit: Visit, query: str) -> str:
    await visit.page.get_by_role("button", name="New tab").click()
    await visit.page.locator(".graphiql-query-editor .view-lines").click()
    await visit.page.keyboard.press("Control+A")
    await visit.page.keyboard.type(query.replace("{", "{ ").replace(" }", ""), delay=5)
    async with visit.page.expect_response("**/graphql") as response:
        await visit.page.keyboard.press("Control+Enter")
    await (await response.value).finished()
    answer = visit.page.locator(".graphiql-response .view-lines")
    await answer.get_by_text("data").first.wait_for()
    return (await answer.inner_text()).replace("\xa0", " ")


async def test_a_typed_query_is_answered(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.url)
    await _enter_key(visit, explorer_server.world.keys["read"])
    name = explorer_server.world.organizations["corp"].name
    assert name in await _type_and_run(visit, QUERY)
    assert visit.complaints == []


async def test_no_request_leaves_the_origin(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.demo_url)
    await visit.page.get_by_role("button", name="Execute query").click()
    await visit.page.locator(".graphiql-response").get_by_text("data").first.wait_for()
    asked = [urlsplit(url) for url in visit.requests]
    assert {part.netloc for part in asked if part.scheme != "data"} == {urlsplit(explorer_server.demo_url).netloc}
    assert {part.scheme for part in asked} <= {"http", "data"}
    assert visit.complaints == []


async def test_the_key_lasts_as_long_as_the_session_only(explorer_server: ExplorerServer, visit: Visit) -> None:
    key = explorer_server.world.keys["read"]
    await _open(visit, explorer_server.url)
    await _enter_key(visit, key)
    await visit.page.reload()
    assert await visit.page.get_by_label("API key").input_value() == key
    assert key in await visit.page.evaluate("JSON.stringify(sessionStorage)")
    assert key not in await visit.page.evaluate("JSON.stringify(localStorage)")
    assert await visit.context.cookies() == []


async def test_without_a_key_nothing_is_asked(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.url)
    await visit.page.get_by_text("Enter an API key to load the schema.").wait_for()
    assert await visit.page.get_by_label("API key").input_value() == ""
    assert not [url for url in visit.requests if url.endswith("/graphql")]
    assert visit.complaints == []


async def test_the_demo_opens_with_its_key_and_its_examples(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.demo_url)
    assert await visit.page.get_by_label("API key").input_value() == explorer_server.world.keys["read"]
    tabs = await visit.page.get_by_role("tab").all_inner_texts()
    assert tabs == ["NewestLeak", "WaitingForTriage", "Pivot"]


async def test_the_explorer_plugin_opens(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.demo_url)
    await visit.page.get_by_role("button", name="Show GraphiQL Explorer").click()
    await visit.page.locator(".docExplorerWrap, .graphiql-explorer-root").first.wait_for()
    assert visit.complaints == []


async def test_a_browser_gets_the_page_at_the_endpoint(explorer_server: ExplorerServer, visit: Visit) -> None:
    await visit.page.goto(f"{explorer_server.demo_url}/graphql")
    await visit.page.wait_for_selector(".graphiql-query-editor .view-lines")
    assert visit.complaints == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid(example: Path) -> None:
    document = parse(example.read_text())
    assert validate(build_schema()._schema, document) == []  # noqa: SLF001 - published under no other name
    assert example.read_text().startswith("# ")


def test_the_page_may_run_and_load_nothing_but_its_own(explorer_server: ExplorerServer) -> None:
    first, second = (httpx.get(f"{explorer_server.url}/graphiql") for _ in range(2))
    policy = first.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert policy != second.headers["Content-Security-Policy"], "a nonce is new with every page"
    assert first.headers["Cache-Control"] == "no-store"


def test_a_prefilled_key_cannot_break_out_of_the_page(explorer_server: ExplorerServer) -> None:
    assert explorer_server.world.keys["read"] in httpx.get(f"{explorer_server.demo_url}/graphiql").text
    assert "lgk_" not in httpx.get(f"{explorer_server.url}/graphiql").text


def test_the_files_are_kept_by_the_browser(explorer_server: ExplorerServer) -> None:
    asset = next((BUILD / "assets").glob("*.js")).name
    answer = httpx.get(f"{explorer_server.url}/graphiql/assets/{asset}")
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = httpx.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert httpx.get(f"{explorer_server.url}/graphiql/index.html").status_code == 404
    assert httpx.get(f"{explorer_server.url}/graphiql/../app.py").status_code == 404
