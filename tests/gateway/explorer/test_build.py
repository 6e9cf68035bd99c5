"""When GraphiQL is built."""

from pathlib import Path

import pytest
from starlette.applications import Starlette

from gateway.explorer import explorer
from gateway.explorer.build import ExplorerBuildError, ensure_build
from tests.serving import running


class _Maker:
    """Makes a build of one file, and counts."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, _sources: Path, target: Path) -> None:
        self.made += 1
        target.mkdir()
        (target / "index.html").write_text(f"build {self.made}")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.jsx").write_text("one")
    return tmp_path


def test_a_build_is_made_once(sources: Path) -> None:
    make = _Maker()
    assert ensure_build(sources, make) == ensure_build(sources, make) == sources / "build"
    assert make.made == 1


def test_it_is_made_again_when_a_source_changes(sources: Path) -> None:
    make = _Maker()
    ensure_build(sources, make)
    (sources / "src" / "main.jsx").write_text("two")
    assert (ensure_build(sources, make) / "index.html").read_text() == "build 2"


def test_a_build_that_fails_leaves_the_last_one(sources: Path) -> None:
    make = _Maker()
    ensure_build(sources, make)
    (sources / "src" / "main.jsx").write_text("two")

    def fail(_sources: Path, _target: Path) -> None:
        raise ExplorerBuildError("no Node")

    with pytest.raises(ExplorerBuildError, match="no Node"):
        ensure_build(sources, fail)
    assert (sources / "build" / "index.html").read_text() == "build 1"


async def test_without_a_build_the_page_says_so(tmp_path: Path) -> None:
    page, routes = explorer(None, tmp_path)
    assert page is None
    async with running(Starlette(routes=routes)) as client:
        answer = await client.get("/graphiql")
    assert answer.status_code == 404
    assert "not been built" in answer.json()["detail"]
