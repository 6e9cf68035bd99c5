"""Lists: for a person and for a program."""

import io
import sys

import pytest

from gateway.commands.terminal import show


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_program_gets_lines_separated_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    show(("id", "name"), [("1", "Acme"), ("2", None)])
    assert capsys.readouterr().out == "1\tAcme\n2\t-\n"


def test_a_person_gets_a_table_and_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    show(("id", "name"), [("1", "[/red] Acme [bold]")])
    assert "name" in terminal.getvalue()
    assert "[/red] Acme [bold]" in terminal.getvalue()
