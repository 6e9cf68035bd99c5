"""A request that is refused before it runs."""

from collections.abc import Collection

from graphql import GraphQLError

from schema.errors import Code

MAX_ERRORS = 5
"""The maximum number of errors reported for a request."""


class RequestError(Exception):
    """A request that is refused before it runs (GraphQL, section 7.1.2: a request error result).

    Attributes:
        code: The code of all the errors.
        errors: The errors, each with its locations in the document.
    """

    def __init__(self, code: Code, errors: Collection[GraphQLError]) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors
