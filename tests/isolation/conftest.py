"""The command line's fixtures, for what it says is grepped here, too."""

from tests.gateway.commands.conftest import environment, ready, run

__all__ = ["environment", "ready", "run"]
