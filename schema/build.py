"""The executable schema, and its text."""

from pathlib import Path

import strawberry
from graphql import GraphQLSchema, is_wrapping_type
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig

from schema.query import Query
from schema.types.domain import Domain
from schema.types.endpoint import Endpoint
from schema.types.leak import Leak
from schema.types.organization import Organization
from schema.types.resource import Resource
from schema.types.scalars import SCALARS
from schema.types.user import User

SDL_FILE = Path(__file__).parent / "schema.graphql"


def build_schema() -> strawberry.Schema:
    """The schema that Strawberry's interpreter can run."""
    schema = strawberry.Schema(
        query=Query,
        types=[Organization, Domain, Leak, Resource, User, Endpoint],
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
    )
    _let_wrappers_be_introspected(schema._schema)  # noqa: SLF001 - published under no other name
    return schema


def _let_wrappers_be_introspected(schema: GraphQLSchema) -> None:
    """Answer `isOneOf` with null for a list or a type that may not be null: Strawberry's own resolver fails there."""
    is_one_of = schema.type_map["__Type"].fields["isOneOf"]  # type: ignore[attr-defined]
    resolve = is_one_of.resolve
    is_one_of.resolve = lambda type_, info: None if is_wrapping_type(type_) else resolve(type_, info)


def sdl() -> str:
    """The schema as text, as it is committed."""
    return print_schema(build_schema()) + "\n"
