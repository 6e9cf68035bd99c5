"""The rules of the house that a tool can tell."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.version import Version

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


FLOORS = {
    "h11": ("0.16.0", "CVE-2025-43859: chunked bodies could be read in two ways"),
    "jinja2": ("3.1.6", "CVE-2025-27516: a sandbox could be left"),
    "mako": ("1.2.2", "CVE-2022-40023: a regular expression without end"),
    "orjson": ("3.11.6", "CVE-2025-67221: recursion without end"),
    "requests": ("2.32.4", "CVE-2024-47081: credentials for another host"),
    "starlette": ("0.49.1", "CVE-2025-62727: ranges of files in quadratic time"),
    "strawberry-graphql": ("0.257.0", "CVE-2025-22151: a node of one type told as another's"),
    "urllib3": ("2.6.0", "CVE-2025-66418: chains of compression without end"),
    "werkzeug": ("3.0.6", "CVE-2024-49767: forms without end"),
}
"""Versions from which on a known advisory no longer holds."""


def test_every_version_is_pinned_and_none_has_an_advisory_that_is_known_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    pins = [
        *project["project"]["dependencies"],
        *(pin for group in groups for pin in group),
        *project["tool"]["uv"]["constraint-dependencies"],
    ]
    versions = dict(re.sub(r"\[.*?\]", "", pin).split("==") for pin in pins)
    below = {name for name, (floor, _) in FLOORS.items() if Version(versions.get(name, floor)) < Version(floor)}
    assert below == set()
    installed = {one.metadata["Name"].lower().replace("_", "-"): one.version for one in distributions()}
    assert {name for name, version in installed.items() if versions.get(name, version) != version} == set()
    assert installed.keys() - versions.keys() <= {"pip", "setuptools", "uv", "wheel"}, "what comes along is pinned too"
