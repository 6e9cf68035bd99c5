"""The command line over a SQLite file on a disk that hangs, from when on a test wants it.

`python -m tests.faults.hanging` takes what `python -m gateway` does. Once there is a file at HANGING_FILE, every thread
hangs for ever that comes to what it names: `reads` or `commits`.
"""

import os
import sqlite3
import threading
from pathlib import Path

from gateway.commands import main
from gateway.storage import sqlite
from gateway.storage.engine import Rows
from gateway.storage.hops import ReadingConnection, execute
from gateway.storage.quick import NotQuick, QuickConnection
from gateway.storage.statements import Command

_FILE = Path(os.environ["HANGING_FILE"])


def _hangs(work: str) -> bool:
    return _FILE.exists() and _FILE.read_text() == work


def _read(connection: ReadingConnection, command: Command, _times: int = 1) -> Rows:
    if _hangs("reads"):
        if isinstance(connection, QuickConnection):
            raise NotQuick
        threading.Event().wait()
    return execute(connection, command)


def _commit(connection: sqlite3.Connection) -> None:
    if _hangs("commits"):
        threading.Event().wait()
    connection.execute("COMMIT")


# Workers import this as well.
ReadingConnection.read = _read  # type: ignore[method-assign, assignment]
sqlite._commit = _commit  # noqa: SLF001

if __name__ == "__main__":
    main()
