"""The log: one line a record on standard error."""

import logging
import logging.config

from gateway.access import REQUEST_ID

_QUIET = ("aiosqlite", "alembic", "asyncpg", "databases", "sqlalchemy")
"""Libraries whose lines of detail repeat the values of statements: those never reach the log."""


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Put a record on one line; a traceback, escaped, ends it."""
        record.request_id = REQUEST_ID.get()
        return super().format(record).replace("\n", "\\n")


def configure(level: str) -> None:
    """Log from this level up, here and in the server."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line("%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(request_id)s %(message)s", "%FT%T"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
