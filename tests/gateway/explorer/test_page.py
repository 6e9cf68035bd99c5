"""GraphiQL in a real browser."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from graphql import build_schema, parse, validate
from playwright.async_api import Route
from starlette.applications import Starlette

from gateway.explorer import explorer
from gateway.explorer.build import BUILD, SOURCES
from tests.gateway.explorer.conftest import ExplorerServer, Visit
from tests.serving import running

SDL = Path(__file__).parents[3] / "schema" / "schema.graphql"
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


async def _type(visit: Visit, query: str) -> None:
    """Type a query into a new tab; the editor closes the braces by itself."""
    await visit.page.get_by_role("button", name="New tab").click()
    await visit.page.locator(".graphiql-query-editor .view-lines").click()
    await visit.page.keyboard.press("Control+A")
    await visit.page.keyboard.type(query.replace(" }", ""), delay=5)


async def _written(visit: Visit) -> str:
    return " ".join((await visit.page.locator(".graphiql-query-editor .view-lines").inner_text()).split())


async def test_a_typed_query_is_answered(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.url)
    await _enter_key(visit, explorer_server.world.keys["read"])
    name = explorer_server.world.organizations["corp"].name
    await _type(visit, QUERY)
    async with visit.page.expect_request(lambda sent: "organization" in (sent.post_data or "")):
        await visit.page.keyboard.press("Control+Enter")
    await visit.page.locator(".graphiql-response").get_by_text(name).wait_for()
    assert visit.complaints == []


async def test_an_operation_explains_itself_where_that_is_wanted(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.url)
    await _enter_key(visit, explorer_server.world.keys["explain"])
    await visit.page.get_by_label("Explain").check()
    await _type(visit, "{ leaks { totalCount } }")
    await visit.page.keyboard.press("Control+Enter")
    await visit.page.locator(".graphiql-response").get_by_text("microseconds").first.wait_for()
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


async def test_no_answer_is_kept(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.demo_url)
    name = explorer_server.world.organizations["corp"].name
    await _type(visit, QUERY)
    await visit.page.keyboard.press("Control+Enter")
    await visit.page.locator(".graphiql-response").get_by_text(name).wait_for()
    assert name not in await visit.page.evaluate("JSON.stringify([localStorage, sessionStorage])")


async def test_the_page_does_not_hold_what_it_was_told(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.demo_url)
    assert await visit.page.locator("meta[name=leaks-explorer]").count() == 0


async def test_a_key_typed_in_the_demo_lasts_until_the_demo_has_another(
    explorer_server: ExplorerServer, visit: Visit
) -> None:
    keys = explorer_server.world.keys
    await _open(visit, explorer_server.demo_url)
    await _enter_key(visit, keys["labs"])
    await visit.page.reload()
    field = visit.page.get_by_label("API key")
    assert await field.input_value() == keys["labs"]

    async def begin_with_another(route: Route) -> None:
        page = await route.fetch()
        await route.fulfill(response=page, body=(await page.text()).replace(keys["read"], "lgk_another"))

    await visit.page.route("**/graphiql", begin_with_another)
    await visit.page.reload()
    assert await field.input_value() == "lgk_another"


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


async def test_another_visitor_has_no_key(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.url)
    await _enter_key(visit, explorer_server.world.keys["read"])
    browser = visit.context.browser
    assert browser is not None
    other = await (await browser.new_context()).new_page()
    await other.goto(f"{explorer_server.url}/graphiql")
    assert await other.get_by_label("API key").input_value() == ""


async def test_the_key_is_hidden_until_it_is_asked_for(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.demo_url)
    field = visit.page.get_by_label("API key")
    assert await field.get_attribute("type") == "password"
    await visit.page.get_by_role("button", name="Show", exact=True).click()
    assert await field.get_attribute("type") == "text"


async def test_what_the_gateway_says_of_a_wrong_key_is_shown(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.url)
    await _enter_key(visit, "lgk_wrong")
    await visit.page.get_by_role("button", name="Execute query").click()
    await visit.page.locator(".graphiql-response").get_by_text("UNAUTHENTICATED").wait_for()


async def test_a_key_that_cannot_be_sent_is_told_apart(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.url)
    await visit.page.get_by_label("API key").fill("lgk_…")
    await visit.page.get_by_label("API key").press("Enter")
    await visit.page.locator(".graphiql-response").get_by_text("characters that no key has").wait_for()
    assert visit.complaints == []


async def test_a_gateway_that_is_gone_is_told_in_words(explorer_server: ExplorerServer, visit: Visit) -> None:
    async with visit.page.expect_response("**/graphql"):
        await _open(visit, explorer_server.demo_url)
    await visit.page.route("**/graphql", lambda route: route.abort())
    await visit.page.get_by_role("button", name="Execute query").click()
    await visit.page.locator(".graphiql-response").get_by_text("The gateway cannot be reached.").wait_for()


async def test_without_its_key_the_schema_is_gone(explorer_server: ExplorerServer, visit: Visit) -> None:
    async with visit.page.expect_response("**/graphql"):
        await _open(visit, explorer_server.demo_url)
    await visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    await visit.page.get_by_text("Root Types").wait_for()
    await visit.page.get_by_label("API key").fill("")
    await visit.page.get_by_label("API key").press("Enter")
    await visit.page.get_by_text("No GraphQL schema available").wait_for()
    assert visit.complaints == []


async def test_another_key_loads_the_schema_again_but_keeps_what_was_typed(
    explorer_server: ExplorerServer, visit: Visit
) -> None:
    await _open(visit, explorer_server.demo_url)
    await _type(visit, "{ viewer { name } }")
    await visit.page.get_by_label("API key").fill(explorer_server.world.keys["labs"])
    async with visit.page.expect_request("**/graphql") as asked:
        await visit.page.get_by_label("API key").press("Enter")
    request = await asked.value
    assert "IntrospectionQuery" in (request.post_data or "")
    assert request.headers["x-api-key"] == explorer_server.world.keys["labs"]
    await request.response()
    assert await _written(visit) == "{ viewer { name}}"
    assert visit.complaints == []


async def test_the_editor_completes_and_formats_in_its_workers(explorer_server: ExplorerServer, visit: Visit) -> None:
    async with visit.page.expect_response("**/graphql"):
        await _open(visit, explorer_server.demo_url)
    await _type(visit, "{ organization { na } }")
    await visit.page.keyboard.press("Control+Space")
    await visit.page.locator(".suggest-widget").get_by_text("name", exact=True).first.click()
    await visit.page.locator(".graphiql-query-editor .view-lines").click()
    await visit.page.keyboard.press("Control+Shift+I")
    await visit.page.locator(".graphiql-query-editor .view-line").nth(4).wait_for()
    assert await _written(visit) == "{ organization { name } }"
    assert visit.complaints == []


async def test_what_the_editor_draws_over_the_page_keeps_to_the_policy(
    explorer_server: ExplorerServer, visit: Visit
) -> None:
    await _open(visit, explorer_server.demo_url)
    editor = visit.page.locator(".graphiql-query-editor .view-lines")
    await editor.click(button="right")
    await visit.page.get_by_text("Command Palette").wait_for()
    await visit.page.keyboard.press("Escape")
    await editor.click()
    await visit.page.keyboard.press("F1")
    await visit.page.get_by_text("Add Cursor Above").wait_for()
    await visit.page.keyboard.press("Escape")
    await editor.click()
    await visit.page.keyboard.press("Control+F")
    await visit.page.locator(".find-widget.visible").wait_for()
    assert visit.complaints == []


async def test_the_page_itself_never_scrolls(explorer_server: ExplorerServer, visit: Visit) -> None:
    await _open(visit, explorer_server.demo_url)
    assert await visit.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    logo = visit.page.get_by_text("Leaks", exact=True)
    before = await logo.bounding_box()
    await visit.page.evaluate("for (const e of document.querySelectorAll('*')) e.scrollTop = 100")
    assert await logo.bounding_box() == before


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid(example: Path) -> None:
    assert validate(build_schema(SDL.read_text()), parse(example.read_text())) == []
    assert example.read_text().startswith("# ")
    assert "$" not in example.read_text(), "an example needs no variables"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_answered(explorer_server: ExplorerServer, example: Path) -> None:
    answer = httpx.post(
        f"{explorer_server.url}/graphql",
        json={"query": example.read_text()},
        headers={"X-API-Key": explorer_server.world.keys["read"]},
    ).json()
    assert "errors" not in answer
    assert answer["data"]["leaks"]["nodes"]


def test_the_page_may_run_and_load_nothing_but_its_own(explorer_server: ExplorerServer) -> None:
    first, second = (httpx.get(f"{explorer_server.url}/graphiql") for _ in range(2))
    policy = first.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert policy != second.headers["Content-Security-Policy"], "a nonce is new with every page"
    assert first.headers["Cache-Control"] == "no-store"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert first.headers["Referrer-Policy"] == "no-referrer"
    assert "<script>" not in first.text
    assert httpx.head(f"{explorer_server.url}/graphiql").status_code == 200
    slashed = httpx.get(f"{explorer_server.url}/graphiql/", headers={"Host": "evil.example"})
    assert (slashed.status_code, slashed.headers["Location"]) == (307, "/graphiql"), "whatever host is named"


async def test_a_prefilled_key_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<meta name="leaks-explorer" content="__LEAKS_EXPLORER__" />')
    (tmp_path / "assets").mkdir()
    _, routes = explorer('"><script>', tmp_path)
    async with running(Starlette(routes=routes)) as client:
        text = (await client.get("/graphiql")).text
    assert "<script>" not in text
    assert text.count('"') == 4


def test_only_the_demo_knows_a_key_beforehand(explorer_server: ExplorerServer) -> None:
    assert explorer_server.world.keys["read"] in httpx.get(f"{explorer_server.demo_url}/graphiql").text
    assert "lgk_" not in httpx.get(f"{explorer_server.url}/graphiql").text


def test_the_files_are_kept_by_the_browser(explorer_server: ExplorerServer) -> None:
    asset = next((BUILD / "assets").glob("*.js")).name
    answer = httpx.get(f"{explorer_server.url}/graphiql/assets/{asset}")
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    again = httpx.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert httpx.head(answer.url).headers["Content-Length"] == str(len(answer.content))


@pytest.mark.parametrize(
    ("ending", "media_types"),
    [
        ("js", {"text/javascript", "application/javascript"}),
        ("css", {"text/css"}),
        ("svg", {"image/svg+xml"}),
        ("ttf", {"font/ttf", "font/sfnt"}),
    ],
)
def test_a_file_is_what_it_says_it_is(explorer_server: ExplorerServer, ending: str, media_types: set[str]) -> None:
    asset = next((BUILD / "assets").glob(f"*.{ending}")).name
    answer = httpx.get(f"{explorer_server.url}/graphiql/assets/{asset}")
    assert answer.headers["Content-Type"].partition(";")[0] in media_types
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["index.html", "sources.sha256", "assets/", "assets/none.js", "assets/%2e%2e/index.html"]
)
def test_nothing_else_is_served(explorer_server: ExplorerServer, path: str) -> None:
    assert httpx.get(f"{explorer_server.url}/graphiql/{path}").status_code == 404
