"""Ctrl-C: a command rolls back unfinished work and ends soon."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

CODE = 130
"""The exit code of an interrupted command: 128 plus the number of SIGINT."""
MESSAGE = "interrupted\n"

_SECONDS_TO_END = 2.0


class Interrupted(Exception):
    """The user interrupted the command; unfinished work has been rolled back."""


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run the work of a command to completion.

    Raises:
        Interrupted: Ctrl-C ended it.
    """
    try:
        return asyncio.run(_ending_soon(work))
    except KeyboardInterrupt:
        raise Interrupted from None


async def _ending_soon(work: Awaitable[T]) -> T:
    """Do the work; after an interruption, do not wait forever for the rollback.

    A task that is cancelled while it sends many rows to PostgreSQL may wait for a response that never comes. Dropping
    the connection rolls back, too.
    """
    loop = asyncio.get_running_loop()
    cancel = signal.getsignal(signal.SIGINT)
    if not callable(cancel) or cancel is signal.default_int_handler:
        # Interrupts are ignored, or not handled in this thread.
        return await work

    def interrupt(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(loop.call_later, _SECONDS_TO_END, _leave)
        cancel(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        return await work
    finally:
        signal.signal(signal.SIGINT, cancel)


def _leave() -> None:
    sys.stderr.write(MESSAGE)
    sys.stderr.flush()
    os._exit(CODE)


def interruptible(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines; Ctrl-C also interrupts waiting for the next one, which could otherwise block until it arrives."""
    work = asyncio.current_task()
    line: bytes | None = b""
    while line is not None:
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            if work is not None and work.cancelling():
                raise KeyboardInterrupt
            line = next(lines, None)
        finally:
            signal.signal(signal.SIGINT, handler)
        if line is not None:
            yield line
