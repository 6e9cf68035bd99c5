"""API keys."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.keys import PATTERN, PREFIX, generate, hash_key, parse


def test_a_key_tells_its_id() -> None:
    key_id, key = generate()
    assert parse(key) == key_id
    assert PATTERN.fullmatch(key)


def test_the_readme_has_the_pattern() -> None:
    assert re.escape(PREFIX) + "[0-9A-Za-z]{71}" == PATTERN.pattern


@given(st.integers(4, 74), st.sampled_from("0123456789ABCXYZabcxyz"))
def test_a_letter_mistyped_is_told(place: int, letter: str) -> None:
    _, key = generate()
    mistyped = key[:place] + letter + key[place + 1 :]
    assert mistyped == key or parse(mistyped) is None


@given(st.text())
def test_what_is_no_key_is_told(text: str) -> None:
    assert parse(text) is None


def test_what_is_kept_hangs_on_the_secret() -> None:
    _, key = generate()
    assert hash_key(key, b"one") != hash_key(key, b"two")
    assert key not in hash_key(key, b"one")
