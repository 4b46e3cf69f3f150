"""Every shipped chip sweeps from its own file with its own network."""

from dataclasses import replace
from pathlib import Path

import pytest

from pimdse.report.findings import find
from pimdse.sweep.settings import load_sweep, study_content
from spaces.evaluate import compile_evaluator
from spaces.search.run import run_sweep
from spaces.search.study import load_stored
from spaces.space import Fidelity

CHIPS = ("isaac", "puma", "sre", "forms", "isscc20_15_4", "isscc21_16_1", "isscc22_11_4", "isscc23_16_6")


@pytest.mark.parametrize("chip", CHIPS)
def test_section_is_sound(chip: str) -> None:
    sweep = load_sweep(chip)
    assert sweep.fidelity is Fidelity.COST
    assert sweep.budget >= 300
    assert sweep.anchors()[0].parameters == sweep.nearest(sweep.arch)


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS)
def test_chip_sweeps_its_network(chip: str, tmp_path: Path) -> None:
    sweep = replace(load_sweep(chip), trials=6, timed=2, jobs=1)
    run_sweep(sweep, tmp_path, content=study_content(sweep), make_evaluator=compile_evaluator)
    findings = find(load_stored(tmp_path))
    assert len(findings.trials) == 6
    assert not findings.errors, [t.candidate.reason for t in findings.errors]
    assert findings.front
    for trial in findings.front:
        figures = trial.candidate.metrics
        assert figures is not None
        assert figures.bound_ns is not None
        assert figures.bound_period_ns is not None
        assert figures.bound_ns <= figures.latency_ns
        assert figures.bound_period_ns <= figures.period_ns
