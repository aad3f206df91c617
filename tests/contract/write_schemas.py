"""Writes mappings/schema/*.schema.json, the JSON Schemas by which editors complete and check mapping files.

python -m tests.contract.write_schemas
"""

import json
from pathlib import Path
from typing import Any

from fhir_bridge.mapping import schema as of_mappings
from fhir_bridge.tasks import schema as of_rules

FOLDER = Path(__file__).parents[2] / "mappings" / "schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its file."""
    every = of_mappings.schemas() | of_rules.schemas()
    return {f"{kind}.schema.json": schema for kind, schema in every.items()}


def text(schema: dict[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / name).write_text(text(schema), encoding="utf-8")
