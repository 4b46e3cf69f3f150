"""Every shipped chip sweeps from its own file with its own network."""

from dataclasses import replace
from pathlib import Path

import pytest

from pimdse.report.findings import Findings, find
from pimdse.sweep.settings import load_sweep, study_content
from spaces.evaluate import compile_evaluator
from spaces.search.run import run_sweep
from spaces.search.study import load_stored
from spaces.space import Fidelity
from tests.docs.pages import ROOT, Step, blocks, run
from tests.docs.readme_sweep import README, WIDTH, shown, without_blanks

CHIPS = ("isaac", "puma", "sre", "forms", "isscc20_15_4", "isscc21_16_1", "isscc22_11_4", "isscc23_16_6")


@pytest.mark.parametrize("chip", CHIPS)
def test_section_is_sound(chip: str) -> None:
    sweep = load_sweep(chip)
    assert sweep.fidelity is Fidelity.COST
    assert sweep.budget >= 300
    assert sweep.anchors()[0].parameters == sweep.nearest(sweep.arch)


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS[1:])
def test_chip_sweeps_its_network(chip: str, tmp_path: Path) -> None:
    sweep = replace(load_sweep(chip), trials=6, timed=2, jobs=1)
    run_sweep(sweep, tmp_path, content=study_content(sweep), make_evaluator=compile_evaluator)
    assert len(right(tmp_path).trials) == 6


@pytest.mark.slow
def test_readme_shows_what_its_first_command_prints(tmp_path: Path) -> None:
    """The whole sweep of isaac, to the last byte of what a terminal of the README's width shows."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    assert blocks(README)[0][2].endswith("pimdse sweep configs/isaac.yaml\n")
    done = run(Step(command="pimdse sweep configs/isaac.yaml"), tmp_path, 3600, COLUMNS=WIDTH)
    assert done.returncode == 0, done.stdout
    assert shown() in without_blanks(done.stdout), f"`make readme` after a change of programs:\n{done.stdout}"
    answers(right(tmp_path / "results" / "isaac"))


def answers(findings: Findings) -> None:
    """Designs differ in kind: no parameter is at one end of its range in all of them, and each is seen from inside."""
    assert len(findings.front) >= 8
    for parameter in findings.sweep.parameters:
        chosen = {dict(t.candidate.point.parameters)[parameter.name] for t in findings.front}
        assert len(chosen) > 1 or len(parameter.values or ()) == 1, parameter.name
    for trial in findings.front:
        (inside,) = trial.candidate.inside
        assert inside.area_mm2
        assert inside.energy_pj
        assert inside.accuracy_by


def right(folder: Path) -> Findings:
    """What a sweep found, checked."""
    findings = find(load_stored(folder))
    assert not findings.errors, [t.candidate.reason for t in findings.errors]
    assert findings.front
    for trial in findings.front:
        figures = trial.candidate.metrics
        assert figures is not None
        assert figures.bound_ns is not None
        assert figures.bound_period_ns is not None
        assert figures.bound_ns <= figures.latency_ns
        assert figures.bound_period_ns <= figures.period_ns
    return findings
