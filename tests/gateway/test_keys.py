"""API keys."""

from functools import reduce
from operator import and_, or_
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.keys import PATTERN, generate, hash_key, parse

README = Path(__file__).parents[2] / "README.md"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_key_tells_its_id() -> None:
    key_id, key = generate()
    assert parse(key) == key_id
    assert PATTERN.fullmatch(key)


def test_the_readme_has_the_pattern() -> None:
    assert f"`{PATTERN.pattern}`" in README.read_text()


def test_between_its_id_and_its_checksum_a_key_has_thirty_two_random_bytes() -> None:
    numbers = [sum(DIGITS.index(d) * 62**at for at, d in enumerate(generate()[1][-7:-50:-1])) for _ in range(100)]
    assert (reduce(or_, numbers), reduce(and_, numbers)) == ((1 << 256) - 1, 0), "each bit is either"


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
