"""A small space is judged completely: what is kept, what is timed, and that nothing but the space decides it.

Covers: search/enumeration.
"""

from collections.abc import Iterator
from pathlib import Path

from spaces.candidate import objective_costs
from spaces.search.enumeration import Estimates
from spaces.search.run import run_sweep
from spaces.search.study import Progress, Stored
from spaces.space import Choice, Fidelity, IntRange, Sweep
from tests.spaces import fake_chip
from tests.spaces.stored_sweep import CONTENT, run


def space(**changes: object) -> Sweep:
    """832 points, of which a front of 8."""
    parameters = (
        Choice(name="adc_count", values=(4, 8, 16, 32)),
        IntRange(name="cores", low=2, high=32, step=2),
        Choice(name="crossbars_per_core", values=(4, 8, 16)),
    )
    settings = {"fidelity": Fidelity.COST, "trials": 30, "timed": 20, "enumerate": 10_000, "parameters": parameters}
    return fake_chip.sweep(**{**settings, **changes})


def searched(folder: Path, **changes: object) -> Stored:
    return run(space(**changes), folder)


def test_the_whole_front_is_found_and_timed(tmp_path: Path) -> None:
    stored = searched(tmp_path)
    sweep, evaluator = stored.sweep, fake_chip.make(stored.sweep)
    every = [evaluator.evaluate(point, Fidelity.TIMELINE) for point in sweep.points()]
    costs = {objective_costs(c, sweep.objectives) for c in every if c.feasible}
    front = {c for c in costs if not any(d != c and d[0] <= c[0] and d[1] <= c[1] for d in costs)}
    timed = {objective_costs(c, sweep.objectives) for c in stored.timed}
    assert len(front) > 5
    assert len(front & timed) == min(len(front), 20 - len(sweep.anchors()))
    assert stored.enumeration is not None
    assert (stored.enumeration.points, stored.enumeration.kept) == (sweep.size, 30)
    assert stored.enumeration.feasible == sum(c.feasible for c in every)
    assert sum(count for _, count, _ in stored.enumeration.reasons) == len(every) - stored.enumeration.feasible


def test_a_sweep_that_was_stopped_anywhere_ends_as_if_it_was_not(tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole")
    for looks in (1, 20, 40, 55, 60):
        left, folder = iter(range(looks)), tmp_path / str(looks)

        def stop(left: Iterator[int] = left) -> bool:
            return next(left, None) is None

        run_sweep(space(), folder, content=CONTENT, make_evaluator=fake_chip.make, stop=stop)
        assert searched(folder) == whole


def test_more_trials_keep_what_there_is(tmp_path: Path) -> None:
    fewer = searched(tmp_path / "a", trials=10)
    more = searched(tmp_path / "a", trials=25)
    assert more.trials[:10] == fewer.trials
    assert more.trials == searched(tmp_path / "b", trials=25).trials


def test_the_published_chips_come_first_and_equal_content_once() -> None:
    sweep = space(trials=12)
    evaluator = fake_chip.make(sweep)
    judged = [(evaluator.evaluate(point, Fidelity.COST), str(point.parameters)) for point in sweep.points()]
    estimates = Estimates(sweep, len(judged))
    for task in reversed(list(estimates.missing())):
        estimates.note(task.first, judged[task.first : task.first + len(task.points)])
    kept = [judged[place] for place in estimates.worth_keeping(12)]
    assert kept[0][0].point.parameters == sweep.anchors()[0].parameters
    assert len({content for _, content in kept}) == len(kept) == 12
    assert not list(estimates.missing())


def test_progress_counts_the_points(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run_sweep(space(), tmp_path, content=CONTENT, make_evaluator=fake_chip.make, observe=seen.append)
    assert max(p.budget for p in seen) == space().size
    assert any(0 < p.distinct < p.budget for p in seen)
