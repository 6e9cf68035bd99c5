"""Documents that a request names instead of sending them: persisted documents, or trusted ones.

A request names one by its `documentId`, as persisted documents have it
(https://github.com/graphql/graphql-over-http/blob/main/spec/Appendix%20A%20--%20Persisted%20Documents.md), or by
`extensions.persistedQuery`, as Apollo Client and urql have it; they send it again with the text if it is not found.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from graphql import GraphQLError

from gateway.bodies import InvalidJSON, parse_json
from gateway.settings import SettingsError
from schema.budget import Budget
from schema.cache import Cache
from schema.errors import BadUserInput, Code, Forbidden, GatewayError
from schema.execution.refusal import RequestError


class Prepare(Protocol):
    """Parses and keeps a document; raises if it is not valid or over a limit."""

    def __call__(self, query: str, budget: Budget | None = None) -> None:
        """What it takes is taken from a budget, if there is one."""


_KEPT_CHARACTERS = 4_194_304
_CHARACTERS_OF_AN_ENTRY = 512
_VERSION = 1
_PREFIX = "sha256:"
_ID = re.compile(r"sha256:[0-9a-f]{64}|[A-Za-z0-9._~-]{1,256}")
_HASH = re.compile(r"[0-9a-f]{64}")


class Texts(Protocol):
    """The texts of documents that can be named.

    Attributes:
        is_allowlist: Whether no other texts may be sent.
    """

    is_allowlist: bool

    def find(self, name: str, organization: str) -> str | None:
        """The text by this name: its SHA-256 in hexadecimal, or an id that the file of trusted documents gives it."""
        ...

    def check(self, text: str, digest: str | None) -> None:
        """Check a text that was sent, with the hash that it was sent with, if any.

        Raises:
            Forbidden: it may not be sent.
        """
        ...

    def keep(self, text: str, digest: str, organization: str, budget: Budget) -> None:
        """Keep a text that was sent with its hash, if it is valid; what that takes is taken from a budget.

        Raises:
            RequestError: it is not valid.
            GatewayError: it is over a limit, or the budget has not so much left.
        """
        ...


class PersistedTexts:
    """The valid texts that were sent with their hash, in a bounded cache.

    Each organization finds only its own: whether a document is found tells whether somebody sent it.
    """

    is_allowlist = False

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._texts: Cache[tuple[str, str], str] = Cache(_KEPT_CHARACTERS, _weigh)

    def find(self, name: str, organization: str) -> str | None:
        """The text with this hash."""
        return self._texts.find((organization, name))

    def check(self, text: str, digest: str | None) -> None:
        """Let every text be sent."""

    def keep(self, text: str, digest: str, organization: str, budget: Budget) -> None:
        """Keep a text that is valid."""
        self._prepare(text, budget)
        self._texts.keep((organization, digest), text)


class TrustedTexts:
    """The texts of a file; no others may be sent."""

    is_allowlist = True

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = {name.removeprefix(_PREFIX): text for name, text in texts.items()}
        self._texts |= {_digest(text): text for text in texts.values()}

    def find(self, name: str, organization: str) -> str | None:  # noqa: ARG002 - all organizations have the same
        """The text with this hash or id."""
        return self._texts.get(name)

    def check(self, text: str, digest: str | None) -> None:
        """Refuse a text that is not in the file."""
        if self._texts.get(digest or _digest(text)) != text:
            raise Forbidden("This document is not one of those that are trusted.")

    def keep(self, text: str, digest: str, organization: str, budget: Budget) -> None:
        """Keep nothing: all are there."""


class NamedDocuments:
    """Replaces the names of documents in requests by their texts."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def resolved(self, sent: Any, organization: str) -> Any:
        """The request's parameters, with the document's text in place of its name.

        Raises:
            BadUserInput: the name is malformed, or not that of the document it was sent with.
            Forbidden: the document is not one of those that are trusted.
            RequestError: no document has this name.
        """
        if not isinstance(sent, dict):
            return sent
        if "documentId" not in sent and "extensions" not in sent and not self._texts.is_allowlist:
            return sent
        name, text = _name(sent), sent.get("query")
        if isinstance(text, str):
            self._check(text, name)
        elif text is None and name is not None:
            return {**sent, "query": self._find(name, organization)}
        return sent

    def keep(self, sent: Mapping[str, Any], organization: str, budget: Budget) -> None:
        """Keep the document of a request that was resolved, if it was sent with its hash.

        Raises:
            RequestError: it is not valid.
            GatewayError: it is over a limit, or the budget has not so much left.
        """
        if "extensions" in sent and isinstance(text := sent.get("query"), str):
            name = _name(sent)
            if name is not None:
                self._texts.keep(text, name, organization, budget)

    def _check(self, text: str, name: str | None) -> None:
        if name is not None and name != _digest(text):
            raise BadUserInput("Invalid hash: it is not that of the query. Valid: the SHA-256 of its text in UTF-8.")
        self._texts.check(text, name)

    def _find(self, name: str, organization: str) -> str:
        text = self._texts.find(name, organization)
        if text is None:
            # Clients look for exactly this message.
            raise RequestError(Code.PERSISTED_QUERY_NOT_FOUND, [GraphQLError("PersistedQueryNotFound")])
        return text


def named_documents(trusted: Path | None, prepare: Prepare) -> NamedDocuments:
    """The documents of a file, all of them valid and no others; without a file, those that clients persist.

    Raises:
        SettingsError: the file cannot be read, or a document in it cannot run.
    """
    if trusted is None:
        return NamedDocuments(PersistedTexts(prepare))
    try:
        texts = _read(trusted)
    except (OSError, InvalidJSON) as error:
        raise SettingsError(f"The trusted documents in {trusted} cannot be read: {error}.") from error
    for name, text in texts.items():
        _check(name, text, prepare)
    return NamedDocuments(TrustedTexts(texts))


def _read(path: Path) -> Mapping[str, str]:
    texts = parse_json(path.read_bytes())
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise InvalidJSON("it is no object from ids to texts")
    return texts


def _check(name: str, text: str, prepare: Prepare) -> None:
    wrong = "its id cannot be one" if not _ID.fullmatch(name) else None
    if _HASH.fullmatch(bare := name.removeprefix(_PREFIX)) and bare != _digest(text):
        wrong = "its id is the SHA-256 of another text"
    try:
        prepare(text)
    except RequestError as error:
        wrong = next(iter(error.errors)).message
    except GatewayError as error:
        wrong = error.message
    if wrong:
        raise SettingsError(f'The trusted document "{name}" cannot run: {wrong.rstrip(".")}.')


def _name(sent: Mapping[str, Any]) -> str | None:
    """The name by which a request names its document, if it does; a hash without its prefix."""
    document_id, extensions = sent.get("documentId"), sent.get("extensions")
    if document_id is not None:
        return _name_of_id(document_id, sent.get("query"))
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    return None if persisted is None else _name_of_extension(persisted)


def _name_of_id(document_id: Any, query: Any) -> str:
    if not isinstance(document_id, str) or not _ID.fullmatch(document_id):
        raise BadUserInput('Invalid documentId. Valid: "sha256:" and the hash of a document in hexadecimal.')
    if query is not None:
        raise BadUserInput("Invalid request: both a query and a documentId. Valid: one of them.")
    return document_id.removeprefix(_PREFIX)


def _name_of_extension(persisted: Any) -> str:
    version, digest = (
        (persisted.get(key) for key in ("version", "sha256Hash")) if isinstance(persisted, dict) else (0, 0)
    )
    if version != _VERSION or not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise BadUserInput("Invalid extensions.persistedQuery. Valid: version 1 and a sha256Hash in hexadecimal.")
    return digest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _weigh(text: str) -> int:
    return len(text) + _CHARACTERS_OF_AN_ENTRY
