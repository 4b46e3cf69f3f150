"""No program beats the bounds, whatever its plan; and on a known network they are what their proof says."""

import pytest

from pimcomp.compile import compile_network
from pimcomp.config import load_arch
from pimcomp.errors import CapacityError
from pimcomp.frontend import load_network
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.bounds import bounds
from pimcomp.plan.rewriting.merge_siblings import merge_siblings
from pimcomp.schedule import ScheduleOptions
from tests.schedule.random_networks import random_chip, random_network
from tests.schedule.random_plans import RandomPlan
from tests.seeds import seeds


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", seeds(3, 25, first=60))
def test_no_random_program_beats_the_bounds(seed: int, pipeline: Pipeline) -> None:
    graph, arch = random_network(seed), random_chip(seed)
    least = bounds(graph, arch)
    try:
        compiled = compile_network(
            graph, arch, RandomPlan(), pipeline=pipeline, options=ScheduleOptions(images_per_round=3), seed=seed
        )
    except CapacityError:
        pytest.skip("the random plan does not fit the random chip")
    unfolded = bounds(compiled.graph, arch, compiled.partition)
    assert least.latency_ns <= unfolded.latency_ns <= compiled.timing.latency_ns
    assert least.period_ns <= unfolded.period_ns <= compiled.period_ns
    busy_ns = compiled.timing.busy_ns.sum() / compiled.program.images_per_round
    assert least.work_ns * arch.total_cores <= unfolded.work_ns * arch.total_cores <= busy_ns * arch.rob_size


def test_squeezenet_on_the_default_chip_by_hand() -> None:
    least = bounds(load_network("squeezenet1_1").graph, load_arch("pimcomp_default"))
    # 223 of 224 rows of 672 bytes in beats of 32 bytes, 40 ns each; 18 layers in a chain, 1685 ns per MVM.
    assert least.load_ns == -(-223 * 672 // 32) * 40
    assert least.longest_chain_ns == 18 * 1685


def test_a_bound_is_of_every_program_siblings_merged_or_not() -> None:
    graph, arch = load_network("squeezenet1_1").graph, load_arch("pimcomp_default")
    apart, merged = bounds(graph, arch), bounds(merge_siblings(graph), arch)
    assert merged.work_ns == pytest.approx(apart.work_ns, rel=1e-3)
    assert (merged.load_ns, merged.longest_chain_ns) == (apart.load_ns, apart.longest_chain_ns)
