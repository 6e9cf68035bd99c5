"""The command line on a host whose clock is set now and then.

`python -m tests.faults.jumping` takes what `python -m gateway` does. Its clock is as many seconds ahead as the file at
CLOCK_FILE says.
"""

import os
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from gateway import access, budgets
from gateway.commands import main
from schema import instants

_FILE = Path(os.environ["CLOCK_FILE"])
_time = time.time


def _ahead() -> float:
    return float(_FILE.read_text())


class _Datetime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(seconds=_ahead())


# Workers import this as well.
time.time = lambda: _time() + _ahead()
access.time = time.time  # type: ignore[attr-defined]
instants.datetime = budgets.datetime = _Datetime  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()
