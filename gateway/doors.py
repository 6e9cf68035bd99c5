"""What the doors have in common: who comes in, and when."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from starlette.types import Receive, Scope

from gateway.admission import Admission, Turns
from gateway.auth import Authenticator
from gateway.budgets import Budgets, Spending, Unmetered
from gateway.headers import Fields
from gateway.timeouts import Timeouts
from schema.batches import Request
from schema.execution.execute import Executor
from schema.pages import PageLimits
from schema.scope import Caller, KeyScope

_PAGES = PageLimits()


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a request meets on its way to the executor, at whichever door.

    Attributes:
        authenticator: Who sends it.
        budgets: What its key may spend.
        admission: When it is its turn.
        timeouts: What stops it.
        executor: What runs its operation.
        cursor_secret: What cursors are signed with.
    """

    authenticator: Authenticator
    budgets: Budgets
    admission: Admission
    timeouts: Timeouts
    executor: Executor
    cursor_secret: bytes

    async def caller(self, scope: Scope, fields: Fields) -> Caller:
        """Who sends a request, and may read.

        Raises:
            Unauthenticated: nobody that is known.
            Forbidden: the key may not read.
            RateLimited: too many wrong keys came from there.
            Unavailable: the store does not answer.
        """
        caller = await self.authenticator.caller(scope, fields)
        caller.require(KeyScope.LEAKS_READ)
        return caller

    async def admit(self, caller: Caller, scope: Scope, receive: Receive, page_limits: PageLimits = _PAGES) -> "Visit":
        """Wait for the caller's turn.

        Raises:
            Unavailable: it does not come in time.
        """
        spending = self.budgets.spending(caller.key_id, scope)
        turns = self.admission.turn(caller.key_id) or await self.admission.wait(caller.key_id)
        request = Request(caller, self.timeouts.store(receive), self.cursor_secret, page_limits, budget=spending)
        return Visit(request, spending, turns)


class Visit:
    """A request whose turn it is: a context, at whose end the turn is given back and what was used is spent."""

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
        self._turns.leave()
        self.spending.close()
