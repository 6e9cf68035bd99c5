"""DataLoaders: one for each field of an operation, a set per request.

A loader is identified by its field's path in the response without list positions. So the number of batches depends on
the operation's shape alone.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, TypeAlias

from strawberry.dataloader import DataLoader

LoadAll: TypeAlias = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class Loaders:
    """The loaders of one request."""

    def __init__(self) -> None:
        self._loaders: dict[Hashable, DataLoader[Any, Any]] = {}

    def load(self, place: Hashable, load_all: LoadAll, parent: Any) -> Awaitable[Any]:
        """The value of a field for one parent; all parents at one place are loaded together."""
        loader = self._loaders.get(place)
        if loader is None:
            loader = self._loaders[place] = DataLoader(load_fn=load_all)
        return loader.load(parent)
