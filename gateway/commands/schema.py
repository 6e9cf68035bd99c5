"""schema: write the SDL to a file."""

import sys
from typing import Annotated

import typer

from gateway.commands.terminal import hint
from schema.build import SDL_FILE, sdl


def schema(check: Annotated[bool, typer.Option("--check", help="Only compare; 1 where they differ.")] = False) -> None:
    """Write the schema to schema/schema.graphql."""
    if not check:
        SDL_FILE.write_text(sdl(), "utf-8")
    elif not SDL_FILE.is_file() or SDL_FILE.read_text("utf-8") != sdl():
        hint("error: schema/schema.graphql is not what the code says. Run: python -m gateway schema")
        sys.exit(1)
