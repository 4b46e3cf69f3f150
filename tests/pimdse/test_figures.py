"""One name, one meaning: the same figure of a batch program in every file, every --json and the library."""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import pimcomp
from pimdse.cli import run

_DOCUMENT = Path(__file__).parents[2] / "docs" / "file-formats.md"
_CHIP = """
name: small
chip: {cores: 16, crossbars_per_core: 8}
crossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}}
core: {rob_size: 1}
sweep:
  model: digits_mlp
  trials: 1
  solvers: [balance]
  pipelines: [batch]
  space: {cores: [16]}
"""
Object = dict[str, object]
_PER_IMAGE = (
    *("latency_ns", "period_ns", "throughput_per_s", "energy_pj", "avg_power_mw"),
    *("bound_ns", "gap", "bound_period_ns", "gap_period"),
)


def _said(*words: str) -> Object:
    text = StringIO()
    with redirect_stdout(text):
        assert run([*words, "--json"]) == 0
    found: Object = json.loads(text.getvalue())
    return found


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Object]:
    """What every command and file says of one batch program, by its origin."""
    folder = tmp_path_factory.mktemp("figures")
    chip, out = str(folder / "small.yaml"), str(folder / "out")
    (folder / "small.yaml").write_text(_CHIP)
    words = ["digits_mlp", "--arch", chip, "--pipeline", "batch"]
    compiled = _said("compile", *words, "--solver", "balance", "--save", "evaluation", "--out", out)
    compared = _said("compare", *words, "--solvers", "balance")["rows"]
    swept = _said("sweep", chip, "--out", str(folder / "sweep"), "--no-verify")
    assert isinstance(compared, list)
    assert isinstance(swept["front"], list)
    with (folder / "sweep" / "trials.csv").open() as file:
        trial = next(csv.DictReader(file))
    simulated = _said("simulate", out)
    assert isinstance(simulated["prediction"], dict)
    return {
        "compile": compiled,
        "report.json": json.loads((folder / "out" / "report.json").read_text()),
        "evaluation.json": json.loads((folder / "out" / "evaluation.json").read_text()),
        "compare": compared[0],
        "simulate": simulated["prediction"],
        "all of simulate": simulated,
        "sweep": swept["front"][0],
        "trials.csv": {name: json.loads(text) if re.match(r"[\d.-]+$", text) else text for name, text in trial.items()},
        "map": _said("map", out),
        "inspect": _said("inspect", "digits_mlp", "--arch", chip),
        "archs": _said("archs"),
        "chip": {"file": chip},
    }


def test_times_and_energies_are_per_image_everywhere(outputs: dict[str, Object]) -> None:
    report = outputs["report.json"]
    images = report["images_per_round"]
    assert isinstance(images, int)
    assert images > 1
    model = pimcomp.compile_model("digits_mlp", str(outputs["chip"]["file"]), pipeline="batch", solver="balance")
    assert model.simulate().period_ns_per_round == pytest.approx(images * model.period_ns)
    assert (model.latency_ns, model.period_ns) == (report["latency_ns"], report["period_ns"])
    assert model.energy_pj == pytest.approx(report["energy_pj"])
    assert report["period_ns"] == pytest.approx(1e9 / float(str(report["throughput_per_s"])))
    for origin in ("compile", "compare", "simulate", "sweep", "trials.csv", "evaluation.json"):
        said = outputs[origin]
        for name in (*_PER_IMAGE, "instructions_per_round", "images_per_round", "local_peak_bytes"):
            if name in said:
                assert said[name] == pytest.approx(report[name]), f"{name} of {origin}"
        assert {"latency_ns", "period_ns"} <= said.keys()
    by_part = report["energy_by_pj"]
    assert isinstance(by_part, dict)
    assert sum(by_part.values()) == pytest.approx(report["energy_pj"])


def test_what_is_not_known_is_null_or_empty(outputs: dict[str, Object]) -> None:
    for origin in ("compile", "report.json", "sweep"):
        assert outputs[origin]["area_mm2"] is None
    assert outputs["trials.csv"]["area_mm2"] == ""
    archs = outputs["archs"]["archs"]
    assert isinstance(archs, list)
    area = {a["name"]: a["area_mm2"] for a in archs}
    assert area["isaac"] > 0
    assert area["pimcomp_default"] is None


def test_every_figure_has_a_line_in_the_documentation(outputs: dict[str, Object]) -> None:
    section = _DOCUMENT.read_text(encoding="utf-8").partition("\n## Figures\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    names = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    named = {key for said in outputs.values() for key in _keys(said)}
    figures = {key.partition("@")[0] for key in named if re.search(r"_(ns|pj|mw|mm2|bytes|per_s|round)$", key)}
    of_the_chip = {"local_memory_bytes"}
    assert figures - of_the_chip <= names
    assert {"period_ns", "area_mm2", "instructions_per_round", "spilled_bytes_per_round"} <= figures
    assert "instructions" not in named


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
