"""Importance finds the parameter that decides, and gives chance nothing."""

from pathlib import Path

from pimdse.report.findings import find
from pimdse.report.importance import importance
from tests.pimdse.stored_sweep import store


def test_what_decides_is_found(tmp_path: Path) -> None:
    found = importance(find(store(tmp_path, trials=120, sampler="random")))
    assert set(found) == {"latency_ns", "crossbars"}
    sizes = found["crossbars"]
    assert sizes["cores"] + sizes["crossbars_per_core"] > 0.7
    assert max(sizes["adc_count"], sizes["solver"], sizes["pipeline"]) < 0.1
    assert all(0 <= share <= 1 for shares in found.values() for share in shares.values())


def test_too_few_candidates_say_nothing(tmp_path: Path) -> None:
    assert importance(find(store(tmp_path, trials=2, solvers=("balance",)))) == {}
