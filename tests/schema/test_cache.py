"""A bounded cache, and its parts."""

from typing import Any

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
