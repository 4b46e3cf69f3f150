"""JSON Schema of a chip's YAML file and its `sweep:` section, for editors: `python -m pimdse.sweep.schema FILE`.

The models that check the files make it. An editor says less than they do: rules between keys are not in it.
"""

import json
import sys
from pathlib import Path

from pimcomp.config.schema import ChipDocument
from solvers import SOLVER_NAMES
from spaces.sweep_file import section_schema

FILE = "chip.schema.json"
_OURS = ("arch", "expected")  # of our own messages and pages


def chip_schema() -> dict[str, object]:
    """The schema as plain data (JSON Schema 2020-12)."""
    schema = ChipDocument.model_json_schema()
    crossbars = schema["$defs"]["ChipSection"]["properties"]["crossbars_per_core"]
    integer = {key: crossbars.pop(key) for key in ("type", "minimum", "maximum")}
    grid = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2}
    crossbars["anyOf"] = [integer, grid]
    bits = schema["$defs"]["AdcSection"]["properties"]["bits"]
    integer = {key: bits.pop(key) for key in ("type", "minimum", "maximum")}
    bits["anyOf"] = [integer | {"minimum": 1}, {"const": "auto"}]
    sweep = section_schema(SOLVER_NAMES)
    schema["$defs"] |= sweep.pop("$defs")
    schema["properties"]["sweep"] |= {"anyOf": [sweep, {"type": "null"}]}
    cleaned = _without_ours(schema)
    assert isinstance(cleaned, dict)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **cleaned}


def schema_text() -> str:
    """The schema's file."""
    return json.dumps(chip_schema(), indent=1, ensure_ascii=False) + "\n"


def _without_ours(value: object, *, names: bool = False) -> object:
    """Without the keywords that only we know. names: the keys are names of properties, not keywords."""
    if isinstance(value, list):
        return [_without_ours(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_ours(inner, names=key in ("properties", "$defs") and not names)
        for key, inner in value.items()
        if names or key not in _OURS
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")
