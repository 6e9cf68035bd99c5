"""The log."""

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


def test_a_record_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    token = REQUEST_ID.set("mine")
    logging.getLogger("gateway.x").info("one\ntwo\r\x1b[31m\u2028%s", "é")
    REQUEST_ID.reset(token)
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO gateway\.x mine one\\ntwo\\r\\x1b\[31m\\u2028é\n", line
    )


def test_a_traceback_is_part_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    try:
        int("no")
    except ValueError:
        logging.getLogger("gateway.x").exception("failed")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.search(r"ValueError: invalid literal .*\n$", line)


@pytest.mark.parametrize("name", ["aiosqlite", "alembic", "asyncpg", "databases", "sqlalchemy.engine"])
def test_what_libraries_say_of_values_is_never_logged(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug")
    logging.getLogger(name).debug("canary")
    logging.getLogger(name).info("canary")
    assert capsys.readouterr().err == ""


def test_what_is_less_grave_than_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure("error")
    for name in ("gateway.x", "sqlalchemy"):
        logging.getLogger(name).warning("less")
    assert capsys.readouterr().err == ""
