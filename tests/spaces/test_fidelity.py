"""Bound, cost, timeline: what is skipped, what is timed, what is judged once.

Covers: candidate, evaluate, search/promote.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from spaces.candidate import Candidate, Evaluator, Verdict
from spaces.evaluate import compile_evaluator
from spaces.metrics import Metrics, combine
from spaces.search.engine import as_text, read
from spaces.search.promote import most_promising
from spaces.search.study import Stored
from spaces.space import Choice, Fidelity, Limit, Network, Point, Sweep
from tests.spaces import fake_chip
from tests.spaces.stored_sweep import run, store

OBJECTIVES = ("latency_ns", "crossbars")


def _stored(folder: Path, **changes: object) -> Stored:
    return store(folder, **{"fidelity": Fidelity.COST, "trials": 40, "timed": 15, **changes})


def test_published_chip_and_front_are_timed_and_nothing_else(tmp_path: Path) -> None:
    stored = _stored(tmp_path)
    points = [c.point for c in stored.timed]
    assert len(points) == len(set(points)) <= 15
    anchors = set(stored.sweep.anchors())
    assert anchors & set(points), "the published chip has figures of a program"
    searched = [t.candidate for t in stored.trials if t.duplicate_of is None and t.candidate.feasible]
    assert all(c.fidelity is Fidelity.COST for c in searched)
    assert all(c.fidelity is Fidelity.TIMELINE for c in stored.timed)
    best = min(searched, key=lambda c: c.value("latency_ns"))
    assert best.point in points


def test_larger_budget_searches_what_one_run_would(tmp_path: Path) -> None:
    _stored(tmp_path / "a", trials=16)
    continued = _stored(tmp_path / "a", trials=30)
    assert continued.trials == _stored(tmp_path / "b", trials=30).trials


def _candidate(cores: int, latency: float, fidelity: Fidelity) -> Candidate:
    point = Point(parameters=(("cores", cores),), solver="balance", pipeline=Pipeline.ELEMENT)
    figures = replace(_FIGURES, latency_ns=latency, crossbars=cores)
    return Candidate(point=point, verdict=Verdict.FEASIBLE, fidelity=fidelity, metrics=figures)


_FIGURES = Metrics(
    latency_ns=1.0, period_ns=1.0, throughput_per_s=1e9, energy_pj=1.0, avg_power_mw=1.0, crossbars=1,
    crossbars_used=1, area_mm2=1.0, edp_pj_ns=1.0,
)  # fmt: skip


# Whole latencies: three times two neighbouring floats can be one float, which is no front of two.
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10**6)), min_size=1, max_size=20, unique_by=lambda p: p[0]),
    st.integers(1, 4),
)
def test_promotion_ends_with_the_true_front_when_estimates_rank_rightly(law: list[tuple[int, int]], count: int) -> None:
    searched = [_candidate(cores, latency, Fidelity.COST) for cores, latency in law]
    timed: list[Candidate] = []
    while most_promising(searched, timed, (), OBJECTIVES) is not None:
        points: list[Point] = []
        while len(points) < count and (point := most_promising(searched, timed, points, OBJECTIVES)) is not None:
            assert point not in {*points, *(c.point for c in timed)}
            points.append(point)
        for point in points:
            cores = int(dict(point.parameters)["cores"])
            timed.append(_candidate(cores, 3 * dict(law)[cores], Fidelity.TIMELINE))
    best = {cores for cores, latency in law if not any(c <= cores and x <= latency for c, x in law if c != cores)}
    assert best <= {int(dict(c.point.parameters)["cores"]) for c in timed}


def test_proven_bounds_skip_what_cannot_win(tmp_path: Path) -> None:
    def make(sweep: Sweep) -> Evaluator:
        fake = fake_chip.make(sweep)

        def bound(point: Point) -> Candidate:
            ideal = fake_chip.metrics(point)
            return Candidate(point=point, verdict=Verdict.FEASIBLE, crossbars=ideal.crossbars, metrics=ideal)

        return Evaluator(evaluate=fake.evaluate, bound=bound)

    stored = run(fake_chip.sweep(trials=40), tmp_path / "a", make)
    trials = [t.candidate for t in stored.trials if t.duplicate_of is None]
    skipped = [c for c in trials if c.verdict is Verdict.SKIPPED]
    assert skipped
    assert len(trials) == 40
    for candidate in skipped:
        assert candidate.metrics is None
        assert "no program for this chip can beat" in candidate.reason
        lost = fake_chip.metrics(candidate.point)
        assert any(
            c.metrics and c.metrics.latency_ns <= lost.latency_ns and c.metrics.crossbars <= lost.crossbars
            for c in trials
            if c.feasible
        )


def _real(**changes: object) -> Sweep:
    settings: dict[str, object] = {
        "name": "small",
        "file": "small.yaml",
        "arch": Arch(name="small", cores=16, crossbars_per_core=8, crossbar_rows=64, crossbar_cols=64, cell_bits=8,
                     dac_count=64),
        "networks": (Network(model="digits_mlp"), Network(model="digits_lenet5")),
        "parameters": (Choice(name="cores", values=(16, 25, 64)), Choice(name="crossbar_rows", values=(64, 128))),
        "solvers": ("balance",),
        "pipelines": (Pipeline.ELEMENT,),
        "objectives": ("latency_ns@digits_mlp", "latency_ns@digits_lenet5", "crossbars"),
    }  # fmt: skip
    return Sweep(**{**settings, **changes})  # type: ignore[arg-type]


def test_networks_share_a_chip_and_bounds_hold_at_both_fidelities() -> None:
    judge = compile_evaluator(_real())
    point = next(p for p in _real().points() if dict(p.parameters)["cores"] == 64)
    ideal = judge.bound(point)
    assert ideal is not None
    for fidelity in Fidelity:
        found = judge.evaluate(point, fidelity)
        assert found.feasible, found.reason
        assert found.fidelity is fidelity
        assert found.value("latency_ns") == max(m.latency_ns for _, m in found.by_network)
        for name in ("latency_ns@digits_mlp", "latency_ns@digits_lenet5", "latency_ns", "period_ns"):
            assert 0 < ideal.value(name) <= found.value(name)
        assert read(as_text([(found, "")]))[0][0] == found


def test_limits_on_local_memory_and_on_bounds() -> None:
    point = next(p for p in _real().points() if dict(p.parameters)["cores"] == 64)
    tight = (Limit(metric="local_peak_bytes", high=64.0),)
    judge = compile_evaluator(_real(limits=tight))
    assert judge.evaluate(point, Fidelity.COST).feasible, "nobody knows yet"
    refused = judge.evaluate(point, Fidelity.TIMELINE)
    assert refused.resource == "limit: local_peak_bytes <= 64"
    impossible = compile_evaluator(_real(limits=(Limit(metric="latency_ns", high=1.0),))).bound(point)
    assert impossible is not None
    assert impossible.verdict is Verdict.INFEASIBLE
    assert impossible.reason.startswith("proven lower bound")


def test_content_is_the_chip_and_the_choices_not_the_names() -> None:
    sweep = _real(parameters=(Choice(name="dac_count", values=(64, 128)), Choice(name="crossbar_rows", values=(64,))))
    judge, (first, second) = compile_evaluator(sweep), tuple(sweep.points())
    assert judge.content(first) != judge.content(second)
    again = compile_evaluator(replace(sweep, arch=replace(sweep.arch, name="other")))
    assert judge.content(first) == again.content(first)


@pytest.mark.parametrize("how", ["worst", "mean"])
def test_combined_figures_lie_within_their_parts(how: str) -> None:
    parts = [replace(_FIGURES, latency_ns=latency, throughput_per_s=1e9 / latency) for latency in (2.0, 8.0)]
    both = combine(parts, how)
    assert both.latency_ns == pytest.approx(8.0 if how == "worst" else 4.0)
    assert both.throughput_per_s == pytest.approx(1e9 / both.latency_ns)
    assert np.isnan(both.value("local_peak_bytes"))
