"""The checks of isolation tell every mutant of what applies the scope."""

import asyncio
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.isolation.mutation import (
    EQUIVALENT,
    MUTATED,
    ORIGINAL,
    UNTOLD_SITES,
    all_mutants,
    mutants,
    sites,
)
from tests.isolation.tenants import fill

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_no_mutant_of_the_scope_survives(sqlite_url: str) -> None:
    tenants = pickle.dumps(asyncio.run(fill(sqlite_url)))
    tried = [sys.executable, "-m", "tests.isolation.mutation"]
    done = subprocess.run(tried, cwd=ROOT, input=tenants, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == [ORIGINAL], done.stderr.decode()


def test_there_are_mutants_of_every_function_that_applies_the_scope() -> None:
    changes = [mutant.change for mutant in mutants(ROOT)]
    assert len(changes) > 40
    for function in (name for functions in MUTATED.values() for name in functions if not name.startswith("domains_by")):
        assert any(change.startswith(f"{function}: ") for change in changes), function


def test_what_is_known_to_be_equivalent_is_still_a_mutant() -> None:
    assert {mutant.change for mutant in all_mutants(ROOT)} >= EQUIVALENT
    assert {mutant.change for mutant in sites(ROOT)} >= UNTOLD_SITES


def test_every_module_that_reads_leaves_out_the_scope_where_it_is_applied() -> None:
    left_out = [mutant for mutant in sites(ROOT) if mutant.change not in UNTOLD_SITES]
    assert {mutant.module.rpartition(".")[2] for mutant in left_out} == {
        "access_paths",
        "months",
        "pages",
        "reads",
        "shapes",
    }
    assert len(left_out) > 20
