"""Programs whose buffers wait in global memory: they compute the same, and need no more memory than they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.compile import compile_network
from pimcomp.emit.outputs import emit
from pimcomp.errors import CapacityError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.program import LongArray, Op
from pimcomp.proof.executed import verify_program
from pimcomp.schedule import ScheduleOptions
from pimcomp.schedule.ordering.spill import Touches, buffer_touches, most_held
from solvers import get_solver
from tests.frontend.small_onnx import load, make, normals, op
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip, random_network
from tests.schedule.random_plans import RandomPlan
from tests.schedule.stages import IMAGES, SEEDS, Stages, positions, stages
from tests.schedule.tuned import tuned
from tests.seeds import seeds

SHARES = (0.8, 0.6, 0.4)
OPTIONS = (ScheduleOptions(), tuned({"TASK_BLOCKS": 100}, images_per_round=2), tuned({"LOOKAHEAD": 0.05}))


def tight(seed: int, pipeline: Pipeline, share: float) -> tuple[Graph, Arch] | None:
    """A random network and a chip with that share of the memory that its program takes; None if nothing fits at all."""
    graph, arch = random_network(seed), replace(random_chip(seed), local_memory_bytes=1 << 20)
    try:
        roomy = compile_network(graph, arch, RandomPlan(), pipeline=pipeline, options=OPTIONS[seed % len(OPTIONS)])
    except CapacityError:
        return None
    return graph, replace(arch, local_memory_bytes=int(share * roomy.program.local_peak_bytes.max()) // 8 * 8)


def compiled_anyhow(seed: int, pipeline: Pipeline, share: float, folder: Path) -> tuple[Graph, Compiled] | None:
    """The program for a chip with so little memory, or, if that is too little, with the memory that the error names."""
    found = tight(seed, pipeline, share)
    if found is None:
        return None
    graph, arch = found
    options = OPTIONS[seed % len(OPTIONS)]
    try:
        return graph, compiled_files(graph, arch, RandomPlan(), pipeline, options, folder)
    except CapacityError as error:
        name, _, size = error.levers[0].partition(": ")
        assert name == "local_memory.bytes"
        enough = replace(arch, local_memory_bytes=int(size))
        return graph, compiled_files(graph, enough, RandomPlan(), pipeline, options, folder)


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", seeds(3, 8))
def test_programs_that_spill_compute_what_they_mean(seed: int, pipeline: Pipeline, tmp_path: Path) -> None:
    done = compiled_anyhow(seed, pipeline, SHARES[seed % len(SHARES)], tmp_path)
    if done is None:
        pytest.skip("the random plan does not fit the random chip")
    graph, compiled = done
    assert compiled.program.local_peak_bytes.max() <= compiled.arch.local_memory_bytes
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", range(8, 86))
def test_many_programs_that_spill(seed: int, pipeline: Pipeline, share: float, tmp_path: Path) -> None:
    done = compiled_anyhow(seed, pipeline, share, tmp_path)
    if done is None:
        pytest.skip("the random plan does not fit the random chip")
    assert largest_error(done[0], tmp_path, done[1].program.images_per_round) < 1e-4


def test_the_memory_that_is_named_is_enough() -> None:
    found = tight(3, Pipeline.ELEMENT, 0.01)
    assert found is not None
    graph, arch = found
    with pytest.raises(CapacityError) as refused:
        compile_network(graph, arch, RandomPlan())
    least = refused.value.demand
    compiled = compile_network(graph, replace(arch, local_memory_bytes=int(least)), RandomPlan())
    assert compiled.program.local_peak_bytes.max() <= least


def spilling_and_roomy() -> tuple[Compiled, Compiled]:
    """One network and plan on a chip where it spills, and on one with plenty of memory."""
    found = tight(9, Pipeline.ELEMENT, 0.6)
    assert found is not None
    graph, arch = found
    roomy = replace(arch, local_memory_bytes=1 << 20)
    return compile_network(graph, arch, RandomPlan()), compile_network(graph, roomy, RandomPlan())


def test_what_is_reported_as_spilled_is_what_the_program_moves() -> None:
    compiled, roomy = spilling_and_roomy()

    def moved(program: Compiled) -> int:
        table = program.program.table
        return int(table.size[np.isin(table.op, (Op.LD, Op.ST))].sum())

    assert roomy.program.spilled_bytes == 0
    assert compiled.program.spilled_bytes == moved(compiled) - moved(roomy) > 0


def test_checkpoints_of_spilling_cores_show_feature_maps() -> None:
    """Those that remain are inside the core's memory, and most remain."""
    compiled, roomy = spilling_and_roomy()
    seen = compiled.program.checkpoints
    assert (seen.address >= 0).all()
    assert (seen.address < compiled.arch.local_memory_bytes).all()
    assert len(seen.address) > 0.5 * len(roomy.program.checkpoints.address)


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("height", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_row_may_be_longer_than_local_memory(height: int, pipeline: Pipeline, tmp_path: Path) -> None:
    """Of the input, of what the layers make of it, and of the output: windows are short."""
    nodes = [
        op("Conv", "x w", "c", strides=[1, 4], pads=[0, 2, 0, 3]),
        op("Relu", "c", "r"),
        op("MaxPool", "r", "p", kernel_shape=[1, 4], strides=[1, 2]),
        op("Conv", "p v", "y"),
    ]
    weights = {"w": normals(3, 2, 1, 9), "v": normals(2, 3, 1, 3)}
    computes_in_4_kib(load(make(nodes, {"x": (1, 2, height, 3000)}, weights), tmp_path), pipeline, tmp_path)


@pytest.mark.parametrize("pipeline", list(Pipeline))
def test_channels_of_more_tokens_than_local_memory_holds_become_pixels(pipeline: Pipeline, tmp_path: Path) -> None:
    nodes = [op("MatMul", "x w", "m"), op("Transpose", "m", "t", perm=(0, 2, 1)), op("MatMul", "t v", "y")]
    weights = {"w": normals(16, 16), "v": normals(300, 4)}
    computes_in_4_kib(load(make(nodes, {"x": (1, 300, 16)}, weights), tmp_path), pipeline, tmp_path)


def computes_in_4_kib(network: LoadedNetwork, pipeline: Pipeline, folder: Path) -> None:
    """A network, whose input is too large to be there as a whole."""
    arch = Arch(
        name="tight", cores=4, crossbars_per_core=16, crossbar_rows=32, crossbar_cols=32, cell_bits=4, dac_count=8,
        adc_count=8, local_memory_bytes=4096,
    )  # fmt: skip
    row = network.graph.nodes[0]
    assert row.width * row.channels * arch.element_bytes > arch.local_memory_bytes
    emit(compile_network(network.graph, arch, get_solver("balance"), pipeline=pipeline), folder / "out")
    report = verify_program(folder / "out", network, images=2)
    assert report.passed, report.reason


TWO, ONE = (Op.VVADD, Op.VVSUB, Op.VVMUL, Op.VVMAX), (Op.VRELU, Op.VTANH, Op.VSIGM, Op.VRSU, Op.VRSL)


def operand_bytes(case: Stages) -> tuple[LongArray, LongArray, LongArray]:
    """Bytes that every instruction of a flow writes and reads, instruction by instruction."""
    tape, eb, found = case.flow.tape, case.arch.element_bytes, []
    for row in range(len(tape.op)):
        op, size = Op(int(tape.op[row])), int(tape.size[row])
        if op == Op.MVMUL:
            at = case.groups.start[case.flow.core[tape.task[row]]] + tape.group[row]
            found.append((case.groups.columns[at] * eb, case.groups.rows[at] * eb, 0))
        elif op == Op.VAVG:
            found.append((eb, ((size - 1) * int(tape.src2_offset[row]) + 1) * eb, 0))
        else:
            width = size * eb if op in TWO or op in ONE else size
            found.append((width, width, width if op in TWO else 0))
    dst, src, src2 = np.array(found, np.int64).reshape(-1, 3).T
    return dst, src, src2


def touches_of(case: Stages, cores: list[int]) -> Touches:
    """What instructions of these cores use, of all images."""
    chosen = np.isin(np.arange(case.arch.total_cores), cores)
    flow, position = case.flow, positions(case.placed)
    return buffer_touches(flow, operand_bytes(case), position[case.placed.actions.number], chosen)


@pytest.mark.parametrize("seed", SEEDS)
def test_touches_are_all_operands_of_the_chosen_cores_in_their_order(seed: int) -> None:
    case = stages(seed)
    flow, tape, moved = case.flow, case.flow.tape, case.flow.transfers
    count, cores = len(flow.buffers.core), list(range(0, case.arch.total_cores, 2))
    t = touches_of(case, cores)
    order = list(zip(t.core.tolist(), t.position.tolist(), t.sub.tolist(), strict=True))
    assert order == sorted(order)
    buffer = t.buffer % count
    assert set(t.core.tolist()) <= set(cores)
    assert (flow.buffers.core[buffer] == t.core).all()
    assert (t.low >= 0).all()
    assert (t.high <= flow.buffers.bytes[buffer]).all()
    once = tape.task >= flow.tasks - flow.constant_tasks
    own = np.isin(flow.core[tape.task], cores)
    operands = sum(
        int(((column >= 0) & own & (once if loaded else ~once)).sum()) * (1 if loaded else IMAGES)
        for column in (tape.dst_buffer, tape.src_buffer, tape.src2_buffer)
        for loaded in (True, False)
    )
    ends = int(np.isin(moved.src_core, cores).sum() + np.isin(moved.dst_core, cores).sum())
    assert len(order) == operands + IMAGES * ends
    assert int(t.writes.sum()) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_most_held_is_what_the_operands_of_one_instruction_take(seed: int) -> None:
    """Of every buffer from the first byte to the last, and a gap."""
    case = stages(seed)
    t = touches_of(case, list(range(case.arch.total_cores)))
    reach: dict[tuple[int, int, int], dict[int, tuple[int, int]]] = {}
    columns = (t.core, t.position, t.sub, t.buffer, t.low, t.high)
    for core, position, sub, buffer, low, high in zip(*(c.tolist() for c in columns), strict=True):
        held = reach.setdefault((core, position, sub), {})
        before = held.get(buffer, (low, high))
        held[buffer] = min(low, before[0]), max(high, before[1])
    expected = [0] * case.arch.total_cores
    for (core, _, _), held in reach.items():
        total = sum(high - low + case.arch.element_bytes for low, high in held.values())
        expected[core] = max(expected[core], total)
    assert most_held(case.flow, operand_bytes(case), case.arch).tolist() == expected
