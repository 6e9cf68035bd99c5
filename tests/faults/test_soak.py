"""A short soak; tests/benchmarks/soak.py is the long one."""

import asyncio
from pathlib import Path

from tests.faults.soaking import soak
from tests.faults.traffic import questions
from tests.records import World

SECONDS = 15.0


def test_a_soak_sees_no_wrong_answer_and_no_handle_that_is_lost(fresh_world: World, tmp_path: Path) -> None:
    report = asyncio.run(soak(fresh_world, questions(fresh_world), tmp_path, SECONDS))
    assert report.wrong == []
    assert report.troubles == []
    assert report.kills >= 1
    assert report.imported >= 1
    assert report.statuses.keys() <= {200, 400, 401, 404}
    # At most what each connection was waiting for when its worker was killed.
    assert report.dropped <= 8 * report.kills
    assert max(report.handles) < 60
