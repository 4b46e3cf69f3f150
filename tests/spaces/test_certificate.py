"""What a certificate says of the points that were not timed is true of all their programs.

Covers: whole_space.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.errors import OutputError
from spaces.candidate import Candidate, Evaluator, objective_costs
from spaces.certificate import certify
from spaces.search.study import Stored, load_stored
from spaces.space import Choice, Fidelity, IntRange, Limit, Point, Sweep
from spaces.whole_space import POINTS, WholeSpace, best_possible, read_whole
from tests.spaces import fake_chip
from tests.spaces.stored_sweep import run


def searched(folder: Path, **changes: object) -> Stored:
    parameters = (
        Choice(name="adc_count", values=(4, 32)),
        IntRange(name="cores", low=4, high=32, step=4),
        Choice(name="crossbars_per_core", values=(4, 8, 16)),
    )
    settings: dict[str, object] = {
        "fidelity": Fidelity.COST,
        "trials": 60,
        "timed": 40,
        "enumerate": 999,
        "parameters": parameters,
    }
    settings |= changes
    return run(fake_chip.sweep(**settings), folder, make)


def make(sweep: Sweep) -> Evaluator:
    """The fake chip law, with bounds of four fifths of a program's times."""
    judge = fake_chip.make(sweep)

    def evaluate(point: Point, fidelity: Fidelity) -> Candidate:
        found = judge.evaluate(point, fidelity)
        if found.metrics is None:
            return found
        law = fake_chip.metrics(point)
        tight = replace(found.metrics, bound_ns=0.8 * law.latency_ns, bound_period_ns=0.8 * law.period_ns)
        return replace(found, metrics=tight)

    return Evaluator(evaluate=evaluate)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return searched(tmp_path_factory.mktemp("sweep"))


def whole_of(stored: Stored) -> WholeSpace:
    assert stored.whole is not None
    return stored.whole


def beaten(timed: list[Candidate], other: Candidate) -> bool:
    own = objective_costs(other, ("latency_ns", "crossbars"))
    rows = [objective_costs(c, ("latency_ns", "crossbars")) for c in timed if c.feasible]
    return any(row[0] <= own[0] and row[1] <= own[1] for row in rows)


def test_every_point_is_counted_once_and_right(stored: Stored) -> None:
    whole, evaluate = whole_of(stored), make(stored.sweep).evaluate
    found = certify(whole, stored.timed)
    programs = {point: evaluate(point, Fidelity.TIMELINE) for point in stored.sweep.points()}
    done = {c.point for c in stored.timed}
    without = [p for p, program in programs.items() if program.metrics is None]
    ideal = {
        p: replace(c, metrics=replace(c.metrics, latency_ns=0.8 * c.metrics.latency_ns))
        for p, c in programs.items()
        if c.metrics is not None and p not in done
    }
    proven = [p for p, best in ideal.items() if beaten(list(stored.timed), best)]
    assert (found.points, found.timed, found.unfit) == (stored.sweep.size, len(done), len(without))
    assert found.proven == len(proven) > 0
    assert found.open == found.points - found.timed - found.unfit - found.proven
    assert found.defects == 0
    # Its estimates are off by one factor per pipeline: what they promise is what there is.
    better = [p for p, c in programs.items() if p not in done and c.feasible and not beaten(list(stored.timed), c)]
    assert found.promising == len(better) == 0


def test_a_budget_that_is_spent_leaves_promises(stored: Stored) -> None:
    few = stored.timed[:5]
    found = certify(whole_of(stored), few)
    evaluate = make(stored.sweep).evaluate
    left = [evaluate(c.point, Fidelity.TIMELINE) for c in stored.timed[5:]]
    assert found.promising >= sum(not beaten(list(few), c) for c in left) > 0
    assert certify(whole_of(stored), ()).timed == 0


def test_points_that_cannot_keep_a_limit_are_proven_out(tmp_path: Path) -> None:
    free = searched(tmp_path / "free")
    limit = float(np.median(whole_of(free).best["latency_ns"][whole_of(free).verdict == 0]))
    tight = searched(tmp_path / "tight", limits=(Limit(metric="latency_ns", high=limit),))
    found = certify(whole_of(tight), tight.timed)
    assert found.proven >= (whole_of(free).best["latency_ns"] > limit).sum() - found.timed
    assert found.points == found.timed + found.unfit + found.proven + found.open


def test_nothing_is_proven_of_what_has_no_bound(stored: Stored) -> None:
    best = {c.point: c for c in stored.timed}[stored.timed[0].point]
    assert best_possible(best, "energy_pj") == 0.0
    assert best_possible(best, "latency_ns") == pytest.approx(0.8 * best.value("latency_ns"))
    assert best_possible(best, "throughput_per_s") == pytest.approx(best.value("throughput_per_s") / 0.8)
    assert best_possible(best, "crossbars") == best.value("crossbars")


def test_neighbours_differ_in_one_value(stored: Stored) -> None:
    whole = whole_of(stored)
    point, points = stored.sweep.anchors()[0], list(stored.sweep.points())
    rows = whole.neighbours(point)
    assert set(rows) == {"adc_count", "cores", "crossbars_per_core", "solver", "pipeline"}
    for name, row in rows.items():
        for value, at in row:
            assert points[at].as_dict() == {**point.as_dict(), name: value}


def test_equal_content_counts_as_timed(stored: Stored) -> None:
    whole = whole_of(stored)
    twin = next(i for i, p in enumerate(stored.sweep.points()) if p not in {c.point for c in stored.timed})
    first = whole.first.copy()
    first[twin] = whole.place(stored.timed[0].point)
    merged = WholeSpace(whole.sweep, whole.verdict, first, whole.figures, whole.best)
    assert certify(merged, stored.timed).timed == len(stored.timed) + 1


def test_a_file_of_another_space_or_damaged_is_refused_by_name(stored: Stored, tmp_path: Path) -> None:
    assert read_whole(tmp_path, stored.sweep) is None
    (tmp_path / POINTS).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(OutputError, match=r"points\.npz: damaged"):
        read_whole(tmp_path, stored.sweep)
    searched(tmp_path / "other", solvers=("balance",))
    with pytest.raises(OutputError, match="of another space"):
        read_whole(tmp_path / "other", stored.sweep)


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    before = whole_of(searched(tmp_path))
    content = (tmp_path / POINTS).read_bytes()
    (tmp_path / POINTS).unlink()
    assert load_stored(tmp_path).whole is None
    again = whole_of(searched(tmp_path))
    assert (tmp_path / POINTS).read_bytes() == content
    assert all(np.array_equal(before.figures[n], again.figures[n], equal_nan=True) for n in before.figures)
