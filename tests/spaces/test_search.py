"""The search keeps its promises: reproducible, resumable, parallel, and honest about what it did not evaluate.

Covers: search/journal, search/run, search/settings, search/study.
"""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pimcomp.errors import ConfigError, OutputError, PimdseError
from spaces.candidate import Candidate, Verdict
from spaces.search.journal import JOURNAL, owned
from spaces.search.run import run_sweep
from spaces.search.settings import settings_from_json, settings_to_json
from spaces.search.study import Trial, load_stored
from spaces.space import Choice, Fidelity, FloatRange, Limit
from tests.seeds import sampled
from tests.spaces import fake_chip
from tests.spaces.sweeping_process import start

CONTENT = {"network": "fake", "version": "0"}


def _run(folder: Path, **changes: object) -> tuple[Trial, ...]:
    sweep = fake_chip.sweep(**changes)
    return run_sweep(sweep, folder, content=CONTENT, make_evaluator=fake_chip.make).trials


def _judged(trials: tuple[Trial, ...]) -> list[str]:
    return [json.dumps(t.candidate.to_json(), sort_keys=True) for t in trials]


def test_published_chip_comes_first_with_every_solver_and_pipeline(tmp_path: Path) -> None:
    trials = _run(tmp_path)
    first = [t.candidate.point for t in trials[:4]]
    assert {(p.solver, str(p.pipeline)) for p in first} == {
        (s, p) for s in ("balance", "uniform") for p in ("element", "batch")
    }
    assert all(dict(p.parameters) == {"adc_count": 16, "cores": 16, "crossbars_per_core": 8} for p in first)


@pytest.mark.parametrize("sampler", sampled([("tpe",), ("nsga3",), ("nsga2",), ("random",), ("qmc",)], 2))
def test_budget_counts_distinct_candidates_and_seed_decides_them(tmp_path: Path, sampler: str) -> None:
    once = _run(tmp_path / "a", sampler=sampler)
    again = _run(tmp_path / "b", sampler=sampler)
    assert _judged(once) == _judged(again)
    assert len({t.candidate.point for t in once}) == 16
    other = _run(tmp_path / "c", sampler=sampler, seed=1)
    assert _judged(other) != _judged(once)


def test_infeasible_points_are_kept_with_their_reason(tmp_path: Path) -> None:
    bad = [t for t in _run(tmp_path, trials=30) if t.candidate.verdict is Verdict.INFEASIBLE]
    assert bad, "the space contains chips of fewer than 40 crossbars"
    assert all(t.candidate.reason.endswith("needs 40: more cores") and t.candidate.excess > 0 for t in bad)
    assert load_stored(tmp_path).trials[bad[0].number] == bad[0]


def test_small_space_is_enumerated_without_repetition(tmp_path: Path) -> None:
    trials = _run(tmp_path, parameters=(Choice(name="adc_count", values=(8, 16)), *_fixed()), trials=100)
    assert len(trials) == len({t.candidate.point for t in trials}) == 2 * 2 * 2


def _fixed() -> tuple[Choice, ...]:
    return (Choice(name="cores", values=(16,)), Choice(name="crossbars_per_core", values=(8,)))


def test_repeated_points_are_served_from_the_study_and_do_not_spend_the_budget(tmp_path: Path) -> None:
    parameters = (Choice(name="adc_count", values=(4, 8, 16)), *_fixed())
    trials = _run(tmp_path, parameters=parameters, trials=11)
    repeated = [t for t in trials if t.duplicate_of is not None]
    assert len({t.candidate.point for t in trials}) == 11
    for t in repeated:
        assert trials[t.duplicate_of or 0].candidate == t.candidate


def test_larger_budget_continues_as_if_asked_for_at_once(tmp_path: Path) -> None:
    _run(tmp_path / "a", trials=9)
    continued = _run(tmp_path / "a", trials=20)
    assert _judged(continued) == _judged(_run(tmp_path / "b", trials=20))


def test_limits_make_candidates_infeasible_but_keep_their_figures(tmp_path: Path) -> None:
    trials = _run(tmp_path, limits=(Limit(metric="latency_ns", high=6e4),), trials=20)
    broken = [t.candidate for t in trials if t.candidate.resource.startswith("limit")]
    assert broken
    assert all(c.metrics and c.metrics.latency_ns > 6e4 and "breaks latency_ns <= 60000" in c.reason for c in broken)
    assert all(t.candidate.metrics.latency_ns <= 6e4 for t in trials if t.candidate.feasible and t.candidate.metrics)


def test_stop_finishes_the_running_trial_and_keeps_everything(tmp_path: Path) -> None:
    asked = iter([False, False, False, True, True])
    progress = run_sweep(
        fake_chip.sweep(), tmp_path, content=CONTENT, make_evaluator=fake_chip.make, stop=lambda: next(asked)
    )
    assert progress.interrupted
    assert len(load_stored(tmp_path).trials) == 3
    assert _judged(_run(tmp_path)) == _judged(_run(tmp_path.with_name("whole")))


def test_other_settings_in_the_same_folder_are_refused_by_name(tmp_path: Path) -> None:
    _run(tmp_path, trials=5)
    with pytest.raises(ConfigError, match=r"sweep\.seed: .* another seed"):
        _run(tmp_path, trials=5, seed=3)
    with pytest.raises(ConfigError, match="another network"):
        run_sweep(fake_chip.sweep(), tmp_path, content={**CONTENT, "network": "x"}, make_evaluator=fake_chip.make)


def test_second_sweep_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(PimdseError, match="another sweep is running"):
        _run(tmp_path)


def test_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    _run(tmp_path / "a", trials=6)
    journal = tmp_path / "a" / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker_i')
    assert _judged(_run(tmp_path / "a", trials=9)) == _judged(_run(tmp_path / "b", trials=9))


def test_trials_of_another_version_are_a_clear_error(tmp_path: Path) -> None:
    _run(tmp_path, trials=4)
    path = tmp_path / JOURNAL
    text = re.sub(r'(\\*")gap_period', r"\1gap_then\1: 0, \1gap_period", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=r"another version of pimdse \(gap_then\)"):
        load_stored(tmp_path)


def test_damaged_journal_is_reported_and_what_precedes_stays_readable(tmp_path: Path) -> None:
    _run(tmp_path, trials=6)
    journal = tmp_path / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:-5], b"\x00\x00 not json\n", *lines[-5:]]))
    with pytest.raises(OutputError, match=rf"line {len(lines) - 4} is damaged"):
        _run(tmp_path, trials=9)
    stored = load_stored(tmp_path)
    assert stored.damaged_line == len(lines) - 4
    assert len(stored.trials) == 5


def test_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        _run(tmp_path / "file" / "results")


def test_missing_study_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no sweep is stored there"):
        load_stored(tmp_path)


def test_settings_survive_json() -> None:
    sweep = fake_chip.sweep(
        parameters=(*fake_chip.sweep().parameters, FloatRange(name="crossbar_latency_ns", low=10.0, high=100.0)),
        limits=(Limit(metric="energy_pj", high=1e9),),
    )
    assert settings_from_json(json.loads(json.dumps(settings_to_json(sweep)))) == sweep


@pytest.mark.slow
def test_two_processes_share_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CHIP_LOG", str(tmp_path / "log"))
    sweep = fake_chip.sweep(jobs=2, trials=12)
    trials = run_sweep(sweep, tmp_path / "r", content=CONTENT, make_evaluator=fake_chip.make_slow).trials
    points = {t.candidate.point for t in trials}
    assert len(points) == 12
    assert {p.as_dict()["solver"] for p in points} == {"balance", "uniform"}
    judged = (tmp_path / "log").read_text().splitlines()
    assert set(judged) == {f"timeline {p.as_dict()}" for p in points}


@pytest.mark.slow
def test_point_that_kills_its_worker_is_recorded_not_retried_forever(tmp_path: Path) -> None:
    parameters = (Choice(name="adc_count", values=(4, 16)), *_fixed())
    sweep = fake_chip.sweep(jobs=2, trials=4, parameters=parameters, solvers=("balance",))
    trials = run_sweep(sweep, tmp_path, content=CONTENT, make_evaluator=fake_chip.make_deadly).trials
    verdicts = {(dict(t.candidate.point.parameters)["adc_count"], t.candidate.verdict) for t in trials}
    assert verdicts == {(4, Verdict.ERROR), (16, Verdict.FEASIBLE)}
    assert all("killed again and again" in t.candidate.reason for t in trials if t.candidate.verdict is Verdict.ERROR)


def _finished(folder: Path) -> int:
    try:
        return len(load_stored(folder).trials)
    except OutputError:
        return 0


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kill_9_at_any_time_loses_nothing(tmp_path: Path, jobs: int) -> None:
    folder = tmp_path / "killed"
    for target in (2, 7):
        child = start(folder, trials=14, jobs=jobs)
        while child.is_alive() and _finished(folder) < target:
            time.sleep(0.02)
        time.sleep(0.03)
        child.kill()
        child.join()
    before = {t.candidate.point for t in load_stored(folder).trials}
    assert len(before) >= 7
    last = start(folder, trials=14, jobs=jobs)
    last.join()
    assert last.exitcode == 0
    after = load_stored(folder).trials
    assert before <= {t.candidate.point for t in after}
    assert len({t.candidate.point for t in after}) == 14
    if jobs == 1:
        whole = _run(tmp_path / "whole", trials=14)
        assert _judged(after) == _judged(whole)
        assert [replace(t, number=i) for i, t in enumerate(after)] == [
            replace(t, number=i) for i, t in enumerate(whole)
        ]


def test_full_disk_is_a_clear_error_and_earlier_trials_stay(tmp_path: Path) -> None:
    script = tmp_path / "full.py"
    # a limit on file size fails the same way as a full disk: with part of a line written
    script.write_text(
        "import resource, sys\nfrom pathlib import Path\n"
        "from pimcomp.errors import OutputError\nfrom spaces.search.run import run_sweep\n"
        "from tests.spaces import fake_chip\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "try:\n    run_sweep(fake_chip.sweep(trials=40), Path(sys.argv[1]), "
        "content={'network': 'fake', 'version': '0'}, make_evaluator=fake_chip.make)\n"
        "except OutputError as error:\n    print(error)\n    sys.exit(2)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "r")],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "every trial finished so far is kept" in done.stdout
    before = len(load_stored(tmp_path / "r").trials)
    assert before >= 3
    assert _judged(_run(tmp_path / "r", trials=before + 4)) == _judged(_run(tmp_path / "w", trials=before + 4))


def test_a_trial_of_an_earlier_version_is_told_apart_from_damage() -> None:
    point = fake_chip.sweep().anchors()[0]
    stored = fake_chip.make(fake_chip.sweep()).evaluate(point, Fidelity.TIMELINE).to_json()
    metrics = stored["metrics"]
    assert isinstance(metrics, dict)
    metrics["instructions"] = metrics.pop("instructions_per_round")
    with pytest.raises(OutputError, match="no instructions_per_round: an earlier version"):
        Candidate.from_json(stored)
