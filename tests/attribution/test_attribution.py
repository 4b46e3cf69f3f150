"""Attribution adds up to the latency, and says what hand-made programs are known to do.

Covers: attribute, core_use, critical_path, waits.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pimcomp.attribution import Attribution, attribute
from pimcomp.attribution.core_use import USES
from pimcomp.attribution.critical_path import ROW, START_PS, STOP_PS, UNIT, UNITS
from pimcomp.attribution.waits import GLOBAL_MEMORY
from pimcomp.compile import compile_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.program import Op
from pimcomp.timeline.run import own_work_ps
from pimcomp.timeline.timing import runner
from pimcomp.timeline.work import Instructions, stream_of, work_of
from solvers import get_solver
from tests.schedule.random_networks import random_chip, random_network
from tests.timeline.micro import Case, arch_of, cases, stream_of_json
from tests.timeline.streams import Step, small_arch, steps, stream_of_steps


def checked(stream: Instructions, arch: Arch, node: np.ndarray | None = None, nodes: int = 0) -> Attribution:
    """The attribution, once everything in it adds up to the timeline's latency."""
    node = np.full(len(stream.op), -1, np.int32) if node is None else node
    found = attribute(stream, arch, node, nodes)
    latency = runner(stream, arch)[0](1).latency_ps
    assert found.latency_ps == latency
    assert found.path_by_node.sum() == latency
    assert found.path_by_core.sum() == latency
    assert (found.core_use.sum(axis=1) == latency).all()
    assert (found.core_use >= 0).all()
    segments = found.path.segments
    if latency:
        assert segments[0, STOP_PS] == latency
        assert segments[-1, START_PS] == 0
        np.testing.assert_array_equal(segments[1:, STOP_PS], segments[:-1, START_PS])
        assert (segments[:, STOP_PS] > segments[:, START_PS]).all()
    waits = np.zeros(stream.cores, np.int64)
    np.add.at(waits, found.links.core[found.spans.row], found.spans.stop - found.spans.start)
    waiting = found.core_use[:, [USES.index("waits_core"), USES.index("waits_memory")]].sum(axis=1)
    if arch.rob_size == 1 and not (stream.tail_bubbles > 0).any():
        np.testing.assert_array_equal(waiting, waits)
    return found


def path(found: Attribution) -> dict[str, float]:
    """ns on the critical path by unit."""
    return dict(zip(UNITS, (found.path_by_node.sum(axis=0) / 1000).tolist(), strict=True))


@settings(max_examples=80)
@given(steps(cores=4, most=40), st.sampled_from((1, 2, 3, 8, 16)), st.sampled_from((0.5, 1.0, 1 / 1.28, 3.0)))
def test_random_programs(program: list[Step], rob_size: int, period_ns: float) -> None:
    checked(stream_of_steps(program, 4), small_arch(rob_size=rob_size, core_period_ns=period_ns))


@settings(max_examples=80)
@given(steps(cores=4, most=60), st.integers(1, 500))
def test_what_is_on_the_path_costs_latency(program: list[Step], slower_ns: int) -> None:
    """At rob_size 1 and without the memory's queue, time is a maximum over paths: a longer path is a later end."""
    stream = stream_of_steps(
        [s for s in program if s.op not in (Op.LD, Op.ST)] or [program[0]._replace(op=Op.VVADD)], 4
    )
    arch = small_arch()
    found = checked(stream, arch)
    fires = found.path.segments[found.path.segments[:, UNIT] == UNITS.index("mvm"), ROW]
    vectors = found.path.segments[found.path.segments[:, UNIT] == UNITS.index("vector"), ROW]
    beats = -(-stream.size[np.unique(vectors)] // arch.vector_width)
    slower = replace(arch, vector_latency_ns=arch.vector_latency_ns + slower_ns)
    later = runner(stream, slower)[0](1).latency_ps
    assert later >= found.latency_ps + 1000 * slower_ns * int(beats.sum())
    slower = replace(arch, crossbar_latency_ns=arch.crossbar_latency_ns + 8 * slower_ns)
    per_mvm_ns = slower.compute_ns(slower.activation_bits) - arch.compute_ns(arch.activation_bits)
    later = runner(stream, slower)[0](1).latency_ps
    assert later >= found.latency_ps + round(1000 * per_mvm_ns) * len(np.unique(fires))


@settings(max_examples=40)
@given(steps(cores=3, most=30), st.integers(0, 2))
def test_a_core_alone_at_rob_size_1_is_its_own_critical_path(program: list[Step], core: int) -> None:
    alone = [s._replace(core=0) for s in program if s.op not in (Op.SEND, Op.LD, Op.ST)]
    assume(alone)
    stream, arch = stream_of_steps(alone, 1), small_arch()
    found = checked(stream, arch)
    own = own_work_ps(stream, work_of(stream, arch))[0]
    assert found.latency_ps == own + 2000  # fetch and decode of the first
    np.testing.assert_array_equal(np.unique(found.path.segments[:, ROW]), np.arange(len(stream.op)))
    for unit in ("mvm", "vector", "copy"):
        assert found.core_use[0, USES.index(unit)] == path(found)[unit] * 1000


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in cases() if c.mode == 1])
def test_programs_of_the_reference_set(case: Case) -> None:
    arch = arch_of(case.config)
    checked(stream_of_json(case.program, arch.cores), arch)


def micro(name: str) -> Attribution:
    case = next(c for c in cases() if c.name == name)
    arch = arch_of(case.config)
    return checked(stream_of_json(case.program, arch.cores), arch)


def test_a_late_receiver_and_a_late_sender() -> None:
    late = micro("sr64_late_recv")  # core 1 moves for 300 ns before it receives
    (wait,) = late.waits
    assert (wait.core, wait.peer, wait.times) == (0, 1, 1)
    (wait,) = micro("sr64_late_send").waits
    assert (wait.core, wait.peer, wait.times) == (1, 0, 1)
    assert path(late)["copy"] == 305  # the path goes through the late core's moves, not through the wait


def test_loads_of_many_cores_queue_at_the_memory() -> None:
    found = micro("ld1000_cores16")
    assert path(found)["global_memory"] == 16 * 315
    assert {w.peer for w in found.waits} == {GLOBAL_MEMORY}
    assert len(found.waits) == 15  # the first is served at once
    assert found.waits[0].wait_ps == 15 * 315_000
    longest = found.core_use[:, USES.index("waits_memory")].max()
    assert longest == found.waits[0].wait_ps


def test_hazards_and_the_port_above_rob_size_1() -> None:
    raw = path(micro("mv_vv_RAW_rob8"))
    assert raw["mvm"] > 0
    assert raw["vector"] > 0
    independent = path(micro("mv_vv_indep_rob8"))  # the mvmul's write waits for the vector unit's
    assert independent["vector"] == 0
    assert independent["local_port"] == 64


def test_a_token_is_followed_to_its_sender() -> None:
    found = micro("sync_wait")
    assert path(found)["copy"] == 31
    assert path(found)["network"] > 0


@pytest.mark.parametrize("seed", [1, 4, 6])
@pytest.mark.parametrize("rob_size", [1, 4])
def test_compiled_networks(seed: int, rob_size: int) -> None:
    graph = random_network(seed)
    arch = replace(random_chip(seed), rob_size=rob_size)
    pipeline = Pipeline.ELEMENT if seed % 2 else Pipeline.BATCH
    program = compile_network(graph, arch, get_solver("balance"), pipeline=pipeline).program
    found = checked(stream_of(program, arch), arch, program.table.node, len(program.node_names))
    assert found.path_by_node[:-1].sum() > 0.5 * found.latency_ps, "most of the path has a layer"
    assert list(found.waits) == sorted(found.waits, key=lambda w: -w.wait_ps)
