"""The rules of the house that a tool can tell."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import schema

ROOT = Path(__file__).parents[1]
MODULES = [
    path
    for folder in ("gateway", "schema", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "node_modules" not in path.parts
]


def test_imports_point_inwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_schema_is_ours_and_not_the_package_of_that_name() -> None:
    assert schema.__file__ == str(ROOT / "schema" / "__init__.py")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_in_its_first_line_what_it_is(module: Path) -> None:
    text = module.read_text()
    if module.is_relative_to(ROOT / "tests") and module.name == "__init__.py":
        return
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    first = docstring.splitlines()[0]
    assert first.rstrip(":").endswith((".", ")")), first
