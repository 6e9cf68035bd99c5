"""A bounded cache, and parts of one that several owners share."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """A least recently used cache, which threads may share.

    Args:
        size: The most weight that is kept.
        weigh: The weight of a value; 1 unless given, so that `size` is a number of values.
    """

    def __init__(self, size: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._size = size
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made and kept where it is missing."""
        value = self.find(key)
        if value is None:
            # Others need not wait for it: whoever wants the same meanwhile makes one, too.
            value = make()
            self.keep(key, value)
        return value

    def find(self, key: Key) -> Value | None:
        """The value of a key, or None where it is missing."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def keep(self, key: Key, value: Value) -> None:
        """Keep a value, and drop what that leaves no room for: never the value itself, however heavy."""
        with self._lock:
            if key in self._values:
                self._weight -= self._weigh(self._values.pop(key))
            self._values[key] = value
            self._weight += self._weigh(value)
            while self._weight > self._size and len(self._values) > 1:
                self._weight -= self._weigh(self._values.popitem(last=False)[1])


class Share(Generic[Value]):
    """One owner's part of a cache: its keys are its own, and its values all weigh the same.

    Args:
        cache: The cache of all owners, of values with their weights.
        weight: The weight of each value of this part.
    """

    __slots__ = ("_cache", "_weight")

    def __init__(self, cache: Cache[tuple["Share[Value]", Hashable], tuple[int, Value]], weight: int) -> None:
        self._cache = cache
        self._weight = weight

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made and kept where it is missing."""
        return self._cache.get((self, key), lambda: (self._weight, make()))[1]
