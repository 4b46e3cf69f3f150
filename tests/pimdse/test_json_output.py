"""--json: one object that says what it is, errors too; and one name means the same in every file and command."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pimcomp
from pimcomp.schedule import ScheduleOptions
from pimdse.cli import app, run
from tests.pimdse.small_chip import SMALL_SWEEP

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "file-formats.md").read_text(encoding="utf-8")
_CHIP = (
    SMALL_SWEEP
    + """\
  trials: 1
  solvers: [balance]
  pipelines: [batch]
  space: {cores: [16]}
"""
)
Object = dict[str, Any]
_PER_IMAGE = (
    *("latency_ns", "period_ns", "throughput_per_s", "energy_pj", "avg_power_mw"),
    *("bound_ns", "gap", "bound_period_ns", "gap_period", "order_bound_ns", "order_bound_period_ns"),
)


def _run(*words: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run(list(words))
    return status, out.getvalue(), err.getvalue()


def _said(*words: str) -> Object:
    status, out, err = _run(*words, "--json")
    assert status == 0, err
    found: Object = json.loads(out)
    return found


def _viewed(folder: str) -> Object:
    """What `view` says where no browser is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("webbrowser.open", lambda address: False)
        return _said("view", folder)


def _warmed() -> Object:
    """What `warmup` says when its helpers have nothing to do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pimdse.foundation.kernels_ahead.start", lambda *_: subprocess.Popen([sys.executable, "-c", ""]))
        return _said("warmup")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json")


@pytest.fixture(scope="module")
def commands(place: Path) -> dict[str, Object]:
    """What every command prints, about one batch program."""
    chip, out = str(place / "small.yaml"), str(place / "out")
    (place / "small.yaml").write_text(_CHIP)
    (place / "config.json").write_text('{"chip_config": {"core_cnt": 4}}')
    words = ["digits_mlp", "--arch", chip, "--pipeline", "batch"]
    saves = "evaluation,intermediate,verification"
    return {
        "compile": _said("compile", *words, "--solver", "balance", "--save", saves, "--out", out),
        "compare": _said("compare", *words, "--solvers", "balance"),
        "inspect": _said("inspect", "digits_mlp", "--arch", chip),
        "precision": _said("precision", "digits_mlp", "--bits", "8", "--out", str(place / "precision.yaml")),
        "verify": _said("verify", out),
        "simulate": _said("simulate", out),
        "trace": _said("trace", out),
        "map": _said("map", out),
        "sweep": _said("sweep", chip, "--out", str(place / "sweep"), "--no-verify"),
        "report": _said("report", str(place / "sweep")),
        "pick": _said("pick", str(place / "sweep")),
        "reproduce": _said("reproduce", out),
        "view": _viewed(out),
        "archs": _said("archs"),
        "models": _said("models"),
        "solvers": _said("solvers"),
        "warmup": _warmed(),
        "import-config": _said("import-config", str(place / "config.json")),
        "export-json": _said("export-json", "digits_mlp"),
        "config-schema": _said("config-schema"),
    }


@pytest.fixture(scope="module")
def files(commands: dict[str, Object], place: Path) -> dict[str, Object]:
    """The JSON files of the program."""
    names = ("report", "plan", "evaluation", "intermediate", "verification")
    found = {f"{name}.json": json.loads((place / "out" / f"{name}.json").read_text()) for name in names}
    return found | {"verified.json": json.loads((place / "sweep" / "pick" / "verified.json").read_text())}


@pytest.fixture(scope="module")
def figures(commands: dict[str, Object], files: dict[str, Object], place: Path) -> dict[str, Object]:
    """Where there are figures of the one program, by their origin."""
    with (place / "sweep" / "trials.csv").open() as file:
        trial = next(csv.DictReader(file))
    return {
        "report.json": files["report.json"],
        "evaluation.json": files["evaluation.json"],
        "compile": commands["compile"],
        "compare": commands["compare"]["rows"][0],
        "simulate": commands["simulate"]["prediction"],
        "sweep": commands["sweep"]["front"][0],
        "pick": commands["pick"]["programs"][0],
        "trials.csv": {k: float(v) if re.fullmatch(r"[\d.e-]+", v) else v for k, v in trial.items()},
    }


def test_every_command_prints_an_object_of_its_documented_form(commands: dict[str, Object]) -> None:
    registered = {str(c.name or getattr(c.callback, "__name__", "")) for c in app.registered_commands}
    documented = _table("What `--json` prints")
    assert registered == commands.keys() == {name for names, _ in documented for name in names}
    keys = {name: set(cell) for names, cell in documented for name in names}
    for name, said in commands.items():
        assert said["schema"] == f"pimdse.{name}/1"
        if name != "compile":  # those of report.json, below
            assert said.keys() - {"schema"} <= keys[name], f"keys of {name}"


def test_every_file_says_its_form(files: dict[str, Object]) -> None:
    for name, content in files.items():
        assert content["schema"] == f"pimdse.{name}/1"


def test_times_and_energies_are_per_image_everywhere(figures: dict[str, Object], place: Path) -> None:
    report = figures["report.json"]
    model = pimcomp.compile_model("digits_mlp", place / "small.yaml", pipeline="batch", solver="balance")
    four = pimcomp.compile_model(
        "digits_mlp",
        place / "small.yaml",
        pipeline="batch",
        solver="balance",
        options=ScheduleOptions(images_per_round=4),
    )
    assert four.simulate().period_ns_per_round == pytest.approx(4 * four.period_ns)
    assert four.period_ns < 2 * model.period_ns
    assert (model.latency_ns, model.period_ns) == (report["latency_ns"], report["period_ns"])
    assert model.energy_pj == pytest.approx(report["energy_pj"])
    for origin, said in figures.items():
        assert {"latency_ns", "period_ns"} <= said.keys()
        for name in (*_PER_IMAGE, "instructions_per_round", "images_per_round", "local_peak_bytes"):
            if name in said:
                assert said[name] == pytest.approx(report[name]), f"{name} of {origin}"
    assert report["period_ns"] == pytest.approx(1e9 / report["throughput_per_s"])
    assert sum(report["energy_by_pj"].values()) == pytest.approx(report["energy_pj"])


def test_an_area_without_an_anchor_is_marked(commands: dict[str, Object], figures: dict[str, Object]) -> None:
    for origin in ("compile", "report.json"):
        assert figures[origin]["area_mm2"] > 0
        assert figures[origin]["area_is_modelled"]
    modelled = {a["name"]: a["area_is_modelled"] for a in commands["archs"]["archs"]}
    assert modelled["pimcomp_default"]
    assert not modelled["isaac"]


def test_every_figure_has_a_line_in_the_documentation(
    commands: dict[str, Object], files: dict[str, Object], figures: dict[str, Object]
) -> None:
    documented = {name for names, _ in _table("Figures") for name in names}
    printed = [said for name, said in commands.items() if name != "config-schema"]  # that has a chip's keys
    named = {k for said in (*printed, *files.values(), figures["trials.csv"]) for k in _keys(said)}
    found = {key.partition("@")[0] for key in named if re.search(r"_(ns|pj|mw|mm2|bytes|per_s|round)$", key)}
    assert found - {"local_memory_bytes"} <= documented
    assert {"period_ns", "area_mm2", "instructions_per_round", "spilled_bytes_per_round"} <= found
    assert "instructions" not in named


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["compile", "missing.onnx"], {"kind": "ModelError"}),
        (["inspect", "missing.onnx"], {"kind": "ModelError"}),
        (["compare", "digits_mlp", "--solvers", "magic"], {"kind": "ConfigError", "field": "--solvers"}),
        (["precision", "digits_mlp", "--bits", "1"], {"kind": "ConfigError", "field": "--bits"}),
        (["verify", "missing.onnx"], {"kind": "ModelError"}),
        (["simulate", "no_folder"], {"kind": "OutputError"}),
        (["trace", "no_folder"], {"kind": "OutputError"}),
        (["map", "no_folder"], {"kind": "OutputError"}),
        (["sweep", "typo.yaml"], {"kind": "ConfigError", "file": "typo.yaml"}),
        (["report", "no_folder"], {"kind": "OutputError"}),
        (["pick", "no_folder"], {"kind": "OutputError"}),
        (["reproduce", "no_folder"], {"kind": "OutputError"}),
        (["import-config", "missing.json"], {"kind": "ConfigError"}),
        (["export-json", "missing.json"], {"kind": "ModelError"}),
        (["compile", "digits_mlp", "--arch", "tiny.yaml"], {"kind": "CapacityError", "supply": 1}),
        (["compile", "digits_mlp", "--fast"], {"kind": "UsageError"}),
        (["compile"], {"kind": "UsageError"}),
        (["archs", "--seed"], {"kind": "UsageError"}),
        (["models", "x"], {"kind": "UsageError"}),
        (["solvers", "x"], {"kind": "ConfigError", "field": "NAME"}),
        (["view", "no_folder"], {"kind": "OutputError"}),
        (["no_command"], {"kind": "UsageError"}),
    ],
)
def test_an_error_is_an_object_too(
    words: list[str], error: Object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "typo.yaml").write_text("name: typo\nchip: {coers: 4}\n")
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\nchip: {cores: 1, crossbars_per_core: 1}\n" + _CHIP[_CHIP.index("crossbar:") :]
    )
    status, out, err = _run("--json", *words)
    found = json.loads(out)
    assert (status, found.keys(), found["schema"]) == (2, {"schema", "error"}, "pimdse.error/1")
    assert found["error"].items() >= error.items()
    assert found["error"]["message"]
    assert (status, "", err) == _run(*words)


def test_unsupported_nodes_are_listed(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    shape = [1, 2, 4, 4]
    node = helper.make_node("Exp", ["x"], ["y"], name="growth")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy"]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "exp.onnx"
    )
    status, out, _ = _run("--json", "inspect", str(tmp_path / "exp.onnx"))
    assert status == 2
    error = json.loads(out)["error"]
    assert error["kind"] == "UnsupportedOp"
    assert [(o["node"], o["op"]) for o in error["offenders"]] == [("growth", "Exp")]


def test_a_mismatch_is_a_result_with_an_error(commands: dict[str, Object], place: Path) -> None:
    folder = place / "changed"
    folder.mkdir()
    for file in (place / "out").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "report.json").write_text(json.dumps(json.loads((folder / "report.json").read_text())))
    status, out, _ = _run("--json", "reproduce", str(folder))
    found = json.loads(out)
    assert (status, found["schema"], found["different"]) == (1, "pimdse.reproduce/1", ["report.json"])
    assert found["error"]["kind"] == "Mismatch"
    with np.load(folder / "memory.npz") as archive:
        arrays = dict(archive)
    name = next(n for n in sorted(arrays) if "_group" in n or n.startswith("matrix_"))
    np.savez(folder / "memory.npz", **{**arrays, name: arrays[name] + np.float32(0.1)})
    status, out, _ = _run("--json", "verify", str(folder))
    found = json.loads(out)
    assert (status, found["schema"], found["passed"]) == (1, "pimdse.verify/1", False)
    assert (found["error"]["kind"], found["error"]["message"]) == ("Mismatch", found["reason"])


def _table(section: str) -> list[tuple[list[str], list[str]]]:
    """Names in the first cell of every row of a section's table, and names in the other cells."""
    lines = _DOCUMENT.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return [(re.findall(r"`([\w-]+)`", row[0]), re.findall(r"`([\w-]+)`", " ".join(row[1:]))) for row in rows]


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
