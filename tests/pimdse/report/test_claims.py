"""A sweep claims what its trials, its estimates and its bounds support, and shows what surrounds a design.

Covers: whatif.
"""

import re
from pathlib import Path

import pytest

from pimdse.report.claims import claims
from pimdse.report.findings import Findings, find
from pimdse.report.whatif import whatif
from spaces.space import Choice, Fidelity, IntRange
from tests.spaces.stored_sweep import store

_SPACE = (
    Choice(name="adc_count", values=(4, 32)),
    IntRange(name="cores", low=2, high=60, step=2),
    Choice(name="crossbars_per_core", values=(4,)),
)
_SMALL = (_SPACE[0], Choice(name="cores", values=(12, 16, 20, 24)), _SPACE[2])


def whole(folder: Path, **changes: object) -> Findings:
    settings = {"fidelity": Fidelity.COST, "enumerate": 5000, "parameters": _SPACE, "trials": 60, "timed": 8, **changes}
    return find(store(folder, **settings))


def test_a_budget_that_is_spent_says_how_many_points_may_be_better(tmp_path: Path) -> None:
    found = whole(tmp_path)
    assert found.certificate is not None
    first, second = claims(found)
    number = found.certificate.promising
    assert number > 1
    assert re.fullmatch(
        f"All 8 timelines are spent, and {number} points may be better if the estimate errs as favourably as it did at "
        r"best: a larger `timed` goes on\. A program's latency of one image was [+-]\d+ to [+-]\d+ % off its est.*",
        first,
    )
    assert second.startswith("Proven bounds rule out none of the 240 points")
    assert f"; {found.certificate.unfit} hold no program; for the other" in second


def test_nothing_better_is_left(tmp_path: Path) -> None:
    first, *_ = claims(whole(tmp_path, timed=200, trials=200))
    assert first.startswith("No point of this space is better by the estimate")


def test_better_points_that_were_not_kept_are_counted(tmp_path: Path) -> None:
    assert "not kept as trials (a larger --trials does)" in claims(whole(tmp_path, timed=200, trials=6))[0]


def test_what_has_no_bound_is_named(tmp_path: Path) -> None:
    said = claims(whole(tmp_path, objectives=("energy_pj", "period_ns")))[1]
    assert said.endswith("No bound is proven for energy per image.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 12}, r"1\d points of 240 were looked at: others may be better\."),
        ({"trials": 300, "parameters": _SMALL}, "All 32 points of the space were compiled: no other is better with .*"),
    ],
)
def test_a_sample_claims_no_more_than_it_saw(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    (claim,) = claims(find(store(tmp_path, **{"parameters": _SPACE, **changes})))
    assert re.fullmatch(said, claim)


def test_what_if_has_the_neighbours_of_every_timed_design(tmp_path: Path) -> None:
    found = whole(tmp_path)
    shown = whatif(found)
    assert shown is not None
    assert found.whole is not None
    rows = shown["rows"]
    assert isinstance(rows, dict)
    assert set(rows) == {str(t.number) for t in found.timed}
    trial = found.front[0]
    around = rows[str(trial.number)]
    assert set(around) == {"adc_count", "cores", "solver", "pipeline"}, "one value is no choice"
    values = [row[0] for row in around["cores"]]
    assert len(values) <= 26
    assert values[0] == 2
    assert values[-1] == 60
    assert dict(trial.candidate.point.parameters)["cores"] in values
    own = next(row for row in around["cores"] if row[0] == dict(trial.candidate.point.parameters)["cores"])
    assert own[1] == trial.number
    names = shown["metrics"]
    assert isinstance(names, list)
    estimate = found.whole.figures["latency_ns"][found.whole.place(trial.candidate.point)]
    assert own[2 + names.index("latency_ns")] == pytest.approx(estimate, rel=1e-4)
    small = next(row for row in around["cores"] if row[0] == 2)
    assert set(small[2:]) == {None}, "it does not fit"
    assert whatif(find(store(tmp_path / "sampled", trials=12))) is None
