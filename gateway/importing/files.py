"""The lines of a file, plain or compressed, one at a time in bounded memory."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from gateway.importing.records import MAX_LINE_BYTES

STANDARD_INPUT = "-"
_BUFFER_BYTES = 1 << 18
_BYTES_BETWEEN_REPORTS = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnreadableFile(Exception):
    """A file that cannot be read to its end; the message is one line for a person."""


@contextmanager
def open_lines(name: str, report: Callable[[int], None] | None = None) -> Iterator[Iterator[bytes]]:
    """Open a file and give its lines, each without its line feed.

    Of a line over the limit only the beginning comes, one byte longer than the limit.

    Args:
        name: A path; `-` is standard input, and what ends in `.gz` is decompressed.
        report: Called now and then, and at the end, with the number of bytes read of the file as it lies on disk.

    Raises:
        UnreadableFile: it is missing, may not be read, or is damaged; the last may be raised while reading.
    """
    with ExitStack() as stack:
        with _reading(name):
            raw, unpacked = _open(name, stack)
        yield _lines(name, raw, unpacked, report or _unreported)


def file_bytes(name: str) -> int | None:
    """The size of a file in bytes; None where it cannot be known."""
    try:
        return None if name == STANDARD_INPUT else Path(name).stat().st_size
    except OSError:
        return None


def _open(name: str, stack: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer, sys.stdin.buffer
    file = Path(name).open("rb", buffering=_BUFFER_BYTES)  # noqa: SIM115 - the stack closes it
    raw = cast("BufferedReader", stack.enter_context(file))
    if not name.endswith(".gz"):
        return raw, raw
    if not raw.peek(1):
        raise EOFError("it is empty, which nothing is that was compressed")
    return raw, cast("BinaryIO", stack.enter_context(gzip.open(raw)))


def _lines(name: str, raw: BinaryIO, unpacked: BinaryIO, report: Callable[[int], None]) -> Iterator[bytes]:
    reported = taken = 0
    with _reading(name):
        for line in _bounded_lines(unpacked):
            yield line.removeprefix(_BYTE_ORDER_MARK) if not taken else line
            taken += len(line) + 1
            if taken - reported >= _BYTES_BETWEEN_REPORTS:
                reported = taken
                report(_position(raw, taken))
    report(_position(raw, taken))


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 2):
        if line.endswith(b"\n"):
            yield line[:-1]
        else:
            _pass_over_rest(file, line)
            yield line[: MAX_LINE_BYTES + 1]


def _pass_over_rest(file: BinaryIO, line: bytes) -> None:
    while len(line) == MAX_LINE_BYTES + 2 and not line.endswith(b"\n"):
        line = file.readline(MAX_LINE_BYTES + 2)


def _position(raw: BinaryIO, taken: int) -> int:
    return raw.tell() if raw.seekable() else taken


def _unreported(position: int) -> None:
    """Report nothing."""


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableFile(f"{name} cannot be read: {reason}.") from error
