"""The secret of an installation: its file, and the keys that are derived from it."""

import hmac
import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

MIN_SECRET_CHARACTERS = 32


class SecretError(Exception):
    """A secret that cannot be used; the message is one line for a person."""


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Keys derived from the installation's secret, one a purpose, so that none stands in for another."""

    fingerprint: bytes
    cursor: bytes
    key: bytes

    @classmethod
    def derive(cls, secret: str) -> "Secrets":
        """The keys of an installation (HMAC-SHA-256 of each purpose's name)."""
        # The environment's own bytes, also where they are not UTF-8.
        key = secret.encode(errors="surrogateescape")
        return cls(**{f.name: hmac.digest(key, f.name.encode(), "sha256") for f in fields(cls)})


def read_or_make_secret(path: Path) -> str:
    """The secret in a file that only its owner may read, which is made if there is none.

    Raises:
        SecretError: it cannot be read or written, or is too short.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_secret(path)
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"The secret file {path} cannot be used: {error}.") from error
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise SecretError(f"The secret in {path} is too short. Valid: at least {MIN_SECRET_CHARACTERS} characters.")
    return secret


def _make_secret(path: Path) -> None:
    """Make the file whole or not at all, whoever else is making it just now."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
