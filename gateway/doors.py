"""What the doors have in common: how a request is authenticated, and when its turn comes."""

from asyncio import CancelledError, get_running_loop
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from starlette.types import Receive, Scope

from gateway.admission import TURNS, Admission, Turns
from gateway.auth import Authenticator
from gateway.budgets import Budgets, Spending, Unmetered
from gateway.headers import Fields
from gateway.timeouts import Timeouts
from schema.batches import Request
from schema.execution.execute import Executor
from schema.pages import PageLimits
from schema.scope import Caller, KeyScope

_PAGES = PageLimits()
_SECONDS_TO_CLOSE = 1.0
"""By then an application that ends has refused all that wait."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a request passes on its way to the executor, at either door.

    Attributes:
        authenticator: Finds out who sends it.
        budgets: What its key may spend.
        admission: Gives it its turn.
        timeouts: Stops it when its time is over.
        executor: Runs its operation.
        cursor_secret: The key that cursors are signed with.
    """

    authenticator: Authenticator
    budgets: Budgets
    admission: Admission
    timeouts: Timeouts
    executor: Executor
    cursor_secret: bytes

    async def caller(self, scope: Scope, fields: Fields) -> Caller:
        """The caller that sends a request, who may read.

        Raises:
            Unauthenticated: there is no valid key.
            Forbidden: the key may not read.
            RateLimited: too many wrong keys came from the address.
            Unavailable: the store does not answer.
        """
        caller = await self.authenticator.caller(scope, fields)
        caller.require(KeyScope.LEAKS_READ)
        return caller

    async def admit(self, caller: Caller, scope: Scope, receive: Receive, page_limits: PageLimits = _PAGES) -> "Visit":
        """Wait for the caller's turn.

        Raises:
            Unavailable: the turn does not come in time.
        """
        spending = self.budgets.spending(caller.key_id, scope)
        turns = scope.pop(TURNS, None) or self.admission.turn(caller.key_id) or await self.admission.wait(caller.key_id)
        request = Request(caller, self.timeouts.store(receive), self.cursor_secret, page_limits, budget=spending)
        return Visit(request, spending, turns)


class Visit:
    """A request that has its turn: a context that gives the turn back and settles the spending at its end."""

    __slots__ = ("_turns", "request", "spending")

    def __init__(self, request: Request, spending: Spending | Unmetered, turns: Turns) -> None:
        self.request = request
        self.spending = spending
        self._turns = turns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is CancelledError:
            # Mostly the process ends: nobody is to begin at once, on a store that is about to be closed.
            get_running_loop().call_later(_SECONDS_TO_CLOSE, self._turns.leave)
        else:
            self._turns.leave()
        self.spending.close()
