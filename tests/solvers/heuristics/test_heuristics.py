"""The faithful heuristics against PIMCOMP-NN's own results, and their ways out when they overrun.

Covers: balance, faithful, proportional, uniform, w0h0.
"""

import pytest

from pimcomp.ir.plan import Plan
from solvers import get_solver
from solvers.heuristics.stream import VARIANTS, stream_plans
from tests.solvers.problems import RESNET18, make_layer, make_option, make_problem, resnet18_problem


def solved(name: str) -> Plan:
    plan = get_solver(name).solve(resnet18_problem(), {}, time_limit_s=1.0, seed=0).plan
    assert plan is not None
    return plan


@pytest.mark.parametrize(("name", "crossbars"), [("balance", 5334), ("W0H0", 7352), ("uniform", 7677)])
def test_crossbars_on_resnet18_equal_those_of_pimcomp_nn(name: str, crossbars: int) -> None:
    """Measured with PIMCOMP-NN on 144 cores of 64 crossbars."""
    assert solved(name).crossbars_used(resnet18_problem()) == crossbars


def test_uniform_replicates_every_convolution_alike_and_the_fully_connected_layer_never() -> None:
    replication = solved("uniform").replication
    assert set(replication[:-1]) == {11}
    assert replication[-1] == 1


def test_w0h0_replicates_in_proportion_to_the_map() -> None:
    """Base is 196 windows, the second smallest map: 12544 / 196 = 64 shares for the first layer, 1 for the last."""
    replication = solved("W0H0").replication
    assert [r // replication[-2] for r in replication[:-1]] == [-(-w // 196) for w, _, _ in RESNET18[:-1]]


@pytest.mark.parametrize("name", ["balance", "W0H0", "uniform"])
def test_on_a_tight_chip_the_heuristics_degrade_and_say_so(name: str) -> None:
    """727 crossbars are needed of 760: the margins leave nothing over, PIMCOMP-NN would abort."""
    problem = resnet18_problem(cores=19, capacity=40)
    out = get_solver(name).solve(problem, {}, time_limit_s=1.0, seed=0)
    assert out.plan is not None
    assert 727 <= out.plan.crossbars_used(problem) <= 760
    assert out.notes


def test_replication_stops_at_the_number_of_windows() -> None:
    problem = make_problem([make_layer(0, [make_option(4, [1])])], cores=16, crossbars_per_core=16)
    for name in ("balance", "W0H0", "uniform"):
        plan = get_solver(name).solve(problem, {}, time_limit_s=1.0, seed=0).plan
        assert plan is not None
        assert plan.replication == (4,)


def test_where_crossbars_are_scarce_stream_also_takes_what_does_most_for_its_crossbars() -> None:
    """The second option is twice as quick and takes three times the crossbars."""
    quick = [make_option(98, [3, 3], 2)]
    layers = [make_layer(k, [make_option(196, [1, 1]), *quick]) for k in range(4)]
    scarce, roomy = make_problem(layers, 3, 3), make_problem(layers, 12, 8)
    assert scarce.scarce
    assert not roomy.scarce
    plans, others = list(stream_plans(scarce)), list(stream_plans(roomy))
    assert plans[-1].option == (0,) * 4
    assert len(others) == len(VARIANTS)
