"""Errors carry what an ERR segment says, and nothing of the message."""

import pytest

from adapters.hl7v2 import errors
from adapters.hl7v2.errors import Er7Error, Hl7Error, Location, RemoteProtocolError

LOCATIONS = [
    ("PID", Location("PID")),
    ("PID-7", Location("PID", field=7)),
    ("PID-3[1].1", Location("PID", field=3, repetition=1, component=1)),
    ("NK1[2]-5[1].4.2", Location("NK1", 2, 5, 1, 4, 2)),
    ("ZP1[3]", Location("ZP1", 3)),
]


@pytest.mark.parametrize(("text", "location"), LOCATIONS)
def test_a_location_is_read_and_written_alike(text: str, location: Location) -> None:
    assert Location.parse(text) == location
    assert str(location) == text


@pytest.mark.parametrize("text", ["", "PID-", "pid-3", "Patient.birthDate", "PID-3.1.2.3", "PIDX-3"])
def test_what_is_no_location_is_none(text: str) -> None:
    assert Location.parse(text) is None


def test_an_error_names_its_place_before_its_text() -> None:
    error = Er7Error("found nothing, expected a value", code="101", location=Location("MSH", field=10))
    assert (str(error), error.code) == ("MSH-10: found nothing, expected a value", "101")


def test_there_is_one_root_and_blame_is_a_type() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, Hl7Error) for kind in kinds)
    assert issubclass(Er7Error, RemoteProtocolError)
    assert not issubclass(errors.LocalProtocolError, RemoteProtocolError)


def test_every_named_code_is_in_table_0357() -> None:
    named = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)}
    assert named | {"0"} == set(errors.ERROR_CODES)
