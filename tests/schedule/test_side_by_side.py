"""Programs of several networks as one: each as it was, elsewhere on the chip and in global memory.

Covers: /pimcomp/frontend/side_by_side, /pimcomp/timeline/timing.
"""

import itertools
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pimcomp.compile import compile_network, compile_side_by_side
from pimcomp.emit.decode import read_memory
from pimcomp.emit.memory_npz import write_memory
from pimcomp.errors import ModelError
from pimcomp.frontend.side_by_side import joined_graph, own_labels
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Input
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.program import Table
from pimcomp.isa.table import DST, GLOBAL, SRC
from pimcomp.plan.regions import regions
from pimcomp.schedule.side_by_side import global_bytes
from pimcomp.timeline.timing import time_parts
from pimcomp.timeline.work import stream_of
from tests.graph_oracle import evaluate
from tests.schedule.random_networks import random_chip, random_network
from tests.schedule.random_plans import RandomPlan

LABELS = ("one", "two")


@pytest.fixture(scope="module")
def pair() -> tuple[list[Compiled], Compiled]:
    """Two random networks for halves of a chip, and both as one."""
    arch = random_chip(7)
    chip = replace(arch, cores=2 * arch.cores, mesh_rows=0)
    halves = regions(chip, (arch.cores, arch.cores))
    parts = [
        compile_network(random_network(seed), half, RandomPlan(), pipeline=Pipeline.BATCH)
        for seed, half in zip((7, 8), halves, strict=True)
    ]
    return parts, compile_side_by_side(chip, LABELS, parts)


def test_each_network_keeps_its_instructions(pair: tuple[list[Compiled], Compiled]) -> None:
    parts, both = pair
    first = 0
    for part in parts:
        own, rows = part.program.table, slice(first, first + part.program.instructions)
        for name in ("op", "group", "size"):
            assert np.array_equal(getattr(both.program.table, name)[rows], getattr(own, name))
        local = (DST[own.op] != GLOBAL) & (SRC[own.op] != GLOBAL)
        assert np.array_equal(both.program.table.dst[rows][local], own.dst[local])
        first = rows.stop
    assert first == both.program.instructions
    assert {len(getattr(both.program.table, field.name)) for field in fields(Table)} == {first}


def test_their_global_memories_do_not_meet(pair: tuple[list[Compiled], Compiled]) -> None:
    parts, both = pair
    ends = []
    for label in LABELS:
        tensors = [*both.program.inputs.items(), *both.program.outputs.items()]
        own = np.concatenate([a.ravel() for name, a in tensors if name.startswith(f"{label}/")])
        ends.append((int(own.min()), int(own.max())))
    assert ends[0][1] < ends[1][0]
    assert ends[1][1] < global_bytes(both.program) <= sum(global_bytes(part.program) for part in parts) + 64


def test_cores_of_a_network_take_what_they_take_alone_or_more(pair: tuple[list[Compiled], Compiled]) -> None:
    """The memory serves one after the other; everything else is its own."""
    parts, both = pair
    ends = np.cumsum([0, *(part.arch.total_cores for part in parts)])
    timings = time_parts(stream_of(both.program, both.arch), both.arch, [slice(*e) for e in itertools.pairwise(ends)])
    for part, timing in zip(parts, timings, strict=True):
        assert timing.latency_ns >= part.timing.latency_ns
        assert np.array_equal(timing.busy_ns, part.timing.busy_ns)
    assert both.timing.latency_ns == max(timing.latency_ns for timing in timings)
    assert both.timing.period_ns_per_round == max(timing.period_ns_per_round for timing in timings)


def test_delays_of_outputs_are_kept_and_checked(pair: tuple[list[Compiled], Compiled], tmp_path: Path) -> None:
    program = pair[1].program
    name = next(iter(program.outputs))
    write_memory(replace(program, output_round_delay=2, output_delays={name: 1}), tmp_path / "memory.npz")
    delays = read_memory(tmp_path / "memory.npz").output_delays
    assert delays == {**dict.fromkeys(program.outputs, 2), name: 1}
    write_memory(replace(program, output_round_delay=2, output_delays={name: 3}), tmp_path / "memory.npz")
    with pytest.raises(ModelError, match="output_delays: expected a number from 0 to 2 for each"):
        read_memory(tmp_path / "memory.npz")


def test_labels_are_of_one_network_each() -> None:
    assert own_labels(["a", "b", "a", "a-2", "a"]) == ("a", "b", "a-2", "a-2-2", "a-3")


def test_a_joined_graph_computes_what_its_parts_do() -> None:
    graphs = [random_network(seed) for seed in (7, 8)]
    joined = joined_graph({f"{label}/": graph for label, graph in zip(LABELS, graphs, strict=True)})
    inputs = dict[str, npt.NDArray[np.float64]]()
    expected = dict[str, npt.NDArray[np.float64]]()
    for label, graph in zip(LABELS, graphs, strict=True):
        rng = np.random.default_rng(len(inputs))
        own = {
            node.name: rng.standard_normal(node.operation.onnx_shape)
            for node in graph.nodes
            if isinstance(node.operation, Input)
        }
        inputs |= {f"{label}/{name}": array for name, array in own.items()}
        expected |= {f"{label}/{name}": array for name, array in evaluate(graph, own)[1].items()}
    found = evaluate(joined, inputs)[1]
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)
