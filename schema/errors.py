"""What may go wrong, a stable code each.

An error of ours is shown to the caller; whatever else is raised becomes one masked message at the door.
"""

from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """The value of `extensions.code`; the doors translate it to an HTTP status."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_TOO_COSTLY = "OPERATION_TOO_COSTLY"
    RATE_LIMITED = "RATE_LIMITED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    NOT_FOUND = "NOT_FOUND"
    TIMEOUT = "TIMEOUT"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class GatewayError(Exception):
    """An error told to the caller as it stands: its message holds nothing of the inside."""

    code: ClassVar[Code] = Code.INTERNAL

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unauthenticated(GatewayError):
    """No key, or one that is unknown, revoked or expired: one answer for all four."""

    code = Code.UNAUTHENTICATED

    def __init__(self, message: str = "A valid API key is required.") -> None:
        super().__init__(message)


class Forbidden(GatewayError):
    """The key may not do this, or not on this domain."""

    code = Code.FORBIDDEN


class BadUserInput(GatewayError):
    """An argument that cannot be taken; the message says which and what would be right."""

    code = Code.BAD_USER_INPUT


class InvalidCursor(BadUserInput):
    """A cursor that does not belong to this field with this order, filter and scope."""

    def __init__(self, argument: str) -> None:
        super().__init__(
            f'Invalid cursor in "{argument}": it was not given out by this field with this order, filter and scope.'
        )


class OperationTooCostly(GatewayError):
    """An operation over a ceiling, refused before anything is read."""

    code = Code.OPERATION_TOO_COSTLY


class RateLimited(GatewayError):
    """Too many requests, or too costly ones.

    Attributes:
        retry_after_seconds: When the same request may be sent again.
    """

    code = Code.RATE_LIMITED

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotFound(GatewayError):
    """Nothing with this name or id is visible to the caller."""

    code = Code.NOT_FOUND


class TimedOut(GatewayError):
    """The operation exceeded its time and was stopped; the same one will hardly be faster."""

    code = Code.TIMEOUT

    def __init__(self, message: str = "The operation took too long and was stopped. Ask for less.") -> None:
        super().__init__(message)


class Abandoned(TimedOut):
    """The client is gone: the operation was stopped, and nobody reads its answer."""


class Unavailable(GatewayError):
    """The store does not answer; the same request may succeed a moment later.

    Attributes:
        retry_after_seconds: When it may be sent again.
    """

    code = Code.UNAVAILABLE

    def __init__(
        self, message: str = "The store is not available. Try again shortly.", retry_after_seconds: int = 1
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
