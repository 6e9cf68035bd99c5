"""The log."""

import asyncio
import logging
import re
from collections.abc import Iterator

import pytest

from gateway.access import REQUEST_ID
from gateway.logs import configure


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_one_line_whatever_is_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")
    token = REQUEST_ID.set("mine")
    logging.getLogger("gateway.x").info("one\ntwo\r\x1b[31m\u2028%s", "é")
    REQUEST_ID.reset(token)
    line = capfd.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO gateway\.x mine one\\ntwo\\r\\x1b\[31m\\u2028é\n", line
    )


def test_a_traceback_is_part_of_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")
    try:
        int("no")
    except ValueError:
        logging.getLogger("gateway.x").exception("failed")
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    assert re.search(r"ValueError: invalid literal .*\n$", line)


def test_a_pool_that_connects_again_tells_why_it_had_to_and_no_more(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")
    refused = ConnectionRefusedError(111, "Connection refused")
    logging.getLogger("asyncpg.pool").warning("retrying", exc_info=refused)
    assert capfd.readouterr().err.endswith(" retrying ConnectionRefusedError(111, 'Connection refused')\n")


@pytest.mark.parametrize("name", ["aiosqlite", "alembic", "asyncpg", "databases", "sqlalchemy.engine"])
def test_what_libraries_say_of_values_is_never_logged(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    configure("debug")
    logging.getLogger(name).debug("canary")
    logging.getLogger(name).info("canary")
    assert capfd.readouterr().err == ""


def test_what_is_less_grave_than_the_level_is_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    configure("error")
    for name in ("gateway.x", "sqlalchemy"):
        logging.getLogger(name).warning("less")
    assert capfd.readouterr().err == ""


def test_what_cannot_be_encoded_is_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")
    logging.getLogger("gateway.x").info("a\udc80b")
    assert capfd.readouterr().err.endswith(" a\\udc80b\n")


def test_a_server_writes_within_a_moment(capfd: pytest.CaptureFixture[str]) -> None:
    configure("info")

    async def serve(seconds: float) -> None:
        logging.getLogger("gateway.x").info("one")
        logging.getLogger("gateway.x").info("two")
        await asyncio.sleep(seconds)

    asyncio.run(serve(0))
    assert capfd.readouterr().err == ""
    asyncio.run(serve(0.5))
    assert re.findall(r" (one|two)\n", capfd.readouterr().err) == ["one", "two", "one", "two"]
