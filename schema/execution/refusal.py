"""A request that is refused before it runs."""

from collections.abc import Collection

from graphql import GraphQLError

from schema.errors import Code

MAX_ERRORS = 5
"""How many mistakes of one request are told."""


class RequestError(Exception):
    """A request that is refused before it runs (GraphQL, section 7.1.2: a request error result).

    Attributes:
        code: One code for all of the errors.
        errors: What is wrong, each with its places in the document.
    """

    def __init__(self, code: Code, errors: Collection[GraphQLError]) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors
