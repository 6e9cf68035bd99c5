"""A copy of a SQLite file as of one moment, while others read and write it."""

import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.storage.engine import Damaged, DatabaseError


def back_up(source: Path, target: Path) -> None:
    """Copy a database to a file that is not there yet; it takes its name when it is whole.

    Raises:
        DatabaseError: the target is there already, the source cannot be read, or the copy is damaged as the source is.
        OSError: the copy cannot be written.
    """
    if target.exists():
        raise DatabaseError(f"{target} is there already; it is left as it is.")
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        draft = Path(folder) / target.name
        draft.touch(0o600)
        try:
            _copy(source, draft)
        except sqlite3.Error as error:
            raise DatabaseError(f"{source} cannot be backed up: {error}.") from error
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        # Unlike a renaming, this never takes another's place.
        os.link(draft, target)


def _copy(source: Path, target: Path) -> None:
    """Copy all pages in one step: a single read transaction, which no writer waits for."""
    reading = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    writing = sqlite3.connect(target)
    try:
        reading.backup(writing)
        (told,) = writing.execute("PRAGMA quick_check(1)").fetchone()
        if told != "ok":
            raise Damaged(" ".join(told.split()))
    finally:
        writing.close()
        reading.close()
