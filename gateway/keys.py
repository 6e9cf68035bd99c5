"""API keys: their format, and what is stored of them.

A key is `lgk_`, its id, 32 random bytes and a checksum, each in base62. The prefix lets scanners recognise one, the
checksum reveals a typing error without a look-up, and the id finds the row whose keyed hash must match.
"""

import hmac
import re
import secrets
import zlib
from uuid import UUID, uuid4

PREFIX = "lgk_"
PATTERN = re.compile(r"lgk_[0-9A-Za-z]{71}")

_SHOWN = re.compile(r"lgk_[0-9A-Za-z]*|[0-9A-Za-z]{40,}", re.IGNORECASE)
"""Text that may be a key, or a large part of one."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARACTERS = 22
_SECRET_CHARACTERS = 43
_CHECKSUM_CHARACTERS = 6
_SECRET_BITS = 256


def generate() -> tuple[str, str]:
    """A new key: its id, a UUID, and its text, which is shown once and kept nowhere."""
    key_id = uuid4()
    body = PREFIX + _encode(key_id.int, _ID_CHARACTERS) + _encode(secrets.randbits(_SECRET_BITS), _SECRET_CHARACTERS)
    return str(key_id), body + _checksum(body)


def parse(key: str) -> str | None:
    """The id of a key, or None if it is malformed or mistyped."""
    if not PATTERN.fullmatch(key) or _checksum(key[:-_CHECKSUM_CHARACTERS]) != key[-_CHECKSUM_CHARACTERS:]:
        return None
    number = _decode(key[len(PREFIX) : len(PREFIX) + _ID_CHARACTERS])
    return str(UUID(int=number)) if number < 1 << 128 else None


def masked(text: str) -> str:
    """A text in which everything that may be a key, or a large part of one, is masked."""
    return _SHOWN.sub(f"{PREFIX}***", text)


def hash_key(key: str, secret: bytes) -> str:
    """What is stored of a key: its HMAC-SHA-256 under the installation's secret, in hexadecimal."""
    return hmac.digest(secret, key.encode(), "sha256").hex()


def _checksum(body: str) -> str:
    return _encode(zlib.crc32(body.encode()), _CHECKSUM_CHARACTERS)


def _encode(number: int, characters: int) -> str:
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number * len(_ALPHABET) + _ALPHABET.index(character)
    return number
