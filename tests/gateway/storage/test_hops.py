"""What SQLite reads for several requests at once."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.storage import hops
from gateway.storage.engine import Program, Rows, fetch
from gateway.storage.hops import Readers, ReadingConnection
from gateway.storage.statements import Command, PointQuery

ONE = "SELECT id, name FROM things WHERE id = ?"
COUNT_WITHOUT_END = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT max(n) FROM n"
COUNTED = 1_000_000
COUNT_LONG = COUNT_WITHOUT_END.replace("FROM n)", f"FROM n WHERE n < {COUNTED})")
SEVERAL = "SELECT id, name FROM things WHERE id IN (SELECT value FROM json_each(?))"


class Reader:
    """A connection in a thread of its own, whose statements are noted."""

    def __init__(self, path: Path) -> None:
        self.statements: list[str] = []
        self._executor = ThreadPoolExecutor(1)
        self._connection = self._executor.submit(self._open, path).result()

    def _open(self, path: Path) -> ReadingConnection:
        connection = ReadingConnection(path)
        connection.set_trace_callback(self.statements.append)
        return connection

    async def call(self, function: Any, *args: Any) -> Any:
        """Call a function with the connection, in there."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, self._connection, *args)

    def close(self) -> None:
        self._executor.submit(self._connection.close).result()
        self._executor.shutdown()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of twenty things."""
    path = tmp_path / "things.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (id TEXT PRIMARY KEY, name TEXT)")
    connection.executemany("INSERT INTO things VALUES (?, ?)", [(str(n), f"thing {n}") for n in range(20)])
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    """A connection to it."""
    opened = Reader(path)
    yield opened
    opened.close()


THINGS = PointQuery(Command(ONE, ("",)), 0, lambda ids: Command(SEVERAL, (json.dumps(list(ids)),)))


def look_up(id_: str) -> Command:
    return THINGS.by(id_)


def take_long() -> Program[str]:
    yield [look_up("1")]
    time.sleep(0.05)
    return "long"


def ask_nothing() -> Program[str]:
    yield from ()
    return "nothing"


async def rows_of(readers: Readers, *commands: Command) -> Sequence[Rows]:
    return await readers.run(fetch(*commands))


async def test_rows_that_several_look_for_by_id_are_one_statement(reader: Reader) -> None:
    readers = Readers([reader])
    found = await asyncio.gather(*(rows_of(readers, look_up(id_)) for id_ in ("1", "2", "99", "2")))
    one, two = ("1", "thing 1"), ("2", "thing 2")
    assert [list(rows) for (rows,) in found] == [[one], [two], [], [two]]
    assert len(reader.statements) == 1


async def test_what_several_ask_in_the_same_words_is_read_once(reader: Reader) -> None:
    readers, asked = Readers([reader]), Command("SELECT count(*) FROM things")
    found = await asyncio.gather(*(rows_of(readers, asked) for _ in range(5)))
    assert [list(rows) for (rows,) in found] == [[(20,)]] * 5
    assert len(reader.statements) == 1


async def test_one_that_fails_fails_alone(reader: Reader) -> None:
    readers = Readers([reader])
    wrong = Command("SELECT nothing FROM nowhere")
    commands = (look_up("1"), wrong, look_up("2"))
    first, failed, second = await asyncio.gather(*(rows_of(readers, one) for one in commands), return_exceptions=True)
    assert isinstance(failed, sqlite3.OperationalError)
    assert (first, second) == ([[("1", "thing 1")]], [[("2", "thing 2")]])


async def test_all_are_answered_however_many_wait(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    # However busy the machine is, none is put off.
    monkeypatch.setattr(hops, "_PATIENCE_SECONDS", 60)
    readers = Readers([reader])
    found = await asyncio.gather(*(rows_of(readers, look_up(str(n % 20))) for n in range(100)))
    assert [rows[0][1] for (rows,) in found] == [f"thing {n % 20}" for n in range(100)]
    assert len(reader.statements) < 20


async def test_one_that_asks_nothing_has_its_outcome_also_behind_what_takes_long(reader: Reader) -> None:
    def fail() -> Program[str]:
        yield from ()
        raise ValueError

    readers = Readers([reader])
    outcomes = await asyncio.gather(
        *(readers.run(program) for program in (take_long(), ask_nothing(), fail(), ask_nothing())),
        return_exceptions=True,
    )
    assert [outcomes[place] for place in (0, 1, 3)] == ["long", "nothing", "nothing"]
    assert isinstance(outcomes[2], ValueError)


async def test_what_waits_behind_something_long_is_done_by_the_next_thread(path: Path, reader: Reader) -> None:
    other = Reader(path)
    readers, released, is_running = Readers([reader, other]), threading.Event(), threading.Event()

    def hang() -> Program[str]:
        is_running.set()
        released.wait(10)
        yield ()
        return "released"

    hanging = asyncio.ensure_future(readers.run(hang()))
    await asyncio.to_thread(is_running.wait, 10)
    assert await rows_of(readers, look_up("1")) == [[("1", "thing 1")]]
    assert not hanging.done()
    released.set()
    assert await hanging == "released"
    other.close()


async def test_where_more_waits_than_two_threads_take_a_third_helps(path: Path, reader: Reader) -> None:
    others = [Reader(path) for _ in range(2)]
    readers, released = Readers([reader, *others]), threading.Event()

    def hang() -> Program[str]:
        released.wait(10)
        yield ()
        return "released"

    # Each of two takes eight.
    taken = [readers.run(program) for _ in range(2) for program in (hang(), *(ask_nothing() for _ in range(7)))]
    assert await rows_of(readers, look_up("1")) == [[("1", "thing 1")]]
    assert not any(future.done() for future in taken)
    released.set()
    assert await asyncio.gather(*taken) == ["released", *["nothing"] * 7] * 2
    for other in others:
        other.close()


async def test_what_went_into_a_thread_behind_something_long_is_done_by_the_next(path: Path, reader: Reader) -> None:
    other = Reader(path)
    readers = Readers([reader, other])
    counting = readers.run(fetch(Command(COUNT_WITHOUT_END)))
    async with asyncio.timeout(30):
        found = await asyncio.gather(*(rows_of(readers, look_up(str(n))) for n in range(5)))
    assert [rows[0][0] for (rows,) in found] == [str(n) for n in range(5)]
    assert not counting.done()
    counting.cancel()
    other.close()


async def test_something_long_that_several_ask_is_done_once(path: Path, reader: Reader) -> None:
    other = Reader(path)
    readers = Readers([reader, other])
    counted = await asyncio.gather(*(rows_of(readers, Command(COUNT_LONG)) for _ in range(6)))
    assert counted == [[[(COUNTED,)]]] * 6
    assert len([*reader.statements, *other.statements]) == 1
    other.close()
