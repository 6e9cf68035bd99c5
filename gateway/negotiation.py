"""Which media type a client prefers (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence
from functools import lru_cache

_LONGEST = 512
"""Browsers send some 150 bytes, and no client needs more to name what is offered here."""


def preferred(accept: bytes | None, offered: tuple[str, ...], default: str) -> str | None:
    """The offered type that the client prefers, the first of equals; None if it accepts none of them.

    Without an `Accept` header, and if the client accepts anything, it is the default. An overlong header is ignored, as
    a server may do (RFC 9110, section 12.1): parsing it would take longer than answering.
    """
    if accept is None or len(accept) > _LONGEST:
        return default
    return _preferred(accept, offered, default)


@lru_cache(256)
def _preferred(accept: bytes, offered: tuple[str, ...], default: str) -> str | None:
    if not accept.strip():
        return default
    ranges = [_parse(part) for part in accept.decode("latin-1").split(",") if part.strip()]
    weights = {type_: _weight(type_, ranges) for type_ in offered}
    best = max(weights.values())
    if best <= 0:
        return None
    if weights.get(default) == best and not any(range_ in offered and weight == best for range_, weight in ranges):
        return default
    return next(type_ for type_ in offered if weights[type_] == best)


def _parse(part: str) -> tuple[str, float]:
    range_, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return range_, min(1.0, max(0.0, float(value)))
            except ValueError:
                return range_, 0.0
    return range_, 1.0


def _weight(type_: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of the most specific range that a type matches."""
    main = type_.partition("/")[0]
    for candidate in (type_, f"{main}/*", "*/*"):
        for range_, weight in ranges:
            if range_ == candidate:
                return weight
    return 0.0
