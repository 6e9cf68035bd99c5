"""The log: one line a record on standard error."""

import asyncio
import logging
import re
import sys
import time
from functools import lru_cache
from typing import TextIO

from gateway.access import REQUEST_ID

_QUIET = ("aiosqlite", "alembic", "asyncpg", "databases", "sqlalchemy")
"""Libraries whose lines of detail repeat the values of statements: those never reach the log."""

_BUFFER_BYTES = 1 << 16
_GATHERED_SECONDS = 0.1
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Put a record on one line, whatever is in it; a traceback, escaped, ends it."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text} {self.formatException(record.exc_info)}"
        if not text.isprintable():
            text = _CONTROLS.sub(_escape, text)
        at = f"{_second(int(record.created))}.{int(record.msecs):03}Z"
        return f"{at} {record.levelname} {record.name} {REQUEST_ID.get()} {text}"


@lru_cache(1)
def _second(seconds: int) -> str:
    return time.strftime("%FT%T", time.gmtime(seconds))


def _escape(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()


class _Stream(logging.StreamHandler[TextIO]):
    """Writes what is gathered in a moment at once: a system call a line would cost more than the line."""

    def __init__(self) -> None:
        # As standard error itself does, it escapes what cannot be encoded.
        stream = open(  # noqa: SIM115 - it is open for as long as the process
            sys.stderr.fileno(), "w", _BUFFER_BYTES, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        super().__init__(stream)
        self._due_in: asyncio.AbstractEventLoop | None = None

    def flush(self) -> None:
        """Write now, or in a moment where a server runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            super().flush()
            return
        if self._due_in is not loop:
            self._due_in = loop
            loop.call_later(_GATHERED_SECONDS, self._write)

    def _write(self) -> None:
        self._due_in = None
        super().flush()


def configure(level: str) -> None:
    """Log from this level up, here and in the server."""
    # Whatever no line shows is not gathered (https://docs.python.org/3/howto/logging.html#optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - so says the page above
    handler = _Stream()
    handler.setFormatter(_Line())
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=least, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
