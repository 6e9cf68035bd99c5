"""Workers: processes that serve together, of which none that hangs holds up the others."""

import logging
import signal
import socket
from math import inf
from threading import Event
from time import monotonic, sleep
from typing import ClassVar

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

_ENDING_SECONDS = 10
"""How long a worker has to end after the grace period: to write what is left, and to close its database."""

_SECONDS_TO_DIE = 5.0
"""How long a worker that was killed is waited for: one that waits for a disk may take as long as that."""

_SECONDS_BETWEEN_LOOKS = 0.05
_ENDING_SIGNALS = {signal.SIGINT, signal.SIGTERM}

logger = logging.getLogger(__name__)


class _Worker(multiprocess.Process):
    """A process that the supervisor never waits for: its answer to a ping is read later, and it ends in the background.

    Attributes:
        ending: The workers that were told to end, and have not yet; here, because uvicorn tells the processes itself.
    """

    ending: ClassVar[list["_Worker"]] = []
    _asked_at: float | None = None
    _ends_by = inf

    def is_alive(self, timeout: float = 5) -> bool:
        """Whether it runs and has responded within `timeout` seconds."""
        if not self.process.is_alive():
            return False
        try:
            if self._asked_at is None:
                self.parent_conn.send(b"ping")
                self._asked_at = monotonic()
            if self.parent_conn.poll():
                self.parent_conn.recv()
                self._asked_at = None
        except (OSError, EOFError):
            return False
        return self._asked_at is None or monotonic() - self._asked_at < timeout

    def terminate(self) -> None:
        """Tell it to end."""
        super().terminate()
        self._ends_by = monotonic() + (self.config.timeout_graceful_shutdown or 0) + _ENDING_SECONDS
        self.ending.append(self)

    def join(self) -> None:
        """Wait for it to die, unless it was only told to end: that takes a while."""
        if self not in self.ending:
            self.process.join(_SECONDS_TO_DIE)

    def has_ended(self) -> bool:
        """Whether it has ended, or was killed since it was told to and did not in time."""
        if self.exitcode is None and monotonic() >= self._ends_by:
            logger.warning("Worker %d did not end in time and is killed.", self.pid)
            self.process.kill()
            self.process.join(_SECONDS_TO_DIE)
            return True
        return self.exitcode is not None


class _Told(Event):
    """Set once the supervisor is told to end, and not only when it comes to handle the signal."""

    def __init__(self, signals: list[int]) -> None:
        super().__init__()
        self._signals = signals

    def is_set(self) -> bool:
        """Whether it is."""
        return super().is_set() or not _ENDING_SIGNALS.isdisjoint(self._signals)


class _Supervisor(Multiprocess):
    """Replaces workers that hang or are to be restarted; no worker that hangs delays a signal."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        super().__init__(config, [bound])
        self.should_exit = _Told(self.signal_queue)

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended or hang, and look after those that are to end."""
        super().keep_subprocess_alive()
        _Worker.ending[:] = [worker for worker in _Worker.ending if not worker.has_ended()]

    def join_all(self) -> None:
        """Wait for all workers to end."""
        while not all(worker.has_ended() for worker in _Worker.ending):
            sleep(_SECONDS_BETWEEN_LOOKS)


def supervise_workers(config: uvicorn.Config, bound: socket.socket) -> bool:
    """Serve in several processes until a signal ends them; whether all of them could start."""
    # uvicorn's supervisor takes this class from its module; there is no other way to give it one.
    multiprocess.Process = _Worker  # type: ignore[misc]
    workers = _Supervisor(config, bound)
    workers.run()
    return all(worker.exitcode != STARTUP_FAILURE for worker in workers.processes)
