"""A bounded cache, and its parts."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from schema.cache import Cache, Share


def test_all_parts_of_a_cache_have_one_room() -> None:
    cache: Cache[Any, tuple[int, str]] = Cache(10, lambda weighed: weighed[0])
    light, heavy = Share(cache, 1), Share(cache, 4)
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key

    def ask(share: Share[str], key: str) -> None:
        assert share.get(key, lambda: make(key)) == key

    for key in ("a", "b", "c"):
        ask(light, key)
    ask(heavy, "A")
    ask(light, "a")
    assert made == ["a", "b", "c", "A"]
    ask(heavy, "B")
    for key in ("a", "c", "b"):
        ask(light, key)
    assert made == ["a", "b", "c", "A", "B", "b"]


def test_the_same_key_is_another_in_each_part() -> None:
    cache: Cache[Any, tuple[int, str]] = Cache(10, lambda weighed: weighed[0])
    one, other = Share(cache, 1), Share(cache, 1)
    assert (one.get("key", lambda: "one"), other.get("key", lambda: "other")) == ("one", "other")


@pytest.fixture
def _hands_changing() -> Iterator[None]:
    """Threads take turns after every few steps."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_hands_changing")
def test_threads_share_a_cache_and_it_keeps_its_size() -> None:
    cache: Cache[int, int] = Cache(4)
    made: list[int] = []

    def ask(seed: int) -> None:
        random = Random(seed)  # noqa: S311 - for a test
        for _ in range(50_000):
            number = random.randrange(1, 7)
            assert cache.get(number, lambda number=number: number) == number  # type: ignore[misc]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(4)))
    for number in range(101, 105):
        cache.keep(number, number)
    for number in range(101, 105):
        cache.get(number, lambda number=number: made.append(number) or number)  # type: ignore[func-returns-value, misc]
    assert made == []
