"""serve and demo: which processes run, under one supervisor; and `_process`, `_sandbox`: those processes themselves."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_bridge import config
from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.serving import Child, FolderInUse, StartFailed, Supervisor, hold_folder, run_child
from fhir_bridge.wiring.logs import configure_logs
from fhir_bridge.wiring.processes import ALWAYS, PROCESSES, clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_bridge.config import Settings

_FHIR_PORT = 8090


def serve(arguments: argparse.Namespace) -> int:
    """Run the gateway until SIGTERM or SIGINT."""
    settings = load_settings(arguments)

    def on_ready(said: dict[str, str]) -> None:
        over_tls = f", {said['front']}" if "front" in said else ""
        print(f"fhir-bridge serves {said['web']}{over_tls} and MLLP {said['wire']}", flush=True)
        print(f"data: {settings.var}    first token: {settings.var / 'token'}", flush=True)

    names = (*ALWAYS, "front") if settings.http.tls is not None else ALWAYS
    return _supervise(settings.var, _gateway(None, names), on_ready)


def demo(arguments: argparse.Namespace) -> int:
    """Run the gateway on a demo's folder, beside the sandbox EHR."""
    from fhir_bridge.sandbox.demo import Demo, DemoRefusedError
    from fhir_bridge.sandbox.screen import Screen

    http, mllp, ehr = (
        _address(value, port)
        for value, port in ((arguments.http, 8080), (arguments.mllp, 2575), (arguments.ehr, _FHIR_PORT))
    )
    made = Demo(
        Path(arguments.var),
        host=http[0],
        http_port=http[1],
        mllp_port=mllp[1],
        fhir_port=ehr[1],
        seed=arguments.seed,
        patients=arguments.patients,
        seconds=arguments.seconds,
    )
    try:
        made.check()
        ehr_arguments = made.prepare(clock(), lambda: secrets.token_urlsafe(24))
    except DemoRefusedError as refusal:
        raise CommandFailed(str(refusal)) from refusal
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        del os.environ[name]  # a demo is what its own folder says
    os.environ["FHIR_BRIDGE_CONFIG"] = str((made.folder / "fhir-bridge.toml").absolute())
    logs = made.folder
    children = [
        *_gateway(logs),
        Child("ehr-fhir", _command("_sandbox", "fhir", *made.endpoint_arguments()), logs / "ehr-fhir.log"),
        Child("ehr", _command("_sandbox", "ehr", *ehr_arguments), logs / "ehr.log"),
    ]
    screen = Screen(made)
    try:
        return _supervise(made.folder, children, screen.on_ready, screen.on_tick)
    finally:
        screen.close()


def child(words: list[str]) -> int:
    """`_process NAME` and `_sandbox NAME …`: what the supervisor starts."""
    parser = argparse.ArgumentParser(f"fhir-bridge {words[0]}")
    parser.add_argument("name")
    parser.add_argument("--ready-fd", type=int, required=True)
    arguments, rest = parser.parse_known_args(words[1:])
    configure_logs()
    main: Callable[[Callable[[str], None]], None]
    if words[0] == "_process":
        process = PROCESSES[arguments.name]

        def main(ready: Callable[[str], None]) -> None:
            process(config.load(), ready)
    else:
        main = _sandbox(arguments.name, rest)
    return run_child(main, arguments.ready_fd)


def _sandbox(name: str, rest: list[str]) -> Callable[[Callable[[str], None]], None]:
    from fhir_bridge.sandbox import ehr, fhir_server

    if name == "ehr":
        return lambda ready: ehr.main(rest, clock, ready)

    def endpoint(ready: Callable[[str], None]) -> None:
        fhir_server.main(rest, ready)

    return endpoint


def _gateway(logs: Path | None, names: Iterable[str] = ALWAYS) -> list[Child]:
    return [Child(name, _command("_process", name), logs / f"{name}.log" if logs else None) for name in names]


def _command(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "fhir_bridge.cli", *words)


def _supervise(
    folder: Path,
    children: list[Child],
    on_ready: Callable[[dict[str, str]], None],
    on_tick: Callable[[], None] = lambda: None,
) -> int:
    configure_logs()
    try:
        lock = hold_folder(folder)
        Supervisor(children, on_ready=on_ready, on_tick=on_tick, keep=[lock]).run()
    except (FolderInUse, StartFailed) as failure:
        print(f"fhir-bridge: {failure}", file=sys.stderr)
        return FAILED
    return GOOD


def load_settings(arguments: argparse.Namespace) -> Settings:
    """The settings, command line over environment over file; children find the same in their environment."""
    given = {}
    if getattr(arguments, "var", None):
        given["var"] = str(Path(arguments.var).absolute())
    if getattr(arguments, "http", None):
        host, port = _address(arguments.http, 8080)
        given |= {"http.host": host, "http.port": str(port)}
    if getattr(arguments, "mllp", None):
        host, port = _address(arguments.mllp, 2575)
        given |= {"feeds.mllp.host": host, "feeds.mllp.port": str(port)}
    for path, value in given.items():
        os.environ[config.environment_name(path)] = value
    try:
        return config.load()
    except config.ConfigError as error:
        raise WrongCall("the settings cannot be used:\n  " + "\n  ".join(error.errors)) from error


def _address(text: str | None, default_port: int) -> tuple[str, int]:
    host, _, port = (text or "").rpartition(":")
    if not text:
        return "127.0.0.1", default_port
    if not port.isdigit() or int(port) > 65535:
        raise WrongCall(f"'{text}' is no HOST:PORT, for example 127.0.0.1:{default_port}")
    return host or "127.0.0.1", int(port)
