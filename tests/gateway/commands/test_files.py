"""import and export, from the command line."""

import gzip
import json
from pathlib import Path

from tests.gateway.commands.conftest import Run

LEAK = {"domain": "acme.example", "login": "ann@acme.example", "risk_level": 5, "password": "canary-4711"}


def _lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_an_import_tells_what_it_did(ready: Run, tmp_path: Path) -> None:
    file = tmp_path / "leaks.jsonl"
    file.write_text(_lines(LEAK, {**LEAK, "login": "bob"}))
    assert ready("import", str(file), "-o", "Acme").stderr == "new 2, updated 0, unchanged 0, bad 0\n"
    assert ready("import", str(file), "-o", "Acme").stderr == "new 0, updated 0, unchanged 2, bad 0\n"


def test_a_bad_line_is_reported_and_the_rest_goes_in(ready: Run) -> None:
    done = ready("import", "-", "-o", "Acme", stdin=_lines(LEAK) + "{\n" + _lines({**LEAK, "domain": "x.example"}))
    assert done.returncode == 1
    first, second, summary = done.stderr.splitlines()
    assert first.startswith("-:2: The line is no JSON")
    assert second == '-:3: Unknown domain: "x.example".'
    assert summary == "new 1, updated 0, unchanged 0, bad 2"
    assert "canary" not in done.stderr


def test_strict_stops_at_the_first_bad_line(ready: Run) -> None:
    done = ready("import", "-", "-o", "Acme", "--strict", stdin=_lines(LEAK) + "{\n")
    assert done.returncode == 1
    assert ready("export", "-o", "Acme").stdout == ""


def test_a_dry_run_writes_nothing(ready: Run) -> None:
    arguments = ("import", "-", "-o", "Acme", "--dry-run", "--create-domains")
    done = ready(*arguments, stdin=_lines(LEAK, {**LEAK, "domain": "x.example"}))
    assert done.stderr == "new 2, updated 0, unchanged 0, bad 0\n"
    assert ready("export", "-o", "Acme").stdout == ""
    assert len(ready("domains", "list", "-o", "Acme").stdout.splitlines()) == 1


def test_an_export_is_masked_and_can_be_imported(ready: Run, tmp_path: Path) -> None:
    ready("import", "-", "-o", "Acme", stdin=_lines(LEAK))
    packed = tmp_path / "leaks.jsonl.gz"
    assert ready("export", "-o", "Acme", "--output", str(packed)).returncode == 0
    (record,) = (json.loads(line) for line in gzip.decompress(packed.read_bytes()).splitlines())
    assert (record["password"], record["domain"]) == ("***", "acme.example")
    ready("organizations", "add", "Other")
    done = ready("import", str(packed), "-o", "Other", "--create-domains")
    assert done.stderr == "new 1, updated 0, unchanged 0, bad 0\n"


def test_an_export_that_fails_leaves_no_file(ready: Run, tmp_path: Path) -> None:
    done = ready("export", "-o", "Acme", "--domain", "nowhere.example", "--output", str(tmp_path / "out.jsonl"))
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_file_that_is_not_there_is_one_line(ready: Run) -> None:
    done = ready("import", "/nowhere.jsonl", "-o", "Acme")
    assert (done.returncode, done.stderr) == (1, "error: /nowhere.jsonl cannot be read: No such file or directory.\n")
