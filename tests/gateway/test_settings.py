"""The settings."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.settings import PREFIX, Settings, SettingsError

README = Path(__file__).parents[2] / "README.md"
NAMES = {PREFIX + setting.name.upper() for setting in fields(Settings)}


def test_the_readme_lists_every_setting_and_no_other() -> None:
    text = README.read_text()
    listed = set(re.findall(r"^\| `(LEAKS_[A-Z_]+)` \|", text, re.MULTILINE))
    assert listed == NAMES
    assert set(re.findall(r"LEAKS_[A-Z_]+", text)) == NAMES


def test_the_defaults_that_the_readme_names_are_true() -> None:
    rows = dict(re.findall(r"^\| `LEAKS_([A-Z_]+)` \| `([^`]+)` \|", README.read_text(), re.MULTILINE))
    settings = Settings.from_environment({})
    shown = {name: str(getattr(settings, name.lower())) for name in rows}
    assert rows == {name: value.lower() if value in {"True", "False"} else value for name, value in shown.items()}


def test_the_readme_says_what_each_setting_means() -> None:
    rows = dict(re.findall(r"^\| `(LEAKS_[A-Z_]+)` \| [^|]+ \| (.+) \|$", README.read_text(), re.MULTILINE))
    assert rows == {PREFIX + setting.name.upper(): setting.metadata["meaning"] for setting in fields(Settings)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("WORKERS", "0"),
        ("LOG_LEVEL", "loud"),
        ("SECRET", "short"),
        ("CORS_ORIGINS", "dashboard.example"),
        ("INTROSPECTION", "maybe"),
        ("MAX_NODES", "1e3"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "192.0.2.1, proxy.example"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^Invalid LEAKS_{name}\. Valid: "):
        Settings.from_environment({f"LEAKS_{name}": value})


def test_values_are_read(tmp_path: Path) -> None:
    environment = {
        "LEAKS_CORS_ORIGINS": "https://a.example, https://b.example",
        "LEAKS_INTROSPECTION": "off",
        "LEAKS_SECRET_FILE": str(tmp_path / "secret"),
        "LEAKS_PORT": "",
        "LEAKS_TRUSTED_PROXIES": "192.0.2.1, 198.51.100.0/24,2001:db8::1",
    }
    settings = Settings.from_environment(environment)
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert (settings.introspection, settings.port) == (False, 8000)
    assert settings.trusted_proxies == "192.0.2.1,198.51.100.0/24,2001:db8::1"


def test_each_purpose_has_a_key_of_its_own_that_lasts(tmp_path: Path) -> None:
    settings = Settings(secret_file=tmp_path / "new" / "secret")
    first, again = settings.secrets, settings.secrets
    assert len({first.key, first.cursor, first.fingerprint}) == 3
    assert (first.key, first.cursor) == (again.key, again.cursor)
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600


def test_whoever_makes_the_secret_at_once_has_the_same(tmp_path: Path) -> None:
    settings = Settings(secret_file=tmp_path / "secret")
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: settings.secrets.key, range(32)))
    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_secret_of_any_bytes_is_taken() -> None:
    environment = {"LEAKS_SECRET": os.fsdecode(b"not-a-secret-\xff" * 4)}
    assert len(Settings.from_environment(environment).secrets.key) == 32


@pytest.mark.parametrize("content", [b"short\n", b"\xff" * 40, b""])
def test_a_secret_file_that_holds_none_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(str(path))):
        _ = Settings(secret_file=path).secrets
    assert path.read_bytes() == content


def test_a_secret_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^The secret file .* cannot be used: "):
        _ = Settings(secret_file=tmp_path / "file" / "secret").secrets


def test_neither_the_secret_nor_a_password_is_shown() -> None:
    settings = Settings(secret="canary-" * 9, database_url="postgresql://user:canary@db.example/leaks")
    assert "canary" not in repr(settings)
    assert "canary" not in repr(settings.secrets)
    assert settings.shown_database_url == "postgresql://user:***@db.example/leaks"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db.example/leaks?user=u&password=canary", "postgresql://db.example/leaks?user=u"),
        ("canary", "(unreadable)"),
    ],
)
def test_a_password_is_shown_nowhere_in_a_url(url: str, shown: str) -> None:
    assert Settings(database_url=url).shown_database_url == shown
