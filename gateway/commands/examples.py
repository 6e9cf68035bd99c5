"""Examples at the end of a command's help, one per line."""

_PROGRAM = "python -m gateway"
_AS_IT_STANDS = "\b"
"""Prevents the lines of a paragraph from being rewrapped."""


def examples(*commands: str) -> str:
    """The end of a help text: commands as typed in a shell."""
    return "\n".join([_AS_IT_STANDS, "Examples:", *(f"  {_PROGRAM} {command}" for command in commands)])
