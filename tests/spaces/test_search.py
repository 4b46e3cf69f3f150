"""The search keeps its promises: reproducible, resumable, parallel, and honest about what it did not evaluate.

Covers: search/adaptive, search/optuna_tables, search/run, search/sampler, search/store, search/study.
"""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from pimcomp.errors import ConfigError, OutputError, PimdseError
from spaces.candidate import Trial, Verdict
from spaces.search.run import run_sweep
from spaces.search.sampler import advice
from spaces.search.store import STUDY, owned
from spaces.search.study import load_stored, open_study
from spaces.space import Choice, Fidelity, FloatRange, Limit
from tests.seeds import sampled
from tests.spaces import fake_chip
from tests.spaces.stored_sweep import CONTENT, store

OBJECTIVES = ("latency_ns", "crossbars")


def _run(folder: Path, **changes: object) -> tuple[Trial, ...]:
    return store(folder, **changes).trials


def _judged(trials: tuple[Trial, ...]) -> list[str]:
    return [json.dumps(asdict(t.candidate), sort_keys=True) for t in trials]


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


def test_a_stopped_sweep_keeps_everything_and_goes_on(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole")
    for looks in (1, 4, 9):
        left = iter(range(looks))
        progress = run_sweep(
            fake_chip.sweep(),
            tmp_path / "a",
            content=CONTENT,
            make_evaluator=fake_chip.make,
            stop=lambda left=left: next(left, None) is None,  # type: ignore[misc]
        )
        assert progress.interrupted
        assert load_stored(tmp_path / "a").trials == progress.trials
    assert _run(tmp_path / "a") == whole


def test_other_settings_in_the_same_folder_are_refused_by_name(tmp_path: Path) -> None:
    _run(tmp_path, trials=5)
    with pytest.raises(ConfigError, match=r"sweep\.seed: .* differs in seed"):
        _run(tmp_path, trials=5, seed=3)
    with pytest.raises(ConfigError, match="differs in network"):
        run_sweep(fake_chip.sweep(), tmp_path, content={**CONTENT, "network": "x"}, make_evaluator=fake_chip.make)


def test_second_sweep_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(PimdseError, match="another sweep is running"):
        _run(tmp_path)


def test_files_of_the_user_beside_a_study_stay(tmp_path: Path) -> None:
    (tmp_path / "study.new").write_text("mine")
    (tmp_path / ".sweep.lock").symlink_to(tmp_path / "nothing")
    with pytest.raises(OutputError, match=r"\.sweep\.lock: "):
        _run(tmp_path, trials=2)
    (tmp_path / ".sweep.lock").unlink()
    _run(tmp_path, trials=2)
    assert (tmp_path / "study.new").read_text() == "mine"
    assert not (tmp_path / "nothing").exists()
    assert not list(tmp_path.glob(".pimdse-*"))


def test_trials_of_another_version_are_a_clear_error(tmp_path: Path) -> None:
    _run(tmp_path, trials=4)
    with sqlite3.connect(tmp_path / STUDY) as database:
        database.execute("UPDATE candidates SET candidate = replace(candidate, 'gap_period', 'gap_then')")
    database.close()
    with pytest.raises(OutputError, match=r"another version of pimdse \(candidate\.metrics\.gap_then: "):
        load_stored(tmp_path)


def test_a_journal_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_text("{}\n")
    for act in (_run, load_stored):
        with pytest.raises(OutputError, match=r"journal\.log was made by an earlier version; sweep again"):
            act(tmp_path)


@pytest.mark.parametrize("cut", [0, 100, 30_000])
def test_a_damaged_study_is_a_clear_error(tmp_path: Path, cut: int) -> None:
    _run(tmp_path, trials=6)
    data = (tmp_path / STUDY).read_bytes()
    (tmp_path / STUDY).write_bytes(data[:cut] + b"\xff" * 2000 if cut else b"not a study" * 100)
    with pytest.raises(OutputError, match=r"study\.db: .*the file is damaged: sweep into another --out"):
        load_stored(tmp_path)


def test_optuna_reads_the_study(tmp_path: Path) -> None:
    _run(tmp_path, trials=30, limits=(Limit(metric="latency_ns", high=6e4),), fidelity=Fidelity.COST, timed=5)
    stored, storage = load_stored(tmp_path), f"sqlite:///{tmp_path / STUDY}"
    studies = [optuna.load_study(study_name=name, storage=storage) for name in ("cost", "timeline")]
    shown, timed = (study.get_trials(deepcopy=False) for study in studies)
    assert len(timed) == len(stored.timed) == 5
    assert studies[0].metric_names == ["latency_ns", "crossbars"]
    for trial, candidate in zip(shown, [t.candidate for t in stored.trials], strict=True):
        assert trial.params == candidate.point.as_dict()
        assert (trial.constraints["0"] <= 0) == candidate.feasible
        assert (trial.state is TrialState.COMPLETE) == (candidate.metrics is not None)
        assert trial.values == ([candidate.value(o) for o in OBJECTIVES] if candidate.metrics else None)
    assert {t.candidate.verdict for t in stored.trials} == {Verdict.FEASIBLE, Verdict.INFEASIBLE}
    studies[0]._storage.remove_session()


def test_a_sampler_out_of_its_depth_is_told() -> None:
    assert advice(fake_chip.sweep(trials=100)) is None
    assert "nsga2" in str(advice(fake_chip.sweep(trials=3000, sampler="gp")))
    assert advice(fake_chip.sweep(trials=3000, sampler="gp", fidelity=Fidelity.COST, enumerate=10_000)) is None


def test_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        _run(tmp_path / "file" / "results")


def test_missing_study_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no sweep is stored there"):
        load_stored(tmp_path)


def test_settings_are_remembered(tmp_path: Path) -> None:
    sweep = fake_chip.sweep(
        parameters=(*fake_chip.sweep().parameters, FloatRange(name="crossbar_latency_ns", low=10.0, high=100.0)),
        limits=(Limit(metric="energy_pj", high=1e9),),
    )
    open_study(tmp_path, sweep, {}).close()
    assert load_stored(tmp_path).sweep == sweep


def test_full_disk_is_a_clear_error_and_earlier_trials_stay(tmp_path: Path) -> None:
    script = tmp_path / "full.py"
    # a limit on file size fails the same way as a full disk: with part of a line written
    script.write_text(
        "import resource, sys\nfrom pathlib import Path\n"
        "from pimcomp.errors import OutputError\nfrom spaces.search.run import run_sweep\n"
        "from tests.spaces import fake_chip\nfrom tests.spaces.stored_sweep import CONTENT\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n    run_sweep(fake_chip.sweep(trials=140), Path(sys.argv[1]), "
        "content=CONTENT, make_evaluator=fake_chip.make)\n"
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
