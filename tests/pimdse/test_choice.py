"""`pick` chooses the best stored candidate within limits and says why, or what would be possible."""

from pathlib import Path

import pytest

from pimcomp.errors import ConfigError, PimdseError
from pimdse.choice import choose, explain, figures
from spaces.search.study import Stored, Trial
from tests.pimdse.stored_sweep import store


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return store(tmp_path_factory.mktemp("sweep"), trials=30)


def _choose(stored: Stored, **changes: object) -> Trial:
    options: dict[str, object] = {"objective": "latency_ns", "max_crossbars": None, "pipeline": None, "trial": None}
    return choose(stored, **{**options, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", ["latency_ns", "crossbars", "throughput_per_s", "energy_pj"])
def test_choice_is_the_best_of_all_feasible(stored: Stored, objective: str) -> None:
    best = figures(_choose(stored, objective=objective)).value(objective)
    every = [figures(t).value(objective) for t in stored.trials if t.candidate.feasible]
    assert best == (max(every) if objective == "throughput_per_s" else min(every))


def test_limits_hold_and_cost_something(stored: Stored) -> None:
    free, limited = _choose(stored), _choose(stored, max_crossbars=100)
    assert figures(limited).crossbars <= 100 < figures(free).crossbars
    assert figures(limited).latency_ns > figures(free).latency_ns
    assert str(_choose(stored, pipeline="batch").candidate.point.pipeline) == "batch"


def test_impossible_limits_name_the_smallest_candidate(stored: Stored) -> None:
    smallest = _choose(stored, objective="crossbars")
    with pytest.raises(PimdseError, match=rf"smallest has {figures(smallest).crossbars} crossbars"):
        _choose(stored, max_crossbars=1)


def test_named_trial_is_taken_unless_it_is_infeasible(stored: Stored) -> None:
    number = stored.trials[3].number
    assert _choose(stored, trial=number).number == number
    infeasible = next(t for t in stored.trials if not t.candidate.feasible)
    with pytest.raises(PimdseError, match=rf"trial {infeasible.number} is not feasible: .* needs 40"):
        _choose(stored, trial=infeasible.number)
    with pytest.raises(PimdseError, match="no finished trial has this number"):
        _choose(stored, trial=10**6)


def test_unknown_words_are_refused(stored: Stored) -> None:
    with pytest.raises(ConfigError, match="--objective"):
        _choose(stored, objective="beauty")
    with pytest.raises(ConfigError, match="--pipeline"):
        _choose(stored, pipeline="stream")


def test_explanation_names_chip_and_reason(stored: Stored) -> None:
    chosen = _choose(stored)
    text = explain(stored, chosen, "latency_ns", given=False)
    assert text.startswith(f"trial {chosen.number}: adc_count=")
    assert "best latency of one image" in text


def test_nothing_feasible_is_told(tmp_path: Path) -> None:
    from spaces.space import Limit

    with pytest.raises(PimdseError, match="no stored candidate is feasible"):
        _choose(store(tmp_path, trials=5, limits=(Limit(metric="latency_ns", high=1.0),)))
