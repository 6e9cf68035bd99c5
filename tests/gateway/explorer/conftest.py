"""GraphiQL as it is served, and a real browser to open it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright

from gateway.app import create_app
from gateway.explorer.build import ensure_build
from tests.conftest import fresh_database
from tests.records import World, fill
from tests.serving import served

CHROMIUM = shutil.which("chromium")
_QUIETLY = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class ExplorerServer:
    """Two gateways over one database: one that opens with a key, as the demo does, and one that does not."""

    url: str
    demo_url: str
    world: World


@dataclass
class Visit:
    """A page in a browser, and all that it should not have done."""

    page: Page
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def explorer_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExplorerServer]:
    ensure_build()
    world = asyncio.run(fill(fresh_database(request, tmp_path_factory.mktemp("explorer"), "sqlite")))
    plain, demo = create_app(world.settings), create_app(world.settings, demo_key=world.keys["read"])
    with served(plain, world.settings) as url, served(demo, world.settings) as demo_url:
        yield ExplorerServer(url, demo_url, world)


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """A fresh browser that writes down what the console, the policy and the network say."""
    if CHROMIUM is None:
        pytest.skip("needs chromium on the PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIETLY)
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        visited = Visit(page, context)
        page.on("console", lambda m: visited.complaints.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: visited.complaints.append(str(error)))
        page.on("request", lambda sent: visited.requests.append(sent.url))
        await page.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('policy', e.violatedDirective))"
        )
        yield visited
        await browser.close()
