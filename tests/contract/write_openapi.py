"""Writes openapi.yaml anew, after a route or a schema changed: ``python -m tests.contract.write_openapi``."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

from fhir_bridge.web import write_openapi
from tests.gateway_world import make_world

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        write_openapi(world.app, Path(__file__).parents[2] / "openapi.yaml")
        world.close()
