"""Output files that appear under their name only when they are complete."""

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
    """Open a stream to write to; in the end, a file is there completely or not at all.

    Args:
        name: A path; `-` is standard output, and a name that ends in `.gz` is compressed. A path that exists and is not
            a regular file, such as a pipe, is written to directly.
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
    # A symbolic link is kept: its target is replaced.
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
    # No name and no time, so that the same records give the same bytes.
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        yield cast("BinaryIO", packed)
