"""What is costly to make and used again, as much of it as was used last."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """A bounded cache: what was used longest ago goes first. Threads may share it.

    Args:
        size: How much is kept, in what `weigh` says of each value; their number where that is left out.
    """

    def __init__(self, size: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._size = size
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not kept."""
        value = self.find(key)
        if value is None:
            # Others need not wait for it: whoever wants the same meanwhile makes one, too.
            value = make()
            self.keep(key, value)
        return value

    def find(self, key: Key) -> Value | None:
        """The value of a key, where it is kept."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def keep(self, key: Key, value: Value) -> None:
        """Keep a value, and let go what that leaves no room for."""
        with self._lock:
            if key in self._values:
                self._weight -= self._weigh(self._values.pop(key))
            self._values[key] = value
            self._weight += self._weigh(value)
            while self._weight > self._size and len(self._values) > 1:
                self._weight -= self._weigh(self._values.popitem(last=False)[1])


class Share(Generic[Value]):
    """A part of a cache that others have a part of as well.

    Args:
        kept: The cache of all, of values with their weights.
        weight: What each value of this part weighs.
    """

    __slots__ = ("_kept", "_weight")

    def __init__(self, kept: Kept[tuple["Share[Value]", Hashable], tuple[int, Value]], weight: int) -> None:
        self._kept = kept
        self._weight = weight

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not kept."""
        return self._kept.get((self, key), lambda: (self._weight, make()))[1]
