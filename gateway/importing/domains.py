"""The domains of an organization, as the lines of an import name them."""

from collections.abc import Iterable

from gateway.importing.ids import domain_id
from gateway.importing.records import BadLine, ImportedLeak
from gateway.storage.names import checked_name
from schema.errors import BadUserInput
from schema.records import Domain, Organization

_QUOTED_CHARACTERS = 64

UNNUMBERED = 0
"""The number of a domain that a dry run only supposes to be there."""


class KnownDomains:
    """An organization's domains by id and by name, archived ones included."""

    def __init__(self, domains: Iterable[Domain] = ()) -> None:
        self._by_id: dict[str, Domain] = {}
        self._by_name: dict[str, Domain] = {}
        for domain in domains:
            self.add(domain)

    def add(self, domain: Domain) -> None:
        """Add a domain."""
        self._by_id[domain.id] = domain
        self._by_name[domain.name] = domain

    def find(self, record: ImportedLeak) -> Domain:
        """The domain of a record.

        Raises:
            BadLine: the domain is unknown, or the record's name and id belong to two different ones.
        """
        if record.domain_id is None:
            found = self._by_name.get(record.domain or "")
            if found is None:
                raise BadLine(f"Unknown domain: {_quoted(record.domain)}.")
            return found
        found = self._by_id.get(record.domain_id)
        if found is None:
            raise BadLine(f"Unknown domain_id: {_quoted(record.domain_id)}.")
        if record.domain not in {None, found.name}:
            raise BadLine(f"The domain {_quoted(record.domain)} has not the domain_id {_quoted(record.domain_id)}.")
        return found

    def lacks(self, records: Iterable[ImportedLeak]) -> bool:
        """Whether any of the records names an unknown domain."""
        return any(
            record.domain not in self._by_name if record.domain_id is None else record.domain_id not in self._by_id
            for record in records
        )

    def new_names(self, records: Iterable[ImportedLeak]) -> list[str]:
        """The names in records that no domain has yet and that are valid, each once and in order of appearance."""
        missing = dict.fromkeys(
            record.domain
            for record in records
            if record.domain is not None and record.domain_id is None and record.domain not in self._by_name
        )
        return [name for name in missing if _is_allowed(name)]


def supposed_domain(organization: Organization, name: str) -> Domain:
    """The domain that an import would add under a name."""
    return Domain(UNNUMBERED, domain_id(organization, name), name, None)


def _is_allowed(name: str) -> bool:
    try:
        return checked_name(name, "domain") == name
    except BadUserInput:
        return False


def _quoted(name: str | None) -> str:
    """A name as a reason may repeat it: short, and of plain characters only."""
    return '"' + ascii((name or "")[:_QUOTED_CHARACTERS])[1:-1] + '"'
