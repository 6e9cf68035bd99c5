"""A file that takes its name when it is whole."""

import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO, cast

STANDARD_OUTPUT = "-"
_GZIP_LEVEL = 6


@contextmanager
def open_output(name: str) -> Iterator[BinaryIO]:
    """A stream to write to; what goes to a file is there whole at the end, or not at all.

    Args:
        name: A path; `-` is standard output, and what ends in `.gz` is compressed. What is there and is no plain file,
            such as a pipe, is written to as it is.
    """
    if name == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    named = Path(name)
    if named.exists() and not named.is_file():
        with named.open("wb") as special, _packed(special, name) as stream:
            yield stream
        return
    # A link stays a link: what it points at is replaced.
    path = named.resolve()
    if not path.parent.is_dir():
        raise NotADirectoryError(0, "There is no such folder", str(path.parent))
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as draft:
        try:
            with _packed(draft, name) as stream:
                yield stream
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


@contextmanager
def _packed(file: IO[bytes], name: str) -> Iterator[BinaryIO]:
    if not name.endswith(".gz"):
        yield cast("BinaryIO", file)
        return
    # Neither name nor time: the same records are the same bytes.
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        yield cast("BinaryIO", packed)
