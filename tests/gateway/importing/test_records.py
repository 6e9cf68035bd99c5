"""A line becomes a record, or a reason."""

from typing import Any

import orjson
import pytest

from gateway.importing.domains import KnownDomains
from gateway.importing.records import MAX_LINE_BYTES, BadLine, ImportedLeak, parse_record
from gateway.storage.fingerprints import fingerprint
from tests.gateway.importing.conftest import LEAK_ID, SECRET, line


def parse(text: bytes) -> ImportedLeak:
    return parse_record(text, lambda password: fingerprint(SECRET, password))


def reason(text: bytes) -> str:
    with pytest.raises(BadLine) as caught:
        parse(text)
    assert "\n" not in caught.value.reason
    return caught.value.reason


def test_the_line_of_the_documentation_is_a_record() -> None:
    record = parse(line())
    assert (record.id, record.domain, record.domain_id) == (LEAK_ID, "example.com", None)
    assert (record.risk_level, record.risk_level_name, record.status) == (5, "medium", "new")
    assert (record.url, record.login) == ("https://example.com/login", "user@example.com")
    assert (record.first_seen, record.added_at) == ("2025-12-05T00:00:00.000Z", "2025-12-05T01:09:22.879Z")
    assert record.connections is not None
    assert record.connections.resources == (("api.example.com", "domain"),)
    assert record.connections.users == (("user@example.com", "email"),)
    assert record.connections.endpoints == (("[US]192.0.2.33.rar", "2025-12-04T14:30:00.000Z"),)


def test_a_record_needs_only_a_domain_a_login_and_a_risk_level() -> None:
    record = parse(b'{"domain": "example.com", "login": "user", "risk_level": 0}')
    assert (record.id, record.url, record.fingerprint, record.connections) == (None, None, None, None)
    assert (record.first_seen, record.added_at, record.status) == (None, None, "new")


@pytest.mark.parametrize("missing", ["domain", "login", "risk_level"])
def test_a_record_that_lacks_what_is_required_says_so(missing: str) -> None:
    assert missing in reason(line(**{missing: None}))


@pytest.mark.parametrize(
    ("levels", "name"), [([0], "none"), ([1, 2, 3], "low"), ([4, 5, 6], "medium"), ([7, 8, 9, 10], "high")]
)
def test_a_risk_level_without_a_name_has_one_by_its_number(levels: list[int], name: str) -> None:
    assert {parse(line(risk_level=level)).risk_level_name for level in levels} == {name}


def test_a_risk_level_name_stays_as_it_came() -> None:
    assert parse(line(risk_level=9, risk_level_name="low")).risk_level_name == "low"


@pytest.mark.parametrize("level", [True, False, 11, -1, 5.0, "5", [5], 10**30])
def test_a_risk_level_is_an_integer_from_0_to_10(level: Any) -> None:
    text = line(risk_level="?").replace(b'"risk_level":"?"', b'"risk_level":' + str(level).lower().encode())
    assert "risk_level" in reason(line(risk_level=level) if isinstance(level, str) else text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "open"),
        ("status", 1),
        ("status", ["new"]),
        ("risk_level_name", "MEDIUM"),
        ("id", "f47ac10b58cc4372a5670e02b2c3d479"),
        ("id", 7),
        ("domain_id", "example.com"),
        ("login", ""),
        ("login", 5),
        ("login", "a\0b"),
        ("url", {"href": "x"}),
        ("first_seen", "2025-12-05"),
        ("first_seen", 1764892800),
        ("added_at", "2025-12-05T00:00:00"),
        ("added_at", "2025-02-30T00:00:00Z"),
        ("connections", []),
        ("connections", {"users": "user"}),
        ("connections", {"users": ["user"]}),
        ("connections", {"users": [{"identity_type": "email"}]}),
        ("connections", {"users": [{"identity": "user", "identity_type": "phone"}]}),
        ("connections", {"resources": [{"resource": "api.example.com"}]}),
        ("connections", {"resources": [{"resource": "api.example.com", "type": "host"}]}),
        ("connections", {"endpoints": [{"filename": "a.rar", "date": "yesterday"}]}),
        ("connections", {"endpoints": [{"date": None}]}),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: Any) -> None:
    assert reason(line(**{name: value}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"5",
        b"null",
        b'"x"',
        b"[]",
        b"{",
        b"{}",
        b"not json",
        b"[" * 60_000,
        line().replace(b"user@", b"us\xffer@"),
        line().replace(b"user@", b"us\\ud800er@"),
        line().decode().encode("utf-16"),
        line().replace(b'"risk_level":5', b'"risk_level":NaN'),
    ],
)
def test_what_is_no_json_object_in_utf8_is_refused(text: bytes) -> None:
    assert reason(text)


def test_a_line_over_the_limit_is_refused_unread() -> None:
    assert "longer" in reason(b"[" + b" " * MAX_LINE_BYTES)


def test_texts_are_bounded_in_bytes() -> None:
    assert parse(line(login="x" * 2048, url="u" * 8192)).login == "x" * 2048
    assert "login" in reason(line(login="x" * 2049))
    assert "login" in reason(line(login="ü" * 1025))
    assert "url" in reason(line(url="u" * 8193))
    assert "resource" in reason(line(connections={"resources": [{"resource": "x" * 2049, "type": "ip"}]}))


def test_a_login_that_folds_to_a_longer_one_is_bounded_too() -> None:
    assert "login" in reason(line(login="\u0390" * 1024))


def test_keys_that_are_not_known_are_passed_over() -> None:
    assert parse(line(malware="x", stealer={"family": ["y"]})) == parse(line())


def test_ids_are_in_lower_case() -> None:
    assert parse(line(id=LEAK_ID.upper(), domain_id=LEAK_ID.upper())).domain_id == LEAK_ID


def test_names_of_domains_are_in_lower_case() -> None:
    assert parse(line(domain=" Example.COM ")).domain == "example.com"


def test_instants_are_in_utc() -> None:
    assert parse(line(first_seen="2025-12-05T01:00:00.1239+02:00")).first_seen == "2025-12-04T23:00:00.123Z"


@pytest.mark.parametrize("password", [None, "", "*", "***", "**********"])
def test_a_password_that_is_absent_or_masked_has_no_fingerprint(password: str | None) -> None:
    assert parse(line(password=password)).fingerprint is None


def test_a_password_becomes_a_fingerprint_under_the_secret() -> None:
    record = parse(line(password="not-a-password"))
    assert record.fingerprint == parse(line(login="another", password="not-a-password")).fingerprint
    assert record.fingerprint != fingerprint(b"another secret", "not-a-password")
    assert record.fingerprint is not None
    assert len(bytes.fromhex(record.fingerprint)) == 32
    assert "not-a-password" not in repr(record)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://ann:not-a-password@vpn.example.com/login", "https://ann:***@vpn.example.com/login"),
        ("https://ann:another@vpn.example.com", "https://ann:***@vpn.example.com"),
        ("https://ann:an@other@vpn.example.com?to=a:b@c", "https://ann:***@vpn.example.com?to=a:b@c"),
        ("https://:another@vpn.example.com", "https://:***@vpn.example.com"),
        ("ann:not-a-password@vpn.example.com", "ann:***@vpn.example.com"),
        ("https://ann@vpn.example.com:8443/a:b@c", "https://ann@vpn.example.com:8443/a:b@c"),
        ("android://key@com.example.app/", "android://key@com.example.app/"),
        ("https://example.com/not-a-password", "https://example.com/not-a-password"),
    ],
)
def test_a_url_has_a_mask_in_the_place_of_a_password(url: str, kept: str) -> None:
    record = parse(line(url=url, password="not-a-password"))
    assert record.url == kept
    assert parse(line(url=kept)).url == kept, "what was exported says the same"


def test_a_password_that_is_joined_to_the_login_is_none_of_it() -> None:
    for login, kept in (
        ("ann:not-a-password", "ann"),
        ("ann:another", "ann:another"),
        (":not-a-password", ":not-a-password"),
    ):
        assert parse(line(login=login, password="not-a-password")).login == kept


@pytest.mark.parametrize("name", ["status", "risk_level", "risk_level_name", "id", "domain_id", "first_seen"])
def test_no_reason_repeats_a_password_in_the_wrong_place(name: str) -> None:
    assert reason(line(**{name: "not-a-password"})).startswith(f"Invalid {name}. Valid: ")


@pytest.mark.parametrize("password", [5, ["not-a-password"], "not-a-password\0", "not-a-password" * 1000])
def test_no_reason_repeats_a_password(password: Any) -> None:
    told = reason(line(password=password))
    assert "password" in told
    assert "not-a-password" not in told


def test_a_broken_line_is_not_repeated() -> None:
    assert "not-a-password" not in reason(line()[:-1])


def test_a_reason_quotes_a_domain_in_plain_characters_and_briefly() -> None:
    with pytest.raises(BadLine) as caught:
        KnownDomains().find(parse(line(domain="\x1b[31m" + "é" * 500)))
    told = caught.value.reason
    assert told.isprintable()
    assert told.isascii()
    assert len(told) < 500


def test_a_record_survives_the_order_of_its_keys() -> None:
    turned = orjson.dumps(dict(reversed(orjson.loads(line()).items())))
    assert parse(turned) == parse(line())
