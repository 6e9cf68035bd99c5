"""Keyed fingerprints of passwords: whether two are the same can be seen, what they are cannot."""

import hmac


def fingerprint(secret: bytes, password: str | None) -> str | None:
    """The HMAC-SHA-256 of a password under the installation's secret, in hex (RFC 2104).

    A password that is absent, empty or masked already has none.
    """
    if password is None or not password.strip("*"):
        return None
    return hmac.digest(secret, password.encode(), "sha256").hex()
