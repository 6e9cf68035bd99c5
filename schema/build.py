"""The executable schema, and its text."""

from pathlib import Path

import strawberry
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
    return strawberry.Schema(
        query=Query,
        types=[Organization, Domain, Leak, Resource, User, Endpoint],
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
    )


def sdl() -> str:
    """The schema as text, as it is committed."""
    return print_schema(build_schema()) + "\n"
