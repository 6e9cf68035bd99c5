"""Operations without HTTP: the executor over a store, and every statement that they cause."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson

from gateway.keys import parse
from gateway.storage.callers import find_key
from gateway.storage.engine import Engine, Program
from gateway.storage.reads import SQLStore
from gateway.storage.statements import Command
from schema.batches import Request
from schema.execution.execute import Executor, Operation
from schema.execution.limits import Limits
from schema.scope import Caller
from tests.records import World

T = TypeVar("T")


class CountingEngine:
    """A real engine, with every statement of the programs that read noted as it passes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dialect = engine.dialect
        self.open, self.close, self.transaction = engine.open, engine.close, engine.transaction
        self.is_damaged = False
        self.commands: list[Command] = []
        self.pauses = 0

    async def run(self, program: Program[T]) -> T:
        return await self._engine.run(self._noting(program))

    async def glance(self, program: Program[T]) -> T:
        return await self._engine.glance(self._noting(program))

    def _noting(self, program: Program[T]) -> Program[T]:
        try:
            commands = next(program)
            while True:
                self.commands += commands
                self.pauses += not commands
                rows = yield commands
                commands = program.send(rows)
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome


class Asking:
    """Runs operations for one key after another."""

    def __init__(self, engine: Engine, world: World, *, planned: bool) -> None:
        self.engine = CountingEngine(engine)
        self.executor = Executor(Limits(nodes=10**9, values=10**9, points=10**9), planned=planned)
        self.store = SQLStore(self.engine)
        self._world = world
        self._callers: dict[str, Caller] = {}

    async def ask(self, query: str, variables: dict[str, Any] | None = None, key: str = "read") -> Any:
        """The data of an operation that succeeds, as a client would read it."""
        request = Request(await self.caller(key), self.store, b"plainly-fake-cursor-secret")
        result = await self.executor.execute(Operation(query, variables or {}), request)
        assert not result.errors, result.errors
        return orjson.loads(orjson.dumps(result.data))

    async def statements(
        self, query: str, variables: dict[str, Any] | None = None, key: str = "read"
    ) -> Sequence[Command]:
        """The statements that an operation causes."""
        await self.caller(key)
        self.engine.commands.clear()
        await self.ask(query, variables, key)
        return list(self.engine.commands)

    async def caller(self, key: str) -> Caller:
        if key not in self._callers:
            key_id = parse(self._world.keys[key])
            assert key_id is not None
            stored = await find_key(self.engine, key_id)
            assert stored is not None
            self._callers[key] = stored.caller
        return self._callers[key]


@asynccontextmanager
async def asking(world: World, *, planned: bool) -> AsyncIterator[Asking]:
    """Ask a world's database."""
    async with world.serving() as engine:
        yield Asking(engine, world, planned=planned)
