"""pimdse as a library: the public names, and the example scripts of the documentation.

Covers: /pimdse/api.
"""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import onnx
import pytest

import pimcomp
from pimcomp.config import load_arch
from pimcomp.frontend.load_network import locate as pimcomp_model
from pimdse.cli import run
from pimdse.display.html_table import records_html
from solvers import get_solver
from tests.pimdse.small_chip import SMALL_SWEEP

ROOT = Path(__file__).parents[1]


def example(name: str, folder: Path) -> list[str]:
    """The lines that an example prints, run in an empty folder."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "examples" / name)],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_every_public_name_is_there_and_documented() -> None:
    assert dir(pimcomp) == sorted(pimcomp.__all__)
    assert pimcomp.__version__ == version("pimdse")
    assert set(pimcomp.archs()) >= {"isaac", "puma"}
    for name in pimcomp.__all__:
        assert getattr(pimcomp, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'compile_modle'"):
        getattr(pimcomp, "compile_modle")  # noqa: B009  the type checker would find it


def test_compile_simulate_verify_write(tmp_path: Path) -> None:
    program = pimcomp.compile_model("digits_mlp", load_arch("pimcomp_default"), pipeline="batch", solver="balance")
    assert program.period_ns <= program.latency_ns
    assert program.period_ns == program.simulate().period_ns_per_round / program.compiled.program.images_per_round
    assert program.simulate(rob_size=8).latency_ns <= program.latency_ns
    assert program.verify(images=2).passed
    report = program.write(tmp_path / "out", save=["evaluation"])
    assert report.latency_ns == program.latency_ns
    assert (tmp_path / "out" / "evaluation.json").exists()
    assert pimcomp.verify_folder(tmp_path / "out", "digits_mlp", images=1).passed
    assert pimcomp.verify_folder(tmp_path / "out", images=1).passed


def test_a_solver_object_and_mistakes() -> None:
    assert pimcomp.compile_model("digits_mlp", solver=get_solver("uniform")).latency_ns > 0
    with pytest.raises(pimcomp.PimdseError, match="did you mean 'element'"):
        pimcomp.compile_model("digits_mlp", pipeline="elment")
    with pytest.raises(pimcomp.PimdseError, match="did you mean 'balance'"):
        pimcomp.compile_model("digits_mlp", solver="balanc")
    with pytest.raises(pimcomp.PimdseError, match="neither a file nor a shipped network"):
        pimcomp.compile_model("digits")


@pytest.fixture(scope="module")
def program() -> pimcomp.CompiledModel:
    return pimcomp.compile_model("digits_mlp", "isaac", solver="balance")


def reachable(value: object, depth: int = 4) -> Iterator[object]:
    """A dataclass and the dataclasses in it, in its lists too."""
    if dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value) if depth else ():
            inner = getattr(value, field.name)
            for item in inner if isinstance(inner, tuple) else (inner,):
                yield from reachable(item, depth - 1)


def test_everything_in_a_compiled_model_shows_itself_in_a_few_lines(program: pimcomp.CompiledModel) -> None:
    values = [*reachable(program), program.report(), program.simulate(), *pimcomp.solvers(), *pimcomp.models()]
    assert len({type(v) for v in values}) > 20
    assert {type(v).__name__: len(repr(v)) for v in values if len(repr(v)) > 1000} == {}
    assert len(repr(program)) < 200
    assert "digits_mlp on isaac" in repr(program)
    assert {
        name: len(repr(arch)) for name in pimcomp.archs() if len(repr(arch := pimcomp.load_arch(name))) > 1500
    } == {}


def test_a_notebook_shows_tables_and_no_markup_of_a_file(program: pimcomp.CompiledModel) -> None:
    assert "<td>6.36 us</td>" in program._repr_html_()
    built = program.built
    named = dataclasses.replace(built.compiled.provenance, model="<img src=x onerror=alert(1)>")
    compiled = dataclasses.replace(built.compiled, provenance=named)
    hostile = pimcomp.CompiledModel(dataclasses.replace(built, compiled=compiled))
    assert "<img" not in hostile._repr_html_()
    assert "&lt;img" in hostile._repr_html_()
    assert records_html([{"trial": n, "<b>": "<i>", "nothing": None} for n in range(30)]).count("<tr>") == 21


def test_a_model_in_memory_compiles_as_its_file_does(tmp_path: Path) -> None:
    path = pimcomp_model("digits_mlp")
    model = onnx.load(path)
    before = model.SerializeToString()
    from_memory = pimcomp.compile_model(model, "isaac", solver="balance")
    assert model.SerializeToString() == before
    assert from_memory.latency_ns == pimcomp.compile_model(path, "isaac", solver="balance").latency_ns
    assert from_memory.verify(images=1).passed
    from_memory.write(tmp_path / "out")
    assert pimcomp.verify_folder(tmp_path / "out", model, images=1).passed
    with pytest.raises(pimcomp.PimdseError, match=r"expected a path, .* or an onnx\.ModelProto, found bytes"):
        pimcomp.load_network(before)
    onnx.external_data_helper.convert_model_to_external_data(model, size_threshold=0)
    onnx.save(model, tmp_path / "outside.onnx")
    with pytest.raises(pimcomp.PimdseError, match="are in a file"):
        pimcomp.load_network(onnx.load(tmp_path / "outside.onnx", load_external_data=False))


def test_what_the_library_writes_can_be_made_again(program: pimcomp.CompiledModel, tmp_path: Path) -> None:
    program.write(tmp_path / "out")
    assert run(["-q", "reproduce", str(tmp_path / "out"), "--out", str(tmp_path / "again")]) == 0


def test_solvers_are_compared(program: pimcomp.CompiledModel) -> None:
    found = pimcomp.compare("digits_mlp", "isaac", solvers=["balance", "uniform"])
    assert [row["solver"] for row in found.table()] == ["balance", "uniform"]
    assert found.rows[0].timeline_ns == program.latency_ns
    assert "<td>uniform</td>" in found._repr_html_()
    assert repr(found).startswith("Comparison(balance 6.36 us, ")
    with pytest.raises(pimcomp.PimdseError, match="did you mean 'balance'"):
        pimcomp.compare("digits_mlp", solvers=["balanse"])


CHIP_WITH_A_SWEEP = (
    SMALL_SWEEP
    + """\
  solvers: [balance]
  pipelines: [element]
  space: {cores: [8, 16], bus_width_bytes: [16, 32]}
"""
)


def test_a_sweep_and_its_best(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CHIP_WITH_A_SWEEP)
    found = pimcomp.sweep(tmp_path / "small.yaml", trials=3, out=tmp_path / "out", verify=False)
    assert len(found.trials) == 3
    assert found.knee in found.front
    assert tmp_path / "out" / "report.html" in found.files
    assert repr(found).startswith("SweepResult(small: 3 trials, 3 feasible, ")
    shown = found._repr_html_()
    assert all(part in shown for part in ("others may be better", "<th>latency</th>", "data:image/png;base64,"))
    best = min(float(str(row["latency_ns"])) for row in found.trials)
    assert pimcomp.pick(tmp_path / "out", objective="latency_ns").latency_ns == best
    assert pimcomp.pick(found, max_crossbars=64).compiled.arch.crossbars == 64
    frame = pimcomp.trials(tmp_path / "out")
    assert list(frame.index) == [row["trial"] for row in found.trials]
    assert frame.latency_ns.min() == best
    assert list(frame.index[frame.front]) == sorted(int(str(row["trial"])) for row in found.front)
    with pytest.raises(pimcomp.PimdseError, match="network: expected one of digits_mlp, found 'resnet'"):
        pimcomp.pick(found, network="resnet")


def test_a_frame_without_pandas_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(pimcomp.PimdseError, match=r"pip install 'pimdse\[pandas\]'"):
        pimcomp.trials(tmp_path)


@pytest.mark.slow
def test_a_script_that_sweeps_without_a_guard_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CHIP_WITH_A_SWEEP)
    (tmp_path / "script.py").write_text("import pimcomp\npimcomp.sweep('small.yaml', trials=3, jobs=2)\n")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "call it under `if __name__ == '__main__':`" in done.stderr


USER_CODE = """
import pimcomp

program = pimcomp.compile_model("digits_mlp", "isaac")
reveal_type(program)
reveal_type(program.latency_ns)
reveal_type(pimcomp.sweep)
reveal_type(pimcomp.load_arch("isaac").cores)
reveal_type(pimcomp.__version__)
pimcomp.compile_modle
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_types_in_a_project_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER_CODE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "user.py"],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("user.py")]
    assert told[:2] == ['note: Revealed type is "pimdse.api.CompiledModel"', 'note: Revealed type is "float"'], done
    assert told[2].endswith('-> pimdse.sweep_api.SweepResult"')
    assert told[3:5] == ['note: Revealed type is "int"', 'note: Revealed type is "str"']
    assert told[5].startswith('error: Module has no attribute "compile_modle"')


@pytest.mark.slow
def test_five_lines(tmp_path: Path) -> None:
    lines = example("five_lines.py", tmp_path)
    assert lines[0].endswith("uJ per image")
    assert lines[-1] == "verified"
    assert (tmp_path / "results" / "five_lines" / "report.json").exists()


@pytest.mark.slow
def test_a_solver_of_ones_own(tmp_path: Path) -> None:
    lines = example("own_solver.py", tmp_path)
    assert lines[0].startswith("once each: ")
    assert lines[-1] == "verified"
