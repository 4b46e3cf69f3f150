"""Plans: what passes and what does not."""

from dataclasses import replace

import numpy as np
import pytest

from pimcomp.errors import InvariantError
from pimcomp.ir.array_group import Unfolding
from pimcomp.ir.plan import Layer, LayerOption, MappingProblem, Pipeline, Plan
from pimcomp.proof.static import verify_plan


def option(*crossbars: int, firings: int = 4) -> LayerOption:
    return LayerOption(
        unfolding=Unfolding(), firings=firings, ag_crossbars=np.array(crossbars, np.int32),
        mvm_ns=np.ones(len(crossbars)), vector_ns=1.0,
    )  # fmt: skip


def problem() -> MappingProblem:
    layers = tuple(
        Layer(
            name=name, windows=4, out_height=2, out_width=2, output_bytes=1, fully_connected=False, options=options,
            depends=(),
        )
        for name, options in (("a", (option(2), option(1, 1, firings=2))), ("b", (option(3, 1),)))
    )  # fmt: skip
    return MappingProblem(
        name="p", pipeline=Pipeline.ELEMENT, cores=3, crossbars_per_core=4, rob_size=1, layers=layers,
        vector_work_ns=0.0,
        hops_ns=np.zeros((3, 3)),
    )  # fmt: skip


GOOD = Plan(
    option=(1, 0),
    replication=(2, 1),
    core_of=(np.array([[0, 1], [0, 2]], np.int32), np.array([[1, 2]], np.int32)),
)


def test_a_plan_within_all_limits_passes() -> None:
    verify_plan(problem(), GOOD)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (replace(GOOD, option=(1,)), "plan.option: expected 2 entries"),
        (replace(GOOD, option=(2, 0)), "layer a: option 2: expected 0 to 1"),
        (replace(GOOD, replication=(2, 0)), "layer b: 0 replicas: expected 1 to 4"),
        (replace(GOOD, replication=(3, 1)), "layer a: 3 replicas: expected 1 to 2"),
        (replace(GOOD, core_of=(GOOD.core_of[0][:1], GOOD.core_of[1])), "layer a: core_of has shape (1, 2)"),
        (
            replace(GOOD, core_of=(GOOD.core_of[0], np.array([[1, 3]], np.int32))),
            "layer b: an array group is on a core",
        ),
        (
            replace(GOOD, core_of=(GOOD.core_of[0], np.array([[0, 0]], np.int32))),
            "core 0: 4 crossbars, the plan puts 6",
        ),
    ],
)
def test_every_violation_is_named(plan: Plan, message: str) -> None:
    with pytest.raises(InvariantError) as error:
        verify_plan(problem(), plan)
    assert message in str(error.value)
