"""Workers: processes that serve together, of which none that hangs holds up the others."""

import logging
import socket
from time import monotonic

import uvicorn
from uvicorn.supervisors import Multiprocess, multiprocess

_STARTUP_FAILED = 3
"""The exit code of a uvicorn worker that could not start."""

_ENDING_SECONDS = 10
"""How long a worker has to end after the grace period: to write what is left, and to close its database."""

logger = logging.getLogger(__name__)


class _Worker(multiprocess.Process):
    """A process whose supervisor never waits long: it asks now and hears later, and kills what does not end in time."""

    _asked_at: float | None = None
    _ends_by: float | None = None

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

    def join(self) -> None:
        """Wait for it to end; kill it if it was told to, and does not in time."""
        self.process.join(None if self._ends_by is None else max(0.0, self._ends_by - monotonic()))
        if self.exitcode is None:
            logger.warning("Worker %d did not end in time and is killed.", self.pid)
            self.process.kill()
            self.process.join()


def supervise_workers(config: uvicorn.Config, bound: socket.socket) -> bool:
    """Serve in several processes until a signal ends them; whether all of them could start."""
    # The supervisor takes this class from its module; there is no other way to give it one.
    multiprocess.Process = _Worker  # type: ignore[misc]
    workers = Multiprocess(config, sockets=[bound])
    workers.run()
    return all(worker.exitcode != _STARTUP_FAILED for worker in workers.processes)
