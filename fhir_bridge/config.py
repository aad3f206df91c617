"""Settings: one fhir-bridge.toml, every key overridable by a FHIR_BRIDGE_… variable and by the command line.

All reading of settings happens here, once, when a process starts; the rest of the program gets frozen values. What can
be wrong is found here too, all at once, with the path of each key. config_schema.py says what is allowed.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from fhir_bridge.config_schema import DEFAULT_FEEDS, SettingsSchema, leaves
from fhir_bridge.feeds.feed import AckMode, Feed, MllpAddress, StorageTrouble, Tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FILE_NAME = "fhir-bridge.toml"
PREFIX = "FHIR_BRIDGE_"
DEFAULT, FILE, ARGUMENT = "default", FILE_NAME, "command line"
_NOT_SETTINGS = frozenset({"FHIR_BRIDGE_CONFIG"})
_SECRETS = frozenset({"token"})
_PATHS = frozenset({"var", "mapping.folder", "token_file"})


class ConfigError(Exception):
    """Settings that cannot be used: `errors` holds a line for each, with path, what was found and what is expected."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class HttpTls:
    """Where the gateway serves HTTP over TLS, with which files."""

    host: str
    port: int
    files: Tls


@dataclass(frozen=True, slots=True)
class Http:
    """Where the gateway serves HTTP."""

    host: str
    port: int
    tls: HttpTls | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who a client certificate is: whoever shows one with the name `subject`."""

    name: str
    subject: str
    role: str
    feed: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facility:
    """The hospital: its name, its time zone, and the language that its associates speak (BCP 47).

    `precedence` names the sources of its feeds, who is believed first before others; what was said to this gateway
    itself ("gateway") comes last unless it is named.
    """

    name: str
    zone: str
    language: str
    precedence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Database:
    """Where journal and state are kept: in PostgreSQL where there is a URL, else in files of the var folder."""

    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """The issuer whose JWTs are taken, and how its claims are read. `roles` maps its roles to ours, in order."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    skew: int
    name_claim: str
    role_claim: str
    feed_claim: str
    roles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Destination:
    """An EHR that takes write-backs; its bearer token stands in `token_file`."""

    name: str
    base_url: str
    token_file: Path | None
    profile: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of `doctor`: a key, its value (secrets masked) and where it came from."""

    path: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. `feeds` holds every feed by name, `mllp` the addresses of those that listen for MLLP."""

    var: Path
    http: Http
    facility: Facility
    database: Database
    feeds: Mapping[str, Feed]
    mllp: tuple[MllpAddress, ...]
    destinations: tuple[Destination, ...]
    mapping_folder: Path | None
    site: str | None
    token: str | None = field(repr=False)
    report: tuple[Setting, ...]
    auth: Auth | None = None
    certificates: tuple[Certificate, ...] = ()
    refused_documents: tuple[str, ...] = ()
    sensitive_units: Mapping[str, str] = field(default_factory=dict)
    sensitive_diagnoses: Mapping[str, str] = field(default_factory=dict)
    consent_ages: Mapping[str, int] = field(default_factory=dict)

    @property
    def journal_file(self) -> Path:
        """The journal's database."""
        return self.var / "journal.db"

    @property
    def journal_socket(self) -> Path:
        """The socket file at which the journal's owner takes appends."""
        return self.var / "journal.sock"

    @property
    def state_file(self) -> Path:
        """The state's database."""
        return self.var / "state.db"

    @property
    def audit_file(self) -> Path:
        """The audit's database."""
        return self.var / "audit.db"

    @property
    def token_file(self) -> Path:
        """The database of the local tokens."""
        return self.var / "tokens.db"


def load(
    arguments: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Settings:
    """Read the settings: defaults, then the file, then the environment, then `arguments` (path to value).

    The file is the one that FHIR_BRIDGE_CONFIG names, else fhir-bridge.toml in `folder` (the working directory), else
    in the var folder. Raises ConfigError.
    """
    given = {path: value for path, value in (arguments or {}).items() if value}
    variables = os.environ if environment is None else environment  # noqa: TID251 - here settings are read
    file = _file(given, variables, Path.cwd() if folder is None else folder)
    values = _values(file)
    sources = dict.fromkeys((path for path, _ in _walk(values)), DEFAULT if file is None else FILE)
    _add_default_feeds(values)
    errors = _override(values, sources, given, variables)
    try:
        loaded: dict[str, Any] = SettingsSchema().load(values)
    except ValidationError as error:
        errors += [f"{sources.get(path, FILE)}: {path}: {text}" for path, text in _flat(error.messages)]
    if errors:
        raise ConfigError(errors)
    return _settings(loaded, sources, file)


def environment_name(path: str) -> str:
    """The variable that overrides a key: ``http.port`` is FHIR_BRIDGE_HTTP_PORT."""
    return PREFIX + re.sub(r"[^A-Za-z0-9]", "_", path).upper()


def _file(given: Mapping[str, str], variables: Mapping[str, str], folder: Path) -> Path | None:
    named = variables.get("FHIR_BRIDGE_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigError([f"FHIR_BRIDGE_CONFIG: there is no file {named}"])
        return Path(named)
    var = folder / given.get("var", variables.get(environment_name("var"), "var"))
    return next((file for file in (folder / FILE_NAME, var / FILE_NAME) if file.is_file()), None)


def _values(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: not TOML: {error}"]) from error
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error


def _add_default_feeds(values: dict[str, Any]) -> None:
    if "feeds" not in values:
        values["feeds"] = {name: dict(table) for name, table in DEFAULT_FEEDS.items()}
    elif isinstance(values["feeds"], dict):
        values["feeds"].setdefault("http", dict(DEFAULT_FEEDS["http"]))


def _override(
    values: dict[str, Any], sources: dict[str, str], given: Mapping[str, str], variables: Mapping[str, str]
) -> list[str]:
    """Put variables and arguments over the file's values; what names no setting is an error."""
    tables = {name: list(values[name]) for name in SettingsSchema.tables if isinstance(values.get(name), dict)}
    paths = {environment_name(path): path for path in leaves(tables)}
    errors = []
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS or not variables[name]:
            continue
        if name in paths:
            _put(values, paths[name], variables[name])
            sources[paths[name]] = name
        else:
            errors.append(f"{name}: names no setting{_nearest(name, paths)}")
    for path, value in given.items():
        _put(values, path, value)
        sources[path] = ARGUMENT
    return errors


def _put(values: dict[str, Any], path: str, value: str) -> None:
    *tables, key = path.split(".")
    table: Any = values
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):  # the schema says what is wrong with that
            return
    table[key] = value


def _nearest(name: str, known: Mapping[str, str]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _walk(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _flat(messages: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            # marshmallow speaks of a mapping's 'value' between its key and what is wrong there
            skipped = key in ("value", "key", "_schema") and prefix
            yield from _flat(inner, prefix if skipped else f"{prefix}.{key}".lstrip("."))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _flat(inner, prefix)
    else:
        yield prefix, str(messages)


def _settings(loaded: dict[str, Any], sources: Mapping[str, str], file: Path | None) -> Settings:
    base = file.parent if file is not None else Path()

    def place(path: str, value: str | None) -> Path | None:
        if value is None:
            return None
        return base / value if sources.get(path) == FILE else Path(value)

    zone, site = loaded["facility"]["zone"], loaded["mapping"]["site"] or ""
    refused = tuple(loaded["privacy"]["refused_documents"])
    feeds = {
        name: replace(_feed(name, table, zone, site), refused_documents=refused)
        for name, table in loaded["feeds"].items()
    }
    return Settings(
        var=place("var", loaded["var"]) or Path("var"),
        http=_http(loaded["http"], place),
        facility=_facility(loaded["facility"]),
        database=Database(loaded["database"]["url"] if loaded["database"]["engine"] == "postgresql" else None),
        feeds=feeds,
        mllp=tuple(
            MllpAddress(feeds[name], table["host"], table["port"], _tls(name, table["tls"], place))
            for name, table in loaded["feeds"].items()
            if table["port"] is not None
        ),
        destinations=tuple(
            Destination(
                name,
                table["base_url"].rstrip("/"),
                place(f"destinations.{name}.token_file", table["token_file"]),
                table["profile"],
            )
            for name, table in loaded["destinations"].items()
        ),
        mapping_folder=place("mapping.folder", loaded["mapping"]["folder"]),
        site=loaded["mapping"]["site"],
        token=loaded["token"],
        auth=_auth(loaded["auth"]),
        certificates=tuple(
            Certificate(name, table["subject"], table["role"], table["feed"], tuple(table["scopes"]))
            for name, table in loaded["certificates"].items()
        ),
        refused_documents=refused,
        sensitive_units=loaded["privacy"]["units"],
        sensitive_diagnoses=loaded["privacy"]["diagnoses"],
        consent_ages=loaded["privacy"]["minors"],
        report=tuple(
            Setting(path, _shown(path, value), sources.get(path, DEFAULT)) for path, value in sorted(_walk(loaded))
        ),
    )


def _facility(table: Mapping[str, Any]) -> Facility:
    precedence = dict.fromkeys((*table["precedence"], "gateway"))
    return Facility(**{**table, "precedence": tuple(precedence)})


def _http(table: Mapping[str, Any], place: Callable[[str, str | None], Path | None]) -> Http:
    tls = table["tls"]
    names = ("certificate", "key", "client_ca", "revoked")
    certificate, key, client_ca, revoked = (place(f"http.tls.{name}", tls[name]) for name in names)
    if certificate is None:
        return Http(table["host"], table["port"])
    files = Tls(certificate, key, client_ca, client_optional=True, revoked=revoked)
    return Http(table["host"], table["port"], HttpTls(tls["host"], tls["port"], files))


def _auth(table: Mapping[str, Any]) -> Auth | None:
    if table["issuer"] is None:
        return None
    return Auth(**{**table, "algorithms": tuple(table["algorithms"].split())})


def _feed(name: str, table: Mapping[str, Any], facility_zone: str, default_site: str) -> Feed:
    return Feed(
        name=name,
        zone=table["zone"] or facility_zone,
        charset=table["charset"],
        authority=table["authority"],
        site=table["site"] or default_site,
        source=table["source"],
        ack=AckMode(table["ack"]),
        on_storage_trouble=StorageTrouble(table["on_storage_trouble"]),
        ack_deadline=table["ack_deadline"],
        max_size=table["max_size"],
        silent_after=table["silent_after"],
        max_connections=table["max_connections"],
        idle_timeout=table["idle_timeout"],
        read_timeout=table["read_timeout"],
        types=tuple(table["types"]),
        facilities=tuple(table["facilities"]),
        authorities=tuple(table["authorities"]),
        park_limit=table["park_limit"],
        carries_protection=table["carries_protection"],
    )


def _tls(feed: str, table: Mapping[str, Any], place: Callable[[str, str | None], Path | None]) -> Tls | None:
    certificate, key, client_ca = (
        place(f"feeds.{feed}.tls.{name}", table[name]) for name in ("certificate", "key", "client_ca")
    )
    if certificate is None:
        return None
    return Tls(certificate, key, client_ca, tuple(table["client_subjects"]))


def _shown(path: str, value: Any) -> str:
    if value is None:
        return ""
    if path.rsplit(".", 1)[-1] in _SECRETS:
        return "***"
    text = ",".join(value) if isinstance(value, list) else str(value)
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", re.sub(r"(?<=://)[^/@]*@", "***@", text))
