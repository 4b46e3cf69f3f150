"""Importance finds the parameters that decide, as shares of a whole, the same in every process.

Covers: search/importance.
"""

from pathlib import Path

import pytest

from spaces.candidate import Candidate
from spaces.search.importance import FEWEST, FRONT, importance
from tests.spaces import fake_chip
from tests.spaces.stored_sweep import store


def _candidates(folder: Path, trials: int) -> list[Candidate]:
    stored = store(folder, trials=trials, sampler="random")
    return [t.candidate for t in stored.best_known if t.candidate.feasible]


def test_what_decides_is_found_and_the_shares_add_up(tmp_path: Path) -> None:
    candidates = _candidates(tmp_path, 120)
    found = importance(fake_chip.sweep(), candidates)
    assert set(found) == {"latency_ns", "crossbars", FRONT}
    for shares in found.values():
        assert set(shares) == {"adc_count", "cores", "crossbars_per_core", "pipeline", "solver"}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    sizes = found["crossbars"]
    assert sizes["cores"] + sizes["crossbars_per_core"] > 0.9
    assert found["latency_ns"]["solver"] > found["latency_ns"]["pipeline"]
    assert found[FRONT]["solver"] > 0.1, "the slower solver has no place on the front"
    assert importance(fake_chip.sweep(), candidates) == found


def test_too_few_candidates_say_nothing(tmp_path: Path) -> None:
    candidates = _candidates(tmp_path, 30)[: FEWEST - 1]
    assert len(candidates) == FEWEST - 1
    assert importance(fake_chip.sweep(), candidates) == {}


def test_a_goal_that_all_reach_equally_well_is_left_out(tmp_path: Path) -> None:
    same = fake_chip.sweep(objectives=("crossbars_used", "latency_ns"))
    assert set(importance(same, _candidates(tmp_path, 30))) == {"latency_ns", FRONT}
