"""The long soak: `python tests/benchmarks/soak.py --minutes 60 [--postgresql]`; ends with a report."""

import argparse
import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.worlds import new_world
from tests.faults.soaking import Report, soak
from tests.faults.traffic import questions

_MOST_HANDLES = 60
_MOST_MEGABYTES = 150


def main() -> int:
    """Soak for as long as is wanted; 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as folder, new_world(is_postgresql=options.postgresql) as world:
        report = asyncio.run(soak(world, questions(world), Path(folder), options.minutes * 60))
    return _tell(report, options.minutes)


def _tell(report: Report, minutes: float) -> int:
    troubles = [
        *report.troubles,
        *(f"A wrong answer to {question.request[:200]!r}: {answer}" for question, answer in report.wrong[:5]),
        *(["A worker has too many handles open."] if max(report.handles) >= _MOST_HANDLES else []),
        *(["A worker holds too much memory."] if max(report.megabytes) >= _MOST_MEGABYTES else []),
    ]
    print(f"{minutes:g} minutes, {report.statuses.total()} answers, {dict(sorted(report.statuses.items()))}")
    print(f"{report.kills} workers killed, {report.dropped} requests dropped with them")
    print(f"{report.imported} leaks imported, by imports that were killed in between")
    print(f"handles of a worker, the most: {max(report.handles)}")
    print(f"megabytes of a worker, the most: {max(report.megabytes)}; of all workers {min(report.megabytes)} and more")
    print("\n".join(troubles) or "No wrong answer, and the database is whole.")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
