"""`pick` chooses the best stored candidate within limits and says why, or what would be possible."""

from pathlib import Path

import pytest

from pimcomp.errors import ConfigError, PimdseError
from pimdse.report.findings import Findings, find, front_and_knee
from pimdse.sweep.choice import choose, explain, figures, make_wish
from spaces.candidate import Trial
from spaces.space import Fidelity, Limit
from tests.spaces.stored_sweep import store


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return find(store(tmp_path_factory.mktemp("sweep"), trials=30))


def _choose(findings: Findings, **options: object) -> Trial:
    return choose(findings, make_wish(**{"objective": None, **options}))  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", ["latency_ns", "crossbars", "throughput_per_s", "energy_pj", "edp"])
def test_choice_is_the_best_of_all_feasible(findings: Findings, objective: str) -> None:
    name = "edp_pj_ns" if objective == "edp" else objective
    best = figures(_choose(findings, objective=objective)).value(name)
    every = [figures(t).value(name) for t in findings.feasible]
    assert best == (max(every) if objective == "throughput_per_s" else min(every))


def test_limits_hold_and_cost_something(findings: Findings) -> None:
    free, limited = _choose(findings), _choose(findings, max_crossbars=100)
    assert figures(limited).crossbars <= 100 < figures(free).crossbars
    assert figures(limited).latency_ns > figures(free).latency_ns
    assert str(_choose(findings, pipeline="batch").candidate.point.pipeline) == "batch"


def test_any_metric_can_be_limited(findings: Findings) -> None:
    middle = sorted(figures(t).energy_pj for t in findings.feasible)[len(findings.feasible) // 2]
    chosen = _choose(findings, limits=[f"energy_pj<={middle!r}", "throughput_per_s >= 1"])
    kept = [t for t in findings.feasible if figures(t).energy_pj <= middle]
    assert figures(chosen).latency_ns == min(figures(t).latency_ns for t in kept)
    with pytest.raises(ConfigError, match="expected METRIC<=NUMBER"):
        make_wish(objective=None, limits=["latency_ns=5"])
    with pytest.raises(ConfigError, match="did you mean 'latency_ns'"):
        make_wish(objective=None, limits=["latncy_ns<=5"])


def test_knee_is_that_of_the_front_within_the_limits(findings: Findings) -> None:
    assert _choose(findings, knee=True).number == findings.knee.number if findings.knee else False
    within = [t for t in findings.feasible if figures(t).crossbars <= 100]
    front, balanced = front_and_knee(findings.sweep, within)
    assert _choose(findings, knee=True, max_crossbars=100) == balanced
    assert balanced in front
    with pytest.raises(ConfigError, match="expected one of them"):
        make_wish(objective="latency_ns", knee=True)


def test_impossible_limits_name_the_nearest_candidate(findings: Findings) -> None:
    smallest = _choose(findings, objective="crossbars")
    with pytest.raises(PimdseError, match=rf"nearest to crossbars <= 1 has crossbars {figures(smallest).crossbars}"):
        _choose(findings, max_crossbars=1)


def test_named_trial_is_taken_unless_it_is_infeasible(findings: Findings) -> None:
    good = findings.feasible[-1].number
    assert _choose(findings, trial=good).number == good
    bad = next(t.number for t in findings.trials if not t.candidate.feasible)
    with pytest.raises(PimdseError, match=rf"trial {bad} is not feasible: .*needs 40"):
        _choose(findings, trial=bad)
    with pytest.raises(PimdseError, match="no finished trial has this number"):
        _choose(findings, trial=999)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="--objective: expected one of latency_ns"):
        make_wish(objective="speed")
    with pytest.raises(ConfigError, match="--pipeline: expected element or batch"):
        make_wish(objective=None, pipeline="stream")


def test_explanation_names_the_choice_the_next_best_and_the_price_of_the_limits(findings: Findings) -> None:
    wish = make_wish(objective="latency_ns", max_crossbars=100)
    chosen = choose(findings, wish)
    text = explain(findings, chosen, wish)
    assert f"trial {chosen.number}:" in text
    assert "best latency of one image" in text
    assert "within crossbars <= 100" in text
    assert "Next: trial" in text
    assert f"Without limits: trial {_choose(findings).number}" in text


def test_nothing_feasible_is_told(tmp_path: Path) -> None:
    empty = find(store(tmp_path, trials=4, limits=(Limit(metric="latency_ns", high=1.0),)))
    with pytest.raises(PimdseError, match="no stored candidate is feasible"):
        _choose(empty)


def test_estimates_are_picked_by_number_only(tmp_path: Path) -> None:
    found = find(store(tmp_path, trials=30, fidelity=Fidelity.COST, timed=5))
    assert len(found.timed) == 5
    assert _choose(found) in found.timed
    guess = next(t for t in found.feasible if t.candidate.fidelity is Fidelity.COST)
    wish = make_wish(objective=None, trial=guess.number)
    assert "estimates so far" in explain(found, choose(found, wish), wish)


@pytest.mark.parametrize(
    ("word", "limit"),
    [
        ("latency<=1ms", Limit(metric="latency_ns", high=1e6)),
        ("latency_ns <= 2e6", Limit(metric="latency_ns", high=2e6)),
        ("latency_ns<=2 ms", Limit(metric="latency_ns", high=2e6)),
        ("energy <= 3 mJ", Limit(metric="energy_pj", high=3e9)),
        ("power>=2W", Limit(metric="avg_power_mw", low=2e3)),
        ("crossbars<=8,000", Limit(metric="crossbars", high=8000)),
        ("crossbars < 8000", Limit(metric="crossbars", high=7999)),
        ("crossbars_used>10", Limit(metric="crossbars_used", low=11)),
        ("memory<=64KiB", Limit(metric="local_peak_bytes", high=65536)),
        ("throughput>=1000", Limit(metric="throughput_per_s", low=1000)),
        ("throughput>=1000/s", Limit(metric="throughput_per_s", low=1000)),
        ("edp_pj_ns<=1e15", Limit(metric="edp_pj_ns", high=1e15)),
        ("latency@net<=20us", Limit(metric="latency_ns@net", high=2e4)),
    ],
)
def test_a_limit_takes_units_and_short_names(word: str, limit: Limit) -> None:
    assert make_wish(objective=None, limits=[word]).limits == (limit,)


def test_less_than_excludes_the_figure_itself() -> None:
    (below,) = make_wish(objective=None, limits=["latency<1ms"]).limits
    (above,) = make_wish(objective=None, limits=["latency>1ms"]).limits
    assert below.excess(1e6) > 0 >= below.excess(999_999.9)
    assert above.excess(1e6) > 0 >= above.excess(1_000_000.1)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("latency<=5", r"expected a number with a unit \(s, ms, us, ns\), found '5'"),
        ("latency<=5 mJ", r"expected a number with a unit \(s, ms, us, ns\), found '5 mJ'"),
        ("latency_ns<=much", r"with or without a unit .*, found 'much'"),
        ("crossbars<=1,00", "expected a number"),
        ("latencies<=1ms", "did you mean 'latency'"),
        ("latency=1ms", "such as latency<2ms"),
        ("energy<=nan", "expected a number"),
        ("energy<=", "such as latency<2ms"),
    ],
)
def test_a_wrong_limit_says_what_is_expected(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_wish(objective=None, limits=[word])
