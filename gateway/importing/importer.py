"""An import: lines become batches, and each batch is one transaction.

Ids follow from the records, and a record that is stored already changes nothing. So an import that was ended anywhere
and is run again ends as if it had run once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from gateway.importing.changes import Candidate, Counts, Plan, candidate, last_of_each
from gateway.importing.domains import KnownDomains, supposed_domain
from gateway.importing.nodes import Nodes
from gateway.importing.records import BadLine, Fingerprint, ImportedLeak, parse_record
from gateway.storage.engine import Engine, Program
from gateway.storage.fingerprints import fingerprint
from gateway.storage.imports import ImportStatements, import_statements
from schema.records import Organization

BATCH_SIZE = 10_000
MAX_BATCH_BYTES = 8 << 20
"""Of lines: a batch ends here even if it is not full, since all of it is held at once."""

NumberedRecord: TypeAlias = tuple[int, ImportedLeak | BadLine]
NumberedReason: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """What an import did, in lines.

    Attributes:
        new: Lines of leaks that were not stored before.
        updated: Lines of leaks that were stored, or stood earlier in the file, but said something else.
        unchanged: Lines that left their leak as it was.
        bad: Lines that could not be taken.
        stopped_at: The number of the bad line that a strict import ended at; its batch is not counted.
    """

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    bad: int = 0
    stopped_at: int | None = None

    def plus(self, later: "Summary") -> "Summary":
        """This and what was done after it, together."""
        return Summary(
            self.new + later.new,
            self.updated + later.updated,
            self.unchanged + later.unchanged,
            self.bad + later.bad,
            later.stopped_at,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is.

    Attributes:
        lines: The number of the last line that is dealt with for good.
        summary: What was done up to there.
    """

    lines: int
    summary: Summary


class _Stopped(Exception):
    def __init__(self, line_number: int, reason: str) -> None:
        super().__init__(reason)
        self.line_number = line_number
        self.reason = reason


async def import_leaks(
    engine: Engine,
    organization: Organization,
    lines: Iterable[bytes],
    *,
    secret: bytes,
    batch_size: int = BATCH_SIZE,
    dry_run: bool = False,
    strict: bool = False,
    create_domains: bool = False,
    report: Callable[[Progress], None] | None = None,
    report_bad_line: Callable[[int, str], None] | None = None,
) -> Summary:
    """Import an organization's leaks from JSON Lines; blank lines are passed over.

    Args:
        engine: The database, at the newest version.
        organization: Whose leaks these are.
        lines: As bytes, without line feeds.
        secret: The installation's key for the fingerprints of passwords.
        batch_size: How many lines one transaction takes, unless they are long.
        dry_run: Write nothing. The summary is then that of a real run, but for a leak that is told in several
            batches: each of these counts it as if it were alone.
        strict: Take back the batch of the first bad line, and stop.
        create_domains: Add the domains that the organization lacks, by name.
        report: Is told after each batch how far the import is.
        report_bad_line: Is told the number, from 1, of each line that cannot be taken, and the reason.

    Raises:
        Unavailable: the database does not answer just now, or cannot be written to.
    """
    run = _Run(organization, import_statements(engine.dialect), dry_run, strict, create_domains)
    summary = Summary()
    for batch in _batches(lines, partial(fingerprint, secret), batch_size):
        try:
            counts, bad = await run.take(engine, batch)
        except _Stopped as stopped:
            _tell(report_bad_line, [(stopped.line_number, stopped.reason)])
            return summary.plus(Summary(bad=1, stopped_at=stopped.line_number))
        summary = summary.plus(Summary(counts.new, counts.updated, counts.unchanged, len(bad)))
        _tell(report_bad_line, bad)
        if report is not None:
            report(Progress(batch[-1][0], summary))
    return summary


def _batches(lines: Iterable[bytes], fingerprint: Fingerprint, size: int) -> Iterator[list[NumberedRecord]]:
    batch: list[NumberedRecord] = []
    taken_bytes = 0
    for number, line in enumerate(lines, 1):
        if not line or line.isspace():
            continue
        batch.append((number, _parse(line, fingerprint)))
        taken_bytes += len(line)
        if len(batch) >= size or taken_bytes >= MAX_BATCH_BYTES:
            yield batch
            # Gone before the next is read, or two would be held at once.
            batch.clear()
            taken_bytes = 0
    if batch:
        yield batch


def _parse(line: bytes, fingerprint: Fingerprint) -> ImportedLeak | BadLine:
    try:
        return parse_record(line, fingerprint)
    except BadLine as bad:
        return bad


class _Run:
    """What lasts from batch to batch."""

    def __init__(
        self,
        organization: Organization,
        statements: ImportStatements,
        dry_run: bool,
        strict: bool,
        create_domains: bool,
    ) -> None:
        self._organization = organization
        self._statements = statements
        self._dry_run = dry_run
        self._strict = strict
        self._create_domains = create_domains
        self._domains = KnownDomains()
        self._nodes = Nodes(organization)

    async def take(self, engine: Engine, batch: Sequence[NumberedRecord]) -> tuple[Counts, list[NumberedReason]]:
        """Take a batch in, in one transaction."""
        if self._dry_run:
            return await engine.run(self._program(batch))
        async with engine.transaction() as transaction:
            return await transaction.run(self._program(batch))

    def _program(self, batch: Sequence[NumberedRecord]) -> Program[tuple[Counts, list[NumberedReason]]]:
        number = self._organization.number
        if not self._dry_run:
            yield from self._statements.lock(number)
        yield from self._learn_domains(batch)
        candidates, bad = self._place(batch)
        last = last_of_each(candidates)
        ids = sorted(last)
        stored = yield from self._statements.content_hashes(number, ids)
        plan = Plan(self._organization, self._nodes)
        for id_ in ids:
            plan.add(last[id_], stored.get(id_))
        changes = plan.finish()
        if not self._dry_run:
            yield from self._statements.apply(number, changes)
        return plan.counts, bad

    def _learn_domains(self, batch: Sequence[NumberedRecord]) -> Program[None]:
        """Read the domains again if the batch names an unknown one, and add it if that is wanted."""
        records = [record for _, record in batch if not isinstance(record, BadLine)]
        if not self._domains.lacks(records):
            return
        self._domains = KnownDomains((yield from self._statements.domains(self._organization.number)))
        if not self._create_domains:
            return
        supposed = [supposed_domain(self._organization, name) for name in self._domains.new_names(records)]
        if self._dry_run:
            for domain in supposed:
                self._domains.add(domain)
        elif supposed:
            yield from self._statements.add_domains(self._organization.number, supposed)
            self._domains = KnownDomains((yield from self._statements.domains(self._organization.number)))

    def _place(self, batch: Sequence[NumberedRecord]) -> tuple[list[Candidate], list[NumberedReason]]:
        candidates: list[Candidate] = []
        bad: list[NumberedReason] = []
        for line_number, record in batch:
            try:
                candidates.append(self._candidate(record))
            except BadLine as error:
                if self._strict:
                    raise _Stopped(line_number, error.reason) from None
                bad.append((line_number, error.reason))
        return candidates, bad

    def _candidate(self, record: ImportedLeak | BadLine) -> Candidate:
        if isinstance(record, BadLine):
            raise record
        return candidate(record, self._domains.find(record))


def _tell(report_bad_line: Callable[[int, str], None] | None, bad: Iterable[NumberedReason]) -> None:
    if report_bad_line is not None:
        for line_number, reason in bad:
            report_bad_line(line_number, reason)
