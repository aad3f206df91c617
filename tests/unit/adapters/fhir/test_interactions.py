"""Headers and search values of FHIR's RESTful API, read and written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from adapters.fhir import interactions
from adapters.fhir.errors import RequestError
from adapters.fhir.interactions import Parameter, Prefer, Token


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/fhir+json", True),
        ("application/fhir+json; charset=utf-8", True),
        ('Application/JSON;charset="UTF-8"', True),
        ("application/fhir+json; fhirVersion=4.0", True),
        ("application/fhir+json; charset=iso-8859-1", False),
        ("application/fhir+xml", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_content_types(content_type, expected):
    assert interactions.is_fhir_json(content_type) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", True),
        ("*/*", True),
        ("json", True),
        ("application/fhir+xml, application/fhir+json;q=0.9", True),
        ("text/html, */*;q=0.8", True),
        ("application/fhir+xml", False),
        ("application/fhir+json; q=0", False),
    ],
)
def test_accept_headers(accept, expected):
    assert interactions.accepts_fhir_json(accept) is expected


@pytest.mark.parametrize("text", ['W/"3"', '"3"', ' W/"3" '])
def test_versions_are_read_from_etags(text):
    assert interactions.parse_etag(text) == "3"
    assert interactions.etag(3) == 'W/"3"'


@pytest.mark.parametrize("text", ["", "3", "*", 'W/""', 'W/"3", W/"4"', 'W/"a b"'])
def test_what_is_no_version_is_a_bad_request(text):
    with pytest.raises(RequestError) as error:
        interactions.parse_etag(text)
    assert (error.value.status, error.value.location) == (400, "If-Match")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://ehr.example/fhir/Communication/12/_history/1", "Communication/12"),
        ("Communication/12", "Communication/12"),
        ("/fhir/Communication/12?x=y", "Communication/12"),
        ("https://ehr.example/fhir/Communication", None),
        ("", None),
    ],
)
def test_locations(text, expected):
    assert interactions.parse_location(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Prefer()),
        ("return=minimal", Prefer("minimal", "lenient")),
        ("handling=strict, return=OperationOutcome", Prefer("OperationOutcome", "strict")),
        ('return="minimal"; handling=lenient; foo', Prefer("minimal", "lenient")),
        ("return=everything", Prefer()),
    ],
)
def test_preferences(text, expected):
    assert interactions.parse_prefer(text) == expected


NOW = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 10 Mar 2024 12:00:30 GMT", 30.0),
        ("Sun, 10 Mar 2024 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after(text, expected):
    assert interactions.retry_after(text, NOW) == expected


KNOWN = {"identifier": frozenset({"of-type"}), "name": frozenset({"exact", "contains"}), "_count": frozenset()}


def test_search_parameters_are_read_in_order():
    pairs = [
        ("name:exact", r"Del\,gado,Okafor"),
        ("name", "x"),
        ("identifier", "urn:a|1"),
        ("unknown", "1"),
        ("_count", ""),
    ]
    assert interactions.parse_search(pairs, KNOWN, strict=False) == [
        Parameter("name", "exact", (r"Del\,gado", "Okafor")),
        Parameter("name", "", ("x",)),
        Parameter("identifier", "", ("urn:a|1",)),
    ]


@pytest.mark.parametrize(
    ("pair", "location"), [(("unknown", "x"), "search"), (("name:above", "x"), "name"), (("unknown:x", "x"), "search")]
)
def test_strict_searches_refuse_what_is_not_known(pair, location):
    with pytest.raises(RequestError) as error:
        interactions.parse_search([pair], KNOWN, strict=True)
    assert (error.value.status, error.value.location) == (400, location)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123", Token(None, "123")),
        ("urn:oid:1.2|123", Token("urn:oid:1.2", "123")),
        ("|123", Token("", "123")),
        ("urn:oid:1.2|", Token("urn:oid:1.2", "")),
        (r"a\|b|c\,d", Token("a|b", "c,d")),
    ],
)
def test_tokens(text, expected):
    assert interactions.parse_token(text) == expected


def test_a_token_of_three_parts_is_a_bad_request():
    with pytest.raises(RequestError):
        interactions.parse_token("a|b|c")


EASTERN = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("text", "prefix", "start", "end"),
    [
        ("2024", "eq", datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        ("ge2024-02", "ge", datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        ("lt2023-12", "lt", datetime(2023, 12, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-02-29", "eq", datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        ("2024-02-29T10:05", "eq", datetime(2024, 2, 29, 10, 5, tzinfo=UTC), datetime(2024, 2, 29, 10, 6, tzinfo=UTC)),
        (
            "gt2024-02-29T10:05:07-05:00",
            "gt",
            datetime(2024, 2, 29, 10, 5, 7, tzinfo=EASTERN),
            datetime(2024, 2, 29, 10, 5, 8, tzinfo=EASTERN),
        ),
        (
            "2024-02-29T10:05:07.123Z",
            "eq",
            datetime(2024, 2, 29, 10, 5, 7, tzinfo=UTC),
            datetime(2024, 2, 29, 10, 5, 8, tzinfo=UTC),
        ),
    ],
)
def test_dates_cover_the_interval_of_their_precision(text, prefix, start, end):
    found = interactions.parse_date("date", text)
    assert (found.prefix, found.start, found.end) == (prefix, start, end)


def test_a_date_without_a_zone_is_in_the_callers():
    assert interactions.parse_date("date", "2024-02-29", EASTERN).start == datetime(2024, 2, 29, tzinfo=EASTERN)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2023-02-29", "2024-13", "0000", "9999", "2024-01-01T25:00", "xx2024", "20240101"]
)
def test_what_is_no_date_is_a_bad_request(text):
    with pytest.raises(RequestError) as error:
        interactions.parse_date("birthdate", text)
    assert (error.value.status, error.value.code, error.value.location) == (400, "value", "birthdate")


def test_counts_are_bounded():
    assert [interactions.parse_count(t, most=100) for t in ("0", "20", "5000")] == [0, 20, 100]
    for text in ("-1", "many", "", "1.5", "²"):
        with pytest.raises(RequestError):
            interactions.parse_count(text, most=100)


def test_search_values_lose_their_escapes():
    assert interactions.unescape(r"a\,b\|c\$d\\e\x") == r"a,b|c$d\e\x"
