"""The command line: exit statuses, messages without tracebacks, JSON, and the path compile, verify, simulate."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pimdse.cli import hoist_global_flags, run

_ROOT = Path(__file__).parents[2]
_HEAVY = (
    "numpy",
    "numba",
    "onnx",
    "onnxruntime",
    "ortools",
    "pymoo",
    "optuna",
    "pydantic",
    "matplotlib",
    "yaml",
)


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    status = run([*words, "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    found: dict[str, object] = json.loads(captured.out)
    return found


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pimdse.cli import run; status = run(['--help']);"
        f"print([m for m in {_HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    for command in (
        "compile",
        "verify",
        "simulate",
        "inspect",
        "compare",
        "precision",
        "sweep",
        "report",
        "pick",
        "archs",
        "models",
        "solvers",
    ):
        assert re.search(rf"\b{command}\b", done.stdout)


@pytest.mark.parametrize(
    "command", ["compile", "verify", "simulate", "inspect", "compare", "precision", "sweep", "pick"]
)
def test_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"pimdse {command} " in capsys.readouterr().out


def test_global_flags_may_stand_anywhere() -> None:
    assert hoist_global_flags(["solvers", "--json"]) == ["--json", "solvers"]
    assert hoist_global_flags(["-q", "verify", "x"]) == ["-q", "verify", "x"]
    assert hoist_global_flags(["inspect", "--", "--json"]) == ["inspect", "--", "--json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compile", "no_such_network"], "no_such_network: neither a file nor a shipped network"),
        (["compile", "missing.onnx"], "missing.onnx: no such file"),
        (["compile", "digits_mlp", "--arch", "isaak"], "did you mean 'isaac'?"),
        (["compile", "digits_mlp", "--pipeline", "stream"], "--pipeline: expected element or batch, found 'stream'"),
        (["compile", "digits_mlp", "--solver", "magic"], "--solver: expected one of balance, uniform"),
        (["compile", "digits_mlp", "--set", "speed=9"], "--set speed=9: expected NAME=VALUE with NAME one of"),
        (["compile", "digits_mlp", "--set", "orders=x"], "--set orders=x: expected int behind '=', found 'x'"),
        (["simulate", "no/such/folder"], "no/such/folder: no such folder"),
        (["report", "no/such/folder"], "no sweep is stored there"),
        (["pick", "no/such/folder"], "no sweep is stored there"),
        (["sweep", "no_such.yaml"], "no such file, and no shipped chip has this name"),
        (["import-config", "no_such.json"], "no such file"),
    ],
)
def test_wrong_input_is_a_message_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_unknown_option_is_status_2() -> None:
    assert run(["compile", "digits_mlp", "--fast"]) == 2


def test_unwritable_output_is_told_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["compile", "digits_mlp", "--out", str(tmp_path / "file" / "out")]) == 2
    assert "is a file, expected a folder" in capsys.readouterr().err


def test_catalogues(capsys: pytest.CaptureFixture[str]) -> None:
    archs = _json(capsys, "archs")["archs"]
    assert isinstance(archs, list)
    assert next(a for a in archs if a["name"] == "isaac")["crossbars"] == 168 * 96
    models = _json(capsys, "models")["models"]
    assert isinstance(models, list)
    assert {"squeezenet1_1", "resnet18", "digits_mlp"} <= {m["name"] for m in models}
    solvers = _json(capsys, "solvers")["solvers"]
    assert isinstance(solvers, list)
    assert {"balance", "uniform", "W0H0"} <= {s["name"] for s in solvers}


def test_inspect_counts_parameters_and_crossbars(capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "inspect", "digits_mlp", "--arch", "pimcomp_default")
    assert found["parameters"] == sum(n["parameters"] for n in found["nodes"])  # type: ignore[attr-defined]
    assert len(found["layers"]) == 3  # type: ignore[arg-type]
    assert run(["inspect", "digits_mlp", "--arch", "pimcomp_default"]) == 0
    said = capsys.readouterr().out
    assert "one replica of every layer takes" in said
    assert "at best" not in said


def test_inspect_proves_what_compile_proves(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads((compiled / "report.json").read_text())
    found = _json(capsys, "inspect", "digits_mlp", "--arch", "pimcomp_default")
    assert (found["bound_ns"], found["bound_period_ns"]) == (report["bound_ns"], report["bound_period_ns"])
    assert report["bound_ns"] <= report["latency_ns"]


def test_an_energy_says_what_it_leaves_out(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIMSIM_NN", raising=False)
    said = "energy without local memory, global memory, vector, front end"
    out, chip = str(tmp_path / "out"), ["--arch", "pimcomp_default"]
    assert run(["compile", "digits_mlp", *chip, "--solver", "balance", "--out", out]) == 0
    assert said in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["energy_not_counted"] == ["local_memory", "global_memory", "vector", "front_end"]
    assert all(report["energy_by_pj"][name] == 0 for name in report["energy_not_counted"])
    assert run(["simulate", out]) == 0
    assert said in capsys.readouterr().out
    assert run(["compare", "digits_mlp", *chip, "--solvers", "balance", "-p", "element"]) == 0
    assert said in capsys.readouterr().out


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled") / "mlp"
    assert run(["-q", "compile", "digits_mlp", "--out", str(folder)]) == 0
    return folder


def test_compile_twice_gives_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert run(["-q", "compile", "digits_mlp", "--out", str(again)]) == 0
    names = sorted(p.name for p in compiled.iterdir())
    assert {"program.gz", "config.json", "network.json", "memory.npz", "report.json", "manifest.yaml"} <= set(names)
    assert names == sorted(p.name for p in again.iterdir())
    assert [n for n in names if (compiled / n).read_bytes() != (again / n).read_bytes()] == []


def test_compile_reports_figures_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    found = _json(capsys, "compile", "digits_mlp", "--pipeline", "batch", "--out", str(folder))
    assert found["pipeline"] == "batch"
    assert float(found["latency_ns"]) > 0  # type: ignore[arg-type]
    assert int(found["crossbars_used"]) <= int(found["crossbars"])  # type: ignore[call-overload]
    manifest = (folder / "manifest.yaml").read_text()
    assert "command: pimdse compile digits_mlp --arch pimcomp_default" in manifest
    assert str(tmp_path) not in manifest


def test_compiled_folder_verifies(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "verify", str(compiled))
    assert found["passed"] is True
    assert run(["verify", str(compiled)]) == 0
    assert "every output equals onnxruntime" in capsys.readouterr().out


def test_verify_takes_images_from_a_file(compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).random((5, 1, 8, 8))
    np.save(tmp_path / "images.npy", images)
    assert _json(capsys, "verify", str(compiled), "--input", str(tmp_path / "images.npy"))["images"] == 5
    np.save(tmp_path / "wrong.npy", images[:, :, :7])
    assert run(["verify", str(compiled), "--input", str(tmp_path / "wrong.npy")]) == 2
    assert "expected images of 1 x 8 x 8, found 5 x 1 x 7 x 8" in capsys.readouterr().err


def test_wrong_weights_are_a_mismatch_and_status_1(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(compiled, broken)
    with np.load(compiled / "memory.npz") as archive:
        arrays = dict(archive)
    name = next(n for n in sorted(arrays) if "_group" in n or n.startswith("matrix_"))
    arrays[name] = arrays[name] + np.float32(0.1)
    np.savez(broken / "memory.npz", **arrays)
    assert run(["verify", str(broken)]) == 1
    assert "mismatch" in capsys.readouterr().out


def test_simulate_compares_with_the_simulators_report(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIMSIM_NN", raising=False)
    ours = _json(capsys, "simulate", str(compiled))["ours"]
    assert isinstance(ours, dict)
    report = json.loads((compiled / "report.json").read_text())
    assert ours["latency_ns"] == report["latency_ns"]
    assert ours["energy_pj"] == pytest.approx(report["energy_pj"])
    fake = tmp_path / "ChipTest"
    lines = "".join(f"core: {core} finish\\n" for core in range(200))
    figures = "  - latency: 1 ms\\n  - average power: 2 mW\\n  - average energy: 3 pJ\\n"
    fake.write_text(f"#!/bin/sh\nprintf '{lines}Simulation Report\\n{figures}'\n")
    fake.chmod(0o755)
    found = _json(capsys, "simulate", str(compiled), "--pimsim", str(fake))
    assert found["theirs"] == {"latency_ns": 1e6, "avg_power_mw": 2.0, "energy_pj": 3.0}
    difference = found["relative_difference"]
    assert isinstance(difference, dict)
    assert difference["latency_ns"] == pytest.approx(report["latency_ns"] / 1e6 - 1)


def test_config_and_network_convert_to_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-q", "export-json", "digits_mlp", "--out", str(tmp_path / "mlp.json")]) == 0
    nodes = json.loads((tmp_path / "mlp.json").read_text())["node_list"]
    assert [n["operation"] for n in nodes].count("OP_FC") == 3
    config = {"chip_config": {"core_cnt": 4, "core_config": {"matrix_config": {"xbar_array_count": 8}}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    chip = tmp_path / "chip.yaml"
    assert run(["-q", "import-config", str(tmp_path / "config.json"), "--out", str(chip)]) == 0
    assert _json(capsys, "inspect", "digits_mlp", "--arch", str(chip))["crossbars"] == 32
