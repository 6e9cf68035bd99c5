"""The log: one line a record on standard error."""

import asyncio
import logging
import re
import sys
import time
from collections import deque
from functools import lru_cache
from typing import TextIO

from gateway.access import REQUEST_ID
from gateway.storage.engine import DatabaseError

_QUIET = ("aiosqlite", "alembic", "asyncpg", "databases", "sqlalchemy")
"""Libraries whose detailed records repeat the values of statements, which must never reach the log."""

_RETRYING = "asyncpg.pool"
"""A library that says so, with a traceback, each time that it fails to connect again and will try once more."""

_BUFFER_BYTES = 1 << 16
_GATHERED_SECONDS = 0.1
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line, with control characters escaped and a traceback at its end.

        An error of the database says itself what an operator can do, and is met by many requests a second.
        """
        text = record.getMessage()
        if record.exc_info:
            error = record.exc_info[1]
            is_clear = isinstance(error, DatabaseError)
            text = f"{text}: {error}" if is_clear else f"{text} {self.formatException(record.exc_info)}"
        if not text.isprintable():
            text = _CONTROLS.sub(_escape, text)
        at = f"{_second(int(record.created))}.{int(record.msecs):03}Z"
        return f"{at} {record.levelname} {record.name} {vars(record)['request_id']} {text}"


@lru_cache(1)
def _second(seconds: int) -> str:
    return time.strftime("%FT%T", time.gmtime(seconds))


def _escape(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()


def _leave_traceback_out(record: logging.LogRecord) -> bool:
    """Let a record end with what was raised, and not with where."""
    if record.exc_info:
        record.msg, record.exc_info = f"{record.msg} {record.exc_info[1]!r}", None
    return True


class _Stream(logging.StreamHandler[TextIO]):
    """Writes the records of a moment together: line by line it would cost several times as much."""

    def __init__(self) -> None:
        # Escapes what cannot be encoded, as `sys.stderr` itself does.
        stream = open(  # noqa: SIM115 - it is open for as long as the process
            sys.stderr.fileno(), "w", _BUFFER_BYTES, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        super().__init__(stream)
        self._due_in: asyncio.AbstractEventLoop | None = None
        self._gathered: deque[logging.LogRecord] = deque()

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record at once, or in a moment if an event loop runs."""
        vars(record)["request_id"] = REQUEST_ID.get()
        self._gathered.append(record)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return True
        if self._due_in is not loop:
            self._due_in = loop
            loop.call_later(_GATHERED_SECONDS, self._write)
        return True

    def _write(self) -> None:
        self._due_in = None
        self.flush()

    def flush(self) -> None:
        """Write what is gathered."""
        self.acquire()
        try:
            while self._gathered:
                self._put(self._gathered.popleft())
            super().flush()
        finally:
            self.release()

    def _put(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001 - logging reports its own failures, and goes on
            self.handleError(record)


def configure(level: str) -> None:
    """Log from this level up, here and in the server."""
    # What no line shows is not collected (https://docs.python.org/3/howto/logging.html#optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - so says the page above
    handler = _Stream()
    handler.setFormatter(_Line())
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=least, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
    logging.getLogger(_RETRYING).addFilter(_leave_traceback_out)


def flush() -> None:
    """Write what is gathered, before a process ends."""
    for handler in logging.getLogger().handlers:
        handler.flush()
