"""What SQLite reads in the event loop, and what it leaves to a thread."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.storage import hops, quick
from gateway.storage.engine import Program, Rows, fetch
from gateway.storage.hops import Readers, Waiting
from gateway.storage.quick import QuickReaders
from gateway.storage.statements import Command
from tests.gateway.storage.test_hops import Reader, ask_nothing, look_up, path, reader, take_long

__all__ = ["path", "reader"]

COUNT_TO = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most}) SELECT count(*) AS {name} FROM n"
)
ONE = [("1", "thing 1")]


def count_to(most: int, name: str = "counted") -> Command:
    return Command(COUNT_TO.format(most=most, name=name))


LONG, SHORT = count_to(100_000), count_to(10)


@pytest.fixture
def readers(path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Iterator[QuickReaders]:
    """Readers with one thread, whose statements are noted; however busy the machine is, nothing counts as slow."""
    monkeypatch.setattr(quick, "_SECONDS", 60)
    monkeypatch.setattr(hops, "_PATIENCE_SECONDS", 60)
    opened = QuickReaders(path, Readers([reader]))
    opened.open()
    yield opened
    opened.close()


async def rows_of(readers: QuickReaders, *commands: Command) -> Sequence[Rows]:
    return await readers.run(fetch(*commands))


async def test_what_is_quick_is_read_in_the_loop(readers: QuickReaders, reader: Reader) -> None:
    threads = set()

    def noted() -> Program[Rows]:
        threads.add(threading.get_ident())
        (rows,) = yield [look_up("1")]
        threads.add(threading.get_ident())
        return rows

    assert list(await readers.run(noted())) == ONE
    assert threads == {threading.get_ident()}
    assert reader.statements == []


async def test_what_has_worked_for_long_goes_on_in_a_thread(readers: QuickReaders, reader: Reader) -> None:
    threads = []

    def pausing() -> Program[Rows]:
        threads.append(threading.get_ident())
        yield ()
        threads.append(threading.get_ident())
        (rows,) = yield [look_up("1")]
        return rows

    assert list(await readers.run(pausing())) == ONE
    assert [thread == threading.get_ident() for thread in threads] == [True, False]
    assert len(reader.statements) == 1


async def test_all_that_ask_at_one_turn_are_answered_each_with_its_own(readers: QuickReaders, reader: Reader) -> None:
    found = await asyncio.gather(*(rows_of(readers, look_up(str(n % 20))) for n in range(100)))
    assert [rows[0][1] for (rows,) in found] == [f"thing {n % 20}" for n in range(100)]
    assert reader.statements == []


async def test_one_that_asks_nothing_needs_no_thread_whatever_takes_long_before_it(
    readers: QuickReaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Waiting] = []
    monkeypatch.setattr(hops, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(Readers, "take", lambda _, waiting: taken.append(waiting))

    assert [*await asyncio.gather(readers.run(take_long()), readers.run(ask_nothing()))] == ["long", "nothing"]
    assert taken == []


async def test_what_is_not_quick_goes_on_in_a_thread_from_the_step_that_it_is_at(
    readers: QuickReaders, reader: Reader
) -> None:
    begun = []

    def both() -> Program[tuple[Rows, Rows]]:
        begun.append("once")
        (short,) = yield [SHORT]
        (long,) = yield [LONG]
        return short, long

    assert [list(rows) for rows in await readers.run(both())] == [[(10,)], [(100_000,)]]
    assert begun == ["once"]
    assert reader.statements == [LONG.sql]


async def test_nobody_waits_for_what_is_not_quick(readers: QuickReaders) -> None:
    ended = []

    async def read(command: Command) -> None:
        await rows_of(readers, command)
        ended.append(command)

    await asyncio.gather(read(count_to(1_000_000)), read(SHORT), read(look_up("1")))
    assert ended[:2] == [SHORT, look_up("1")]


async def test_what_was_not_quick_is_not_tried_for_a_while_and_then_again(
    readers: QuickReaders, reader: Reader
) -> None:
    for _ in range(66):
        await rows_of(readers, LONG)
    assert len(reader.statements) == 66
    # The 64 were passed over: its text has another chance, and does not take it.
    short_by_now = Command(f"{COUNT_TO.format(most='?', name='n')}", (100_000,))
    for _ in range(65):
        await rows_of(readers, short_by_now)
    assert len(reader.statements) == 66 + 65
    await rows_of(readers, Command(short_by_now.sql, (10,)))
    assert len(reader.statements) == 66 + 65


async def test_how_often_a_statement_ran_before_does_not_count(readers: QuickReaders, reader: Reader) -> None:
    for _ in range(300):
        await rows_of(readers, count_to(100))
    assert reader.statements == []


async def test_what_the_disk_is_slow_for_is_read_by_a_thread_the_next_time(
    readers: QuickReaders, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "_SECONDS", 0)
    for _ in range(2):
        assert (await rows_of(readers, look_up("1")))[0] == ONE
    assert len(reader.statements) == 1


async def test_no_end_of_different_long_statements_is_kept_in_mind(readers: QuickReaders, reader: Reader) -> None:
    for n in range(300):
        assert (await rows_of(readers, count_to(3_000, f"c{n}")))[0][0] == (3_000,)
    assert len(reader.statements) == 300


async def test_what_fails_is_told_by_the_thread(readers: QuickReaders) -> None:
    wrong = Command("SELECT a FROM nowhere")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await rows_of(readers, wrong)
    assert (await rows_of(readers, look_up("1")))[0] == ONE


async def test_what_a_program_raises_is_its_own(readers: QuickReaders) -> None:
    def failing() -> Program[None]:
        yield [SHORT]
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await readers.run(failing())


async def test_a_lock_is_waited_for_in_a_thread(readers: QuickReaders, path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    reading = asyncio.ensure_future(rows_of(readers, look_up("1")))
    await asyncio.sleep(0.05)
    assert not reading.done()
    holder.execute("COMMIT")
    holder.close()
    assert (await reading)[0] == ONE


async def test_whoever_is_not_waited_for_any_more_hinders_nobody(readers: QuickReaders) -> None:
    abandoned = readers.run(fetch(look_up("2")))
    abandoned.cancel()
    assert (await rows_of(readers, look_up("1")))[0] == ONE
