"""Ctrl-C: a command takes back what is half done and ends, and soon."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

CODE = 130
"""How a command ends that was interrupted: 128 and the number of SIGINT."""
MESSAGE = "interrupted\n"

_SECONDS_TO_END = 2.0


class Interrupted(Exception):
    """The person at the keyboard ended the command; what was half done has been taken back."""


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run what a command does to its end.

    Raises:
        Interrupted: it was ended before.
    """
    try:
        return asyncio.run(_ending_soon(work))
    except KeyboardInterrupt:
        raise Interrupted from None


async def _ending_soon(work: Awaitable[T]) -> T:
    """Do the work; once interrupted, do not wait for ever until it is taken back.

    Whoever is cancelled while it sends many rows to PostgreSQL may wait for an answer that never comes. A connection
    that is dropped rolls back as well.
    """
    loop = asyncio.get_running_loop()
    cancel = signal.getsignal(signal.SIGINT)
    if not callable(cancel) or cancel is signal.default_int_handler:
        # Interrupts are ignored, or are not this thread's.
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
    """The lines; Ctrl-C ends even a wait for the next, which nothing else would before it comes."""
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
