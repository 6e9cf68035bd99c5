"""Examples at the end of a command's help, a line each."""

_PROGRAM = "python -m gateway"
_AS_IT_STANDS = "\b"
"""Keeps the lines of a paragraph apart."""


def examples(*commands: str) -> str:
    """The end of a help text: the commands as one would type them."""
    return "\n".join([_AS_IT_STANDS, "Examples:", *(f"  {_PROGRAM} {command}" for command in commands)])
