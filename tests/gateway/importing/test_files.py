"""The lines of files, however they lie there."""

import gzip
import io
import sys
from pathlib import Path

import pytest

from gateway.importing.files import UnreadableFile, file_bytes, open_lines
from gateway.importing.records import MAX_LINE_BYTES


def lines_of(path: Path) -> list[bytes]:
    with open_lines(str(path)) as lines:
        return list(lines)


def test_a_plain_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "leaks.jsonl"
    path.write_bytes(b"one\n\ntwo\r\nthree")
    assert lines_of(path) == [b"one", b"", b"two\r", b"three"]


def test_a_file_whose_name_ends_in_gz_is_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "leaks.jsonl.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert lines_of(path) == [b"one", b"two"]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    with open_lines("-") as lines:
        assert list(lines) == [b"one", b"two"]
    assert file_bytes("-") is None


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "leaks.jsonl"
    path.touch()
    assert lines_of(path) == []


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "leaks.jsonl"
    path.write_bytes(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n")
    assert lines_of(path) == [b"one", b"\xef\xbb\xbftwo"]


@pytest.mark.parametrize("length", [MAX_LINE_BYTES + extra for extra in (1, 2, 3)] + [3 * MAX_LINE_BYTES])
@pytest.mark.parametrize("end", [b"", b"\n", b"\nnext"])
def test_a_line_over_the_limit_is_cut_and_its_rest_passed_over(tmp_path: Path, length: int, end: bytes) -> None:
    path = tmp_path / "leaks.jsonl"
    path.write_bytes(b"first\n" + b"x" * length + end)
    assert [len(line) for line in lines_of(path)] == [5, MAX_LINE_BYTES + 1] + [4] * (end == b"\nnext")


def test_a_line_of_just_the_limit_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "leaks.jsonl"
    path.write_bytes(b"x" * MAX_LINE_BYTES + b"\nnext\n")
    assert [len(line) for line in lines_of(path)] == [MAX_LINE_BYTES, 4]


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No such file"), open_lines(str(tmp_path / "none.jsonl")):
        pass
    assert file_bytes(str(tmp_path / "none.jsonl")) is None


@pytest.mark.parametrize("kept", [0, 5, 30, -1])
def test_a_damaged_archive_is_unreadable(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "leaks.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d\n" % number for number in range(50)))[:kept])
    with pytest.raises(UnreadableFile, match=r"leaks\.jsonl\.gz"):
        lines_of(path)


def test_what_is_no_archive_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "leaks.jsonl.gz"
    path.write_bytes(b"one\n")
    with pytest.raises(UnreadableFile):
        lines_of(path)


def test_an_error_of_whoever_reads_is_not_the_files(tmp_path: Path) -> None:
    path = tmp_path / "leaks.jsonl"
    path.write_bytes(b"one\n")
    with pytest.raises(ConnectionError), open_lines(str(path)):
        raise ConnectionError


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_progress_is_told_in_bytes_on_disk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"leaks.jsonl{suffix}"
    content = b"".join(b"%d\n" % number for number in range(500_000))
    path.write_bytes(gzip.compress(content, 1) if suffix else content)
    told: list[int] = []
    with open_lines(str(path), told.append) as lines:
        assert sum(1 for _ in lines) == 500_000
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == path.stat().st_size == file_bytes(str(path))
