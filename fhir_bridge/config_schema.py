"""What fhir-bridge.toml may hold: each key, its type, its limits and its default.

It stands apart from config.py, which finds and merges the values, so that this page can be read as the reference of
the settings.
"""

from __future__ import annotations

import codecs
import difflib
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate, validates_schema

from fhir_bridge.feeds.feed import AckMode, StorageTrouble
from fhir_bridge.privacy import Role
from fhir_bridge.privacy.scopes import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DEFAULT_FEEDS: dict[str, dict[str, Any]] = {
    "mllp": {"port": 2575, "carries_protection": False},
    "http": {"carries_protection": False},
}
"""The feeds of an installation that names none: one that listens for MLLP, and the one of `POST /hl7v2`."""

_ALGORITHMS = frozenset({"RS256", "RS384", "ES256", "ES384"})
_ROLES = [role.value for role in Role]
_LOOPBACK = "127.0.0.1"
_port = validate.Range(min=0, max=65535, error="expected a port, 0 to 65535")
_name = validate.Regexp(r"[a-z][a-z0-9_-]{0,31}\Z", error="expected a name of small letters, digits, - and _")


def _zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationError("expected an IANA time zone, like America/New_York") from error


def _charset(value: str) -> None:
    try:
        codecs.lookup(value)
    except LookupError as error:
        raise ValidationError("expected a character set, like utf-8 or iso-8859-1") from error


class _Table(Schema):
    """A table that names what it does not know, and what may have been meant."""

    class Meta:
        """marshmallow's own check of unknown keys names no alternative; ours does."""

        unknown = INCLUDE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _known(self, _data: Any, original: object, **_: Any) -> None:
        if not isinstance(original, dict):
            return
        unknown = sorted(set(original) - set(self.fields))
        if unknown:
            raise ValidationError({key: [_unknown(key, self.fields)] for key in unknown})


def _unknown(key: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(key, list(known), n=1)
    return f"unknown setting; did you mean {nearest[0]}?" if nearest else "unknown setting"


class _Names(fields.Field[list[str]]):
    """A list of names; in a variable with commas between them."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[str]:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValidationError("expected a list of names")
        return [name.strip() for name in names if name.strip()]


class HttpTlsSchema(_Table):
    """[http.tls]: HTTP over TLS on a port of its own. With client_ca a client may show one of [certificates].

    `revoked` is a PEM list of revoked certificates (CRL).
    """

    host = fields.String(load_default="0.0.0.0")  # noqa: S104 - it is there for callers elsewhere
    port = fields.Integer(load_default=8443, validate=_port)
    certificate = fields.String(load_default=None, allow_none=True)
    key = fields.String(load_default=None, allow_none=True)
    client_ca = fields.String(load_default=None, allow_none=True)
    revoked = fields.String(load_default=None, allow_none=True)

    @validates_schema(skip_on_field_errors=True)
    def _whole(self, data: Mapping[str, Any], **_: Any) -> None:
        if not data["certificate"] and any(data[name] for name in ("key", "client_ca", "revoked")):
            raise ValidationError({"certificate": ["expected a PEM file, since there are other TLS settings"]})
        if data["revoked"] and not data["client_ca"]:
            raise ValidationError({"client_ca": ["expected a PEM file: without it no certificate is looked at"]})


class HttpSchema(_Table):
    """[http]."""

    host = fields.String(load_default=_LOOPBACK)
    port = fields.Integer(load_default=8080, validate=_port)
    tls = fields.Nested(HttpTlsSchema, load_default=lambda: HttpTlsSchema().load({}))


class FacilitySchema(_Table):
    """[facility]."""

    name = fields.String(load_default="Hospital")
    zone = fields.String(load_default="UTC", validate=_zone)
    language = fields.String(load_default="en", validate=validate.Regexp(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z"))
    precedence = _Names(load_default=lambda: ["ehr"])


class DatabaseSchema(_Table):
    """[database]: SQLite files in the var folder, or one PostgreSQL database for any number of gateways."""

    engine = fields.String(load_default="sqlite", validate=validate.OneOf(["sqlite", "postgresql"]))
    url = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"postgres(ql)?://", error="expected a URL, like postgresql://user@host/database"),
    )

    @validates_schema
    def _has_url(self, data: dict[str, Any], **_: Any) -> None:
        if data["engine"] == "postgresql" and not data["url"]:
            raise ValidationError({"url": ["engine postgresql needs it, like postgresql://user@host/database"]})


def _algorithms(value: str) -> None:
    if not value.split() or set(value.split()) - _ALGORITHMS:
        raise ValidationError(f"expected some of {', '.join(sorted(_ALGORITHMS))}, with blanks between")


class AuthSchema(_Table):
    """[auth]: the issuer whose JWTs are taken beside local tokens, and how its claims are read.

    [auth.roles] says which of the issuer's roles is which of ours; of several that someone has, the first counts.
    """

    issuer = fields.Url(load_default=None, allow_none=True, schemes={"http", "https"}, require_tld=False)
    audience = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1))
    algorithms = fields.String(load_default="RS256 RS384 ES256 ES384", validate=_algorithms)
    skew = fields.Integer(load_default=60, validate=validate.Range(min=0, max=300, error="expected 0 to 300 seconds"))
    name_claim = fields.String(load_default="sub", validate=validate.Length(min=1))
    role_claim = fields.String(load_default="roles", validate=validate.Length(min=1))
    feed_claim = fields.String(load_default="feed", validate=validate.Length(min=1))
    roles = fields.Dict(keys=fields.String(), values=fields.String(validate=validate.OneOf(_ROLES)), load_default=dict)

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("issuer") is None:
            return
        if not data.get("audience"):
            raise ValidationError("expected the audience of the issuer's tokens for this gateway", "audience")
        if not data.get("roles"):
            raise ValidationError('expected at least one role, like "PatientRelations" = "pra"', "roles")


class PrivacySchema(_Table):
    """[privacy]: `refused_documents` are kinds of notes that are never kept (TXA-2, OBX-3, FHIR label or category).

    [privacy.units] (PV1-3.1, PV1-10) and [privacy.diagnoses] (ICD-10-CM prefix) say which label of v3-ActCode goes on
    what comes in; units have none as shipped, diagnoses those of pipeline/sensitivity.py.
    [privacy.minors] says from which age a minor consents alone to what has a label (as shipped: pipeline/minors.py).
    """

    refused_documents = _Names(load_default=lambda: ["PSYTHPN"])
    units = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    diagnoses = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    minors = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(validate=validate.Range(min=0, max=18, error="expected an age, 0 to 18")),
        load_default=dict,
    )


class MappingSchema(_Table):
    """[mapping]: a folder of mapping tables in place of the packaged ones, and the overlay of feeds that name none."""

    folder = fields.String(load_default=None, allow_none=True)
    site = fields.String(load_default=None, allow_none=True)


class TlsSchema(_Table):
    """[feeds.NAME.tls]: PEM files; with client_ca each client must show a certificate, of client_subjects if given."""

    certificate = fields.String(load_default=None, allow_none=True)
    key = fields.String(load_default=None, allow_none=True)
    client_ca = fields.String(load_default=None, allow_none=True)
    client_subjects = _Names(load_default=list)

    @validates_schema(skip_on_field_errors=True)
    def _whole(self, data: Mapping[str, Any], **_: Any) -> None:
        if not data["certificate"] and any(data.values()):
            raise ValidationError({"certificate": ["expected a PEM file, since there are other TLS settings"]})
        if data["client_subjects"] and not data["client_ca"]:
            raise ValidationError({"client_ca": ["expected a PEM file: without it client_subjects prove nothing"]})


class FeedSchema(_Table):
    """[feeds.NAME]: without a port the feed does not listen for MLLP."""

    host = fields.String(load_default=_LOOPBACK)
    port = fields.Integer(load_default=None, allow_none=True, validate=_port)
    zone = fields.String(load_default=None, allow_none=True, validate=_zone)
    charset = fields.String(load_default=None, allow_none=True, validate=_charset)
    authority = fields.String(load_default="")
    site = fields.String(load_default="")
    source = fields.String(load_default="ehr", validate=_name)
    ack = fields.String(load_default=AckMode.AS_ASKED.value, validate=validate.OneOf([mode.value for mode in AckMode]))
    on_storage_trouble = fields.String(
        load_default=StorageTrouble.HOLD_THEN_CLOSE.value,
        validate=validate.OneOf([choice.value for choice in StorageTrouble]),
    )
    ack_deadline = fields.Float(
        load_default=4.0, validate=validate.Range(min=0.1, max=60, error="expected 0.1 to 60 seconds")
    )
    max_size = fields.Integer(
        load_default=16 << 20, validate=validate.Range(min=1024, max=64 << 20, error="expected 1024 to 67108864 bytes")
    )
    silent_after = fields.Float(
        load_default=None, allow_none=True, validate=validate.Range(min=1, error="expected 1 second or more")
    )
    max_connections = fields.Integer(
        load_default=512, validate=validate.Range(min=1, max=65536, error="expected 1 to 65536 connections")
    )
    idle_timeout = fields.Float(
        load_default=900.0, validate=validate.Range(min=1, max=86400, error="expected 1 to 86400 seconds")
    )
    read_timeout = fields.Float(
        load_default=60.0, validate=validate.Range(min=1, max=3600, error="expected 1 to 3600 seconds")
    )
    types = _Names(load_default=list)
    facilities = _Names(load_default=list)
    authorities = _Names(load_default=list)
    park_limit = fields.Float(
        load_default=0.5, validate=validate.Range(min=0, max=1, error="expected a share, 0 to 1 (1 stops it never)")
    )
    carries_protection = fields.Boolean(load_default=True)
    tls = fields.Nested(TlsSchema, load_default=lambda: TlsSchema().load({}))


class DestinationSchema(_Table):
    """[destinations.NAME]: the FHIR R4 base URL of an EHR."""

    base_url = fields.Url(required=True, schemes={"http", "https"}, require_tld=False)
    token_file = fields.String(load_default=None, allow_none=True)
    profile = fields.String(load_default="generic")


class CertificateSchema(_Table):
    """[certificates.NAME]: who a client certificate is: one of its names (CN, DNS, URI) and what that one may do."""

    subject = fields.String(required=True, validate=validate.Length(min=1))
    role = fields.String(required=True, validate=validate.OneOf(_ROLES))
    feed = fields.String(load_default="")
    scopes = _Names(load_default=list)

    @validates_schema(skip_on_field_errors=True)
    def _whole(self, data: Mapping[str, Any], **_: Any) -> None:
        if (data["role"] == Role.FEED) != bool(data["feed"]):
            raise ValidationError({"feed": ["expected the feed that it speaks for, with the role feed and no other"]})
        if wrong := [scope for scope in data["scopes"] if not well_formed(scope)]:
            raise ValidationError({"scopes": [f"no scope: {', '.join(wrong)}"]})


class SettingsSchema(_Table):
    """The whole file."""

    tables: ClassVar[dict[str, type[_Table]]] = {
        "feeds": FeedSchema,
        "destinations": DestinationSchema,
        "certificates": CertificateSchema,
    }

    var = fields.String(load_default="var")
    token = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=16))
    http = fields.Nested(HttpSchema, load_default=lambda: HttpSchema().load({}))
    facility = fields.Nested(FacilitySchema, load_default=lambda: FacilitySchema().load({}))
    database = fields.Nested(DatabaseSchema, load_default=lambda: DatabaseSchema().load({}))
    auth = fields.Nested(AuthSchema, load_default=lambda: AuthSchema().load({}))
    privacy = fields.Nested(PrivacySchema, load_default=lambda: PrivacySchema().load({}))
    mapping = fields.Nested(MappingSchema, load_default=lambda: MappingSchema().load({}))
    feeds = fields.Dict(keys=fields.String(validate=_name), values=fields.Nested(FeedSchema), load_default=dict)
    destinations = fields.Dict(
        keys=fields.String(validate=_name), values=fields.Nested(DestinationSchema), load_default=dict
    )
    certificates = fields.Dict(
        keys=fields.String(validate=_name), values=fields.Nested(CertificateSchema), load_default=dict
    )


def leaves(names: Mapping[str, Iterable[str]]) -> list[str]:
    """The path of every key, those of named tables for each of `names` (table to its names)."""
    paths: list[str] = []
    for key, field in SettingsSchema().fields.items():
        if key in SettingsSchema.tables:
            for name in names.get(key, ()):
                paths += _leaves(SettingsSchema.tables[key](), f"{key}.{name}.")
        elif isinstance(field, fields.Nested):
            paths += _leaves(field.schema, f"{key}.")
        else:
            paths.append(key)
    return paths


def _leaves(table: Schema, prefix: str) -> Iterator[str]:
    for key, field in table.fields.items():
        if isinstance(field, fields.Nested):
            yield from _leaves(field.schema, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
