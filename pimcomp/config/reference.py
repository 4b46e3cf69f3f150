"""docs/config-reference.md, made from the schema: `python -m pimcomp.config.reference FILE` (or `make docs`)."""

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pimcomp.config.fields import arch_name
from pimcomp.config.schema import ChipDocument
from pimcomp.config.validation import expected_text, submodel

HEAD = """# Chip description: every key

Made from `pimcomp/config/schema.py` by `make docs`; do not edit. A chip is a YAML file; `configs/` has ten. Unknown
keys, wrong types and values out of range are errors that name the file and the key. No number is above 1,000,000,000,
unless its row says so. Numbers with an exponent are numbers (`1e-3`), duplicate keys and aliases are refused. The last
column is the field of `Arch` (`pimcomp/ir/arch.py`), which is also the parameter's name in a sweep.

For editors there is a JSON Schema of the whole file, `configs/chip.schema.json`, which `pimdse config-schema` prints.
With `# yaml-language-server: $schema=chip.schema.json` as its first line, a chip beside it is checked and completed.

The simulator's `config.json` (PIMCOMP-NN, pimsim-nn) is read as it is wherever a chip is expected;
`pimdse import-config config.json` turns it into this format.
"""


def reference_text() -> str:
    """The page's text."""
    return HEAD + "".join(_sections(ChipDocument, ""))


def _sections(model: type[BaseModel], path: str) -> Iterator[str]:
    """Heading and table of a section, then those of the sections inside it."""
    inner = {name: m for name, field in model.model_fields.items() if (m := submodel(field.annotation))}
    heading = f"\n## {f'`{path}`' if path else 'The file'}\n\n{model.__doc__}\n"
    rows = [_row(model, name, field) for name, field in model.model_fields.items() if name not in inner]
    table = "\n| key | value | default | meaning | Arch |\n|---|---|---|---|---|\n" + "".join(rows) if rows else ""
    paths = {name: f"{path}.{name}".lstrip(".") for name in inner}
    links = f"\nSections: {', '.join(f'`{p}`' for p in paths.values())}\n" if inner else ""
    yield heading + table + links
    for name, section in inner.items():
        yield from _sections(section, paths[name])


def _row(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    expected = expected_text(field) or "anything"
    default = "required" if field.is_required() else "" if field.default in ("", None) else f"`{_yaml(field.default)}`"
    arch = arch_name(model, name)
    return f"| `{name}` | {expected} | {default} | {field.description} | {f'`{arch}`' if arch else ''} |\n"


def _yaml(value: object) -> str:
    """A default as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_text(), encoding="utf-8")
