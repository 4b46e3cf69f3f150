"""The JSON Schema of chips: current, true of every shipped chip, and of use."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pimcomp.config import list_archs, load_yaml
from pimcomp.foundation.data_files import data_dir
from pimdse.cli import run
from pimdse.sweep.schema import FILE, chip_schema, schema_text

CONFIGS = data_dir("configs")


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(chip_schema())
    return jsonschema.Draft202012Validator(chip_schema())


def test_the_shipped_schema_is_the_one_that_the_models_give() -> None:
    # As data: an older pydantic writes 1e9 as 1000000000.0.
    assert json.loads((CONFIGS / FILE).read_text(encoding="utf-8")) == json.loads(schema_text()), "run `make docs`"


@pytest.mark.parametrize("name", list_archs())
def test_shipped_chips_keep_the_schema_and_name_it(name: str, validator: Any) -> None:
    path = CONFIGS / f"{name}.yaml"
    assert path.read_text().startswith(f"# yaml-language-server: $schema={FILE}\n")
    validator.validate(load_yaml(path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("chip", "coers"), 4),
        (("chip", "crossbars_per_core"), [12, 8, 2]),
        (("crossbar", "rows"), "128"),
        (("crossbar", "adc", "count"), 0),
        (("noc", "interconnect"), "ring"),
        (("sweep", "sampler"), "luck"),
        (("sweep", "space", "coers"), [1, 2]),
        (("sweep", "space", "cores"), {"low": 1}),
        (("sweep", "limits", "crossbars"), {"most": 3}),
        (("sweep", "pipelines"), ["elements"]),
        (("sweep", "objectives"), ["latency_ns"]),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_what_the_reader_refuses_an_editor_marks(path: tuple[str, ...], value: object, validator: Any) -> None:
    document = copy.deepcopy(load_yaml(CONFIGS / "isaac.yaml"))
    section: Any = document
    for key in path[:-1]:
        section = section.setdefault(key, {})
    section[path[-1]] = value
    assert not validator.is_valid(document)


def test_forms_that_the_reader_takes_are_not_marked(validator: Any) -> None:
    document: Any = copy.deepcopy(load_yaml(CONFIGS / "isaac.yaml"))
    document["chip"]["crossbars_per_core"] = 96
    del document["sweep"]["model"]
    document["sweep"] |= {
        "models": ["resnet18", {"model": "my.onnx", "weights": "random:1"}],
        "solvers": ["GA:iterations=9"],
    }
    document["sweep"] |= {"objectives": ["latency_ns@my", "area"], "limits": {"local_memory_bytes": {"max": 1e5}}}
    validator.validate(document)


def test_the_schema_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config-schema"]) == 0
    assert capsys.readouterr().out == schema_text()
    assert run(["config-schema", "--out", str(tmp_path / "s.json"), "--json"]) == 0
    assert json.loads((tmp_path / "s.json").read_text()) == chip_schema()
