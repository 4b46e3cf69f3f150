"""What a message about a network that does not fit promises is true of the changed chip, and of none smaller.

Covers: cores_needed, problem.
"""

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.compile import compile_network
from pimcomp.config import load_arch
from pimcomp.errors import CapacityError
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch, NocTable
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.cores_needed import cores_needed
from pimcomp.plan.levers import capacity_levers, fits, group_sizes, shortage
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from solvers import get_solver
from solvers.placing.mapping import best_fit, first_fit
from tests.solvers.problems import make_layer, make_option, make_problem


@cache
def network(name: str) -> Graph:
    return load_network(name, weights=None).graph


def with_lever(arch: Arch, lever: str) -> Arch:
    fields = dict(word.split(": ") for word in lever.split(" with "))
    return dataclasses.replace(arch, **{name: int(value) for name, value in fields.items()})  # type: ignore[arg-type]


def solved(graph: Graph, arch: Arch) -> bool:
    problem = build_problem(graph, arch, partition(graph, arch), Pipeline.ELEMENT)
    return get_solver("balance").solve(problem, {}, time_limit_s=1.0, seed=0).plan is not None


@pytest.mark.slow
def test_vgg16_on_isaac_says_what_would_help() -> None:
    graph, arch = network("vgg16"), load_arch("isaac")
    with pytest.raises(CapacityError) as caught:
        compile_network(graph, arch, get_solver("balance"))
    error = caught.value
    levers = "chips: 5; or cores: 716; or weight_bits: 8 with chips: 3"
    assert str(error) == f"vgg16 on isaac: 16128 crossbars, needs 67576: {levers}"
    assert (error.resource, error.demand, error.supply) == ("crossbars", 67576, 16128)
    assert error.levers == ("chips: 5", "cores: 716", "weight_bits: 8 with chips: 3")
    for lever in error.levers:
        assert solved(graph, with_lever(arch, lever)), lever


@pytest.mark.slow
@pytest.mark.parametrize("smaller", [{"chips": 4}, {"weight_bits": 8, "chips": 2}])
def test_no_fewer_chips_than_promised_hold_vgg16(smaller: dict[str, int]) -> None:
    arch = dataclasses.replace(load_arch("isaac"), **smaller)  # type: ignore[arg-type]
    assert group_sizes(network("vgg16"), arch).sum() > arch.crossbars


TINY = Arch(
    name="tiny", cores=2, crossbars_per_core=3, crossbar_rows=64, crossbar_cols=64, dac_count=64, weight_bits=16
)


@pytest.mark.parametrize("cores", [1, 7, 40])
@pytest.mark.parametrize("crossbars_per_core", [1, 8])
@pytest.mark.parametrize("name", ["digits_lenet5", pytest.param("digits_resnet8", marks=pytest.mark.slow)])
def test_every_lever_fits_and_is_the_smallest_step(name: str, cores: int, crossbars_per_core: int) -> None:
    graph, arch = network(name), dataclasses.replace(TINY, cores=cores, crossbars_per_core=crossbars_per_core)
    if fits(graph, arch):
        assert solved(graph, arch)
        return
    levers = capacity_levers(graph, arch)
    assert levers[0].startswith("chips: ")
    for lever in levers:
        assert solved(graph, with_lever(arch, lever)), lever
    chips = with_lever(arch, levers[0]).chips
    assert not fits(graph, dataclasses.replace(arch, chips=chips - 1))


def test_a_chip_that_cannot_be_copied_is_told_how_large_a_core_would_do() -> None:
    table = NocTable(cores=2, latency_ns=(1.0,) * 9, energy_pj=(1.0,) * 9)
    arch = dataclasses.replace(TINY, interconnect="file", noc_file="noc.json", noc_table=table)
    graph = network("digits_lenet5")
    levers = capacity_levers(graph, arch)
    assert not any("chips" in lever for lever in levers)
    wanted = with_lever(arch, levers[-1])
    assert levers[-1].startswith("crossbars_per_core: ")
    assert solved(graph, wanted)
    assert not fits(graph, dataclasses.replace(wanted, crossbars_per_core=wanted.crossbars_per_core - 1))


def test_fragmentation_is_told_in_cores() -> None:
    """Array groups of 8 crossbars leave 3 of a core of 11 to those of 2: 176 crossbars do not hold 172."""
    graph, arch = network("digits_resnet8"), dataclasses.replace(TINY, cores=16, crossbars_per_core=11)
    sizes = group_sizes(graph, arch)
    assert (sizes.sum(), arch.crossbars) == (172, 176)
    assert not fits(graph, arch)
    error = shortage(graph, arch, int(sizes.sum()), sizes, "no packing")
    assert "cores of 11 crossbars" in error.resource
    assert (error.demand, error.supply) == (cores_needed(sizes, 11), 16)
    assert [lever.split(":")[0] for lever in error.levers] == [
        "chips",
        "cores",
        "weight_bits",
        "cell_bits",
        "crossbars_per_core",
    ]
    for lever in error.levers:
        assert solved(graph, with_lever(arch, lever)), lever


def test_a_solver_that_gave_up_on_a_chip_that_is_large_enough_is_named() -> None:
    graph, arch = network("digits_mlp"), load_arch("pimcomp_default")
    error = shortage(graph, arch, int(group_sizes(graph, arch).sum()), group_sizes(graph, arch), "time is up")
    assert "time is up" in str(error)
    assert error.levers == ("a solver that packs it: balance",)
    assert solved(graph, arch)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(9, 20))
def test_cores_needed_is_what_the_packings_take(sizes: list[int], capacity: int) -> None:
    cores = cores_needed(np.array(sizes, dtype=np.int32), capacity)
    assert cores >= -(-sum(sizes) // capacity)
    for count, expected in ((cores, True), (cores - 1, False)):
        problem = make_problem([make_layer(0, [make_option(1, sizes)])], count, capacity)
        packed = [fit(problem, [0], [1]) for fit in (first_fit, best_fit)]
        assert any(p is not None for p in packed) is expected


@pytest.mark.parametrize("pipeline", Pipeline)
def test_the_bytes_that_local_memory_needs_are_enough_and_one_less_is_not(pipeline: Pipeline) -> None:
    graph, chip = network("digits_mlp"), load_arch("pimcomp_default")
    small = dataclasses.replace(chip, local_memory_bytes=64)
    with pytest.raises(CapacityError) as caught:
        compile_network(graph, small, get_solver("balance"), pipeline=pipeline)
    error = caught.value
    assert error.resource.startswith("bytes of local memory on core ")
    assert error.supply == 64
    assert error.levers[0] == f"local_memory.bytes: {error.demand}"
    enough = dataclasses.replace(chip, local_memory_bytes=error.demand)
    compile_network(graph, enough, get_solver("balance"), pipeline=pipeline)
    less = dataclasses.replace(chip, local_memory_bytes=error.demand - 1)
    with pytest.raises(CapacityError):
        compile_network(graph, less, get_solver("balance"), pipeline=pipeline)
