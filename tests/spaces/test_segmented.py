"""Chips too small for a network are feasible where the sweep says so: in segments, with the price of reloading."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.bounds import bounds
from pimdse.cli import run
from spaces.evaluate import compile_evaluator
from spaces.metrics import Metrics
from spaces.search.study import load_stored, open_study
from spaces.space import Choice, Fidelity, Network, Point, Sweep

CHIP = Arch(
    name="small", cores=4, crossbars_per_core=8, crossbar_rows=64, crossbar_cols=64, cell_bits=8, dac_count=64,
    row_write_ns=100.0, row_write_pj=5.0, rows_written_at_once=4,
)  # fmt: skip
SWEEP = Sweep(
    name="small", file="small.yaml", arch=CHIP, networks=(Network(model="digits_lenet5", weights=None),),
    parameters=(Choice(name="cores", values=(1, 4, 16)),), solvers=("exact",), pipelines=tuple(Pipeline),
    objectives=("latency_ns", "crossbars"), segments=True, fidelity=Fidelity.COST,
)  # fmt: skip


def judged(
    cores: int, fidelity: Fidelity, pipeline: Pipeline = Pipeline.ELEMENT, sweep: Sweep = SWEEP
) -> Metrics | None:
    point = Point(parameters=(("cores", cores),), solver="exact", pipeline=pipeline)
    candidate = compile_evaluator(sweep).evaluate(point, fidelity)
    if fidelity is Fidelity.EXECUTED:
        assert [proof.passed for proof in candidate.proofs] == [True]
    return candidate.metrics


@pytest.mark.parametrize("pipeline", Pipeline)
def test_a_small_chip_is_feasible_and_its_time_contains_reloading(pipeline: Pipeline) -> None:
    guess, program = (judged(1, fidelity, pipeline) for fidelity in (Fidelity.COST, Fidelity.EXECUTED))
    assert guess is not None
    assert program is not None
    assert guess.segments == program.segments > 1
    assert guess.reload_ns == program.reload_ns > 0
    assert guess.latency_ns == pytest.approx(program.latency_ns, rel=0.3)
    assert program.period_ns == program.latency_ns > program.reload_ns
    assert program.instructions_per_round
    proven = bounds(load_network("digits_lenet5").graph, replace(CHIP, cores=1))
    assert (program.bound_ns, guess.bound_ns) == (proven.latency_ns, proven.latency_ns)
    assert proven.latency_ns < program.latency_ns
    assert proven.period_ns < program.period_ns


def test_a_chip_that_is_large_enough_keeps_its_weights() -> None:
    found = judged(16, Fidelity.COST)
    assert found is not None
    assert (found.segments, found.reload_ns) == (1, 0.0)
    assert found == judged(16, Fidelity.COST, sweep=replace(SWEEP, segments=False))


def test_without_segments_or_a_price_of_writing_a_small_chip_is_infeasible() -> None:
    assert judged(1, Fidelity.COST, sweep=replace(SWEEP, segments=False)) is None
    assert judged(1, Fidelity.COST, sweep=replace(SWEEP, arch=replace(CHIP, row_write_ns=0.0))) is None


def test_a_study_remembers_it(tmp_path: Path) -> None:
    open_study(tmp_path, SWEEP, {}).close()
    assert load_stored(tmp_path).sweep == SWEEP


@pytest.mark.slow
def test_small_chips_are_on_the_front_and_picked_in_segments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chip.yaml").write_text(
        "name: small\nchip: {cores: 4, crossbars_per_core: 8}\ncore: {rob_size: 1}\n"
        "crossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}, write: {row_ns: 100}}\n"
        "sweep:\n  model: digits_lenet5\n  segments: true\n  fidelity: cost\n  solvers: [exact]\n"
        "  pipelines: [element]\n  space: {cores: [1, 4, 16]}\n"
    )
    out = tmp_path / "out"
    assert run(["sweep", str(tmp_path / "chip.yaml"), "--out", str(out)]) == 0
    assert "segments  reload" in capsys.readouterr().out
    stored = load_stored(out)
    timed = sorted((c.metrics for c in stored.timed if c.metrics), key=lambda m: m.crossbars)
    assert [m.segments > 1 for m in timed] == [True, False, False]
    assert all(a.latency_ns > b.latency_ns for a, b in pairwise(timed))  # so that all three are on the front
    assert run(["pick", str(out), "--max-crossbars", "8", "--out", str(out / "pick")]) == 0
    assert "verified" in capsys.readouterr().out
    assert (out / "pick" / "segments.json").is_file()


@pytest.mark.parametrize(
    ("crossbar", "space", "said"),
    [
        ("", "{cores: [1, 4]}", "small has no crossbar.write.row_ns: reloading weights would be free"),
        (", write: {row_ns: 1}", "{precision: [8]}", "not together with `precision`"),
    ],
)
def test_what_is_missing_is_named(
    crossbar: str, space: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "chip.yaml"
    file.write_text(
        "name: small\nchip: {cores: 4, crossbars_per_core: 8}\ncore: {rob_size: 1}\n"
        f"crossbar: {{rows: 64, cols: 64, cell_bits: 8, dac: {{count: 64}}{crossbar}}}\n"
        f"sweep:\n  model: digits_lenet5\n  segments: true\n  solvers: [exact]\n  space: {space}\n"
    )
    assert run(["sweep", str(file), "--out", str(tmp_path / "out")]) == 2
    assert f"sweep.segments: {said}" in capsys.readouterr().err
