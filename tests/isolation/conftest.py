"""The command line's fixtures, for what it says is grepped here, too; and where chance begins."""

import os
import sys
from random import SystemRandom

import pytest

from tests.gateway.commands.conftest import environment, ready, run

__all__ = ["environment", "ready", "run", "seed"]


@pytest.fixture
def seed() -> int:
    """Where chance begins: anywhere, unless `ISOLATION_SEED` says where. It is shown where a test fails."""
    number = int(os.environ.get("ISOLATION_SEED") or SystemRandom().randrange(2**32))
    sys.stdout.write(f"To have the same again: ISOLATION_SEED={number}\n")
    return number
