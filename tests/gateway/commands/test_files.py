"""import and export, from the command line."""

import gzip
import json
import signal
import subprocess
import sys
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


def test_all_files_are_refused_where_one_is_not_there(ready: Run, tmp_path: Path) -> None:
    there = tmp_path / "leaks.jsonl"
    there.write_text(_lines(LEAK))
    assert ready("import", str(there), str(tmp_path / "nowhere.jsonl"), "-o", "Acme").returncode == 1
    assert ready("export", "-o", "Acme").stdout == ""


def test_the_same_export_is_the_same_bytes(ready: Run, tmp_path: Path) -> None:
    ready("import", "-", "-o", "Acme", stdin=_lines(LEAK))
    files = [tmp_path / "first.gz", tmp_path / "second.gz"]
    for file in files:
        ready("export", "-o", "Acme", "--output", str(file))
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_an_export_replaces_what_a_link_points_at(ready: Run, tmp_path: Path) -> None:
    ready("import", "-", "-o", "Acme", stdin=_lines(LEAK))
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    target.write_text("before")
    link.symlink_to(target)
    assert ready("export", "-o", "Acme", "--output", str(link)).returncode == 0
    assert link.is_symlink()
    assert target.read_text() == ready("export", "-o", "Acme").stdout


def test_an_export_to_a_device_leaves_it_one(ready: Run) -> None:
    assert ready("export", "-o", "Acme", "--output", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()


def test_an_export_to_a_folder_that_is_not_there_is_one_line(ready: Run) -> None:
    done = ready("export", "-o", "Acme", "--output", "/nowhere/leaks.jsonl")
    assert (done.returncode, done.stderr) == (1, "error: There is no such folder: /nowhere\n")


def test_one_organization_is_piped_into_another(ready: Run, environment: dict[str, str]) -> None:
    ready("import", "-", "-o", "Acme", stdin=_lines(LEAK))
    ready("organizations", "add", "Other")
    gateway = f"{sys.executable} -m gateway"
    piped = f"{gateway} export -o Acme | {gateway} import - -o Other --create-domains"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", piped], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"new 1, updated 0, unchanged 0, bad 0\n")


def test_a_reader_that_leaves_is_no_error_worth_a_word(ready: Run, environment: dict[str, str]) -> None:
    ready("import", "-", "-o", "Acme", stdin=_lines(*({**LEAK, "login": f"user{n}"} for n in range(2000))))
    piped = f"{sys.executable} -m gateway export -o Acme | head -c 1"
    done = subprocess.run(["bash", "-c", piped], env=environment, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"{", b"")


def test_an_import_that_waits_can_be_interrupted(ready: Run, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "import", "-", "-o", "Acme", "--strict"],
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    # More than a pipe holds: when all is taken, the command reads.
    process.stdin.write(_lines(*[LEAK] * 2000).encode())
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, b"interrupted\n")
    assert ready("export", "-o", "Acme").stdout == ""
