"""Closed-form cost of a Plan: the quantities every solver optimises and certifies.

A core at rob_size 1 executes one instruction at a time, so what is scarce is the issue time of cores. The model, for
layer k with option o and replication r:

- The `firings` window blocks are dealt out evenly: replica j fires `firings // r` times, the first `firings % r` once
  more.
- One firing of array group a costs `mvm_ns[a] + vector_ns / groups`: the layer's copies and additions, shared evenly.
- A replica on m cores sends m - 1 partial-sum messages per row segment to the core of its array group 0; a message
  occupies both ends.
- The one memory server delivers the input in `load_ns`, one image after another.
- Layers that are not weighted (pooling, additions) may run on any core: they fill up idle ones.
- At rob_size R a core overlaps up to R instructions; one array group still fires one after another.

`period_ns` is the busiest core. `latency_ns` follows the dependency chain: a layer starts when its producers have
finished the first rows it needs, and ends at the earliest one row after they do; a row takes its even share of the
layer's time, but never less than one window block takes a replica. Both are lower estimates of a real schedule, and
both are positively homogeneous, convex and increasing in the layer and row times, which is what the solvers' bounds
rest on.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import Layer, LayerOption, MappingProblem, Pipeline, Plan

FloatVector = npt.NDArray[np.float64]
IntVector = npt.NDArray[np.int64]

# Rows of the producer that a layer waits for before its first window: a 3 x 3 kernel with padding 1 needs two.
FIRST_ROWS = 2


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cost:
    """Cost of one plan. load_ns: float64[layers, cores], issue time per inference of each layer on each core."""

    latency_ns: float
    period_ns: float
    crossbars_used: int
    load_ns: FloatVector

    def objective_ns(self, pipeline: Pipeline) -> float:
        """What a solver minimises: the latency of one image or the time between images."""
        return self.latency_ns if pipeline is Pipeline.ELEMENT else self.period_ns


class Shapes(NamedTuple):
    """All options of all layers as arrays: option o of layer k is row first[k] + o of the others, int64[layers + 1].

    firings, blocks (window blocks per row), groups, crossbars (of a replica), start: int64[options]. weight, slowest,
    work: float64[options], firing time of all array groups of a replica, of its slowest one, and all issue time of an
    inference. size, time: of all array groups, crossbars and firing time; an option's begin at its `start`. message:
    the problem's, ns.
    """

    first: IntVector
    firings: IntVector
    blocks: IntVector
    groups: IntVector
    crossbars: IntVector
    weight: FloatVector
    slowest: FloatVector
    work: FloatVector
    start: IntVector
    size: IntVector
    time: FloatVector
    message: float


def shapes_of(problem: MappingProblem) -> Shapes:
    """The problem's options."""
    options = [(layer, option) for layer in problem.layers for option in layer.options]
    times = [firing_ns(option) for _, option in options]
    groups = np.array([len(t) for t in times], dtype=np.int64)
    return Shapes(
        first=np.cumsum([0] + [len(layer.options) for layer in problem.layers]).astype(np.int64),
        firings=np.array([option.firings for _, option in options], dtype=np.int64),
        blocks=np.array([-(-layer.out_width // o.unfolding.block) for layer, o in options], dtype=np.int64),
        groups=groups,
        crossbars=np.array([option.crossbars for _, option in options], dtype=np.int64),
        weight=np.array([t.sum() for t in times]),
        slowest=np.array([t.max() for t in times]),
        work=np.array([option.work_ns for _, option in options]),
        start=np.concatenate([[0], np.cumsum(groups)]).astype(np.int64),
        size=np.concatenate([np.zeros(0, np.int64), *(o.ag_crossbars for _, o in options)]).astype(np.int64),
        time=np.concatenate([np.zeros(0), *times]),
        message=problem.message_ns,
    )


def firing_ns(option: LayerOption) -> FloatVector:
    """float64[array groups]: issue time of one firing with the layer's vector work shared evenly."""
    return option.mvm_ns + option.vector_ns / len(option.mvm_ns)


def message_ns(problem: MappingProblem, layer: Layer, option: LayerOption, replication: int) -> float:
    """Issue time per window block, at each end, of the partial sums of a replica that is split between two cores.

    One message carries a row segment: the window blocks of a row are divided among the replicas before the rows are.
    """
    return float(segment_ns(problem.message_ns, -(-layer.out_width // option.unfolding.block), replication))


@kernel
def segment_ns(message_ns: float, blocks: int, replication: int) -> float:
    """Time of a message per window block of a row segment, of a row of so many blocks."""
    return message_ns / -(-blocks // min(replication, blocks))


def shares(firings: int, replication: int) -> IntArray:
    """int32[replication]: window blocks per replica."""
    blocks = np.full(replication, firings // replication, dtype=np.int32)
    blocks[: firings % replication] += 1
    return blocks


def core_loads_ns(problem: MappingProblem, plan: Plan) -> FloatVector:
    """float64[layers, cores]: issue time per inference of each layer on each core, partial-sum messages included."""
    return _loads_and_blocks(problem, plan)[0]


def _loads_and_blocks(problem: MappingProblem, plan: Plan) -> tuple[FloatVector, FloatVector]:
    """The loads, and float64[layers]: how long one window block takes the slowest replica of each layer."""
    load, block_ns = np.zeros((len(problem.layers), problem.cores)), np.zeros(len(problem.layers))
    for k, layer in enumerate(problem.layers):
        option, r = layer.options[plan.option[k]], plan.replication[k]
        message = message_ns(problem, layer, option, r)
        block_ns[k] = _add_layer(load[k], plan.core_of[k], shares(option.firings, r), firing_ns(option), message)
    return load, block_ns


@kernel
def _add_layer(load: FloatVector, core_of: IntArray, blocks: IntArray, weights: FloatVector, message: float) -> float:
    block = np.zeros(len(load))  # of the current replica, on each core
    slowest = 0.0
    for j in range(core_of.shape[0]):
        head = core_of[j, 0]
        for a in range(core_of.shape[1]):
            core = core_of[j, a]
            if block[core] == 0.0 and core != head:
                block[core] = message
                block[head] += message
            block[core] += weights[a]
        for a in range(core_of.shape[1]):
            core = core_of[j, a]
            slowest = max(slowest, block[core])
            load[core] += blocks[j] * block[core]
            block[core] = 0.0
    return slowest


def plan_cost(problem: MappingProblem, plan: Plan) -> Cost:
    """Cost of a complete plan."""
    load, block_ns = _loads_and_blocks(problem, plan)
    floor = np.array([
        group_busy_ns(layer.options[o], np.array([r]))[0]
        for layer, o, r in zip(problem.layers, plan.option, plan.replication, strict=True)
    ])  # fmt: skip
    overlapped = load / problem.rob_size
    time = np.maximum(overlapped.max(axis=1), floor)
    core = overlapped.sum(axis=0)
    spread_ns = (load.sum() + problem.vector_work_ns) / problem.cores / problem.rob_size
    row = np.maximum(time / heights(problem), block_ns / problem.rob_size)
    start, finish = chain_ns(problem, time[None], row[None])
    begins = np.where(load > 0, start[0][:, None], np.inf).min(axis=0, initial=np.inf)
    ends = np.where(np.isfinite(begins), begins + core, 0.0)
    return Cost(
        latency_ns=float(max(finish.max(initial=0.0), ends.max(initial=0.0), spread_ns, problem.load_ns)),
        period_ns=float(max(core.max(initial=0.0), floor.max(initial=0.0), spread_ns, problem.load_ns)),
        crossbars_used=plan.crossbars_used(problem),
        load_ns=load,
    )


def group_busy_ns(option: LayerOption, replication: npt.NDArray[np.int_]) -> FloatVector:
    """float64[replication's shape]: issue time of the busiest array group, which no mapping can divide further."""
    weights = firing_ns(option)
    return np.asarray(-(-option.firings // replication) * weights.max(), dtype=np.float64)


def heights(problem: MappingProblem) -> FloatVector:
    """float64[layers]: rows of each layer's output."""
    return np.array([layer.out_height for layer in problem.layers], dtype=np.float64)


def chain_ns(problem: MappingProblem, time_ns: FloatVector, row_ns: FloatVector) -> tuple[FloatVector, FloatVector]:
    """Start and finish of each layer in a row-streaming pipeline.

    time_ns, row_ns: float64[population, layers], how long each layer works on all rows, and on one, if it never
    waits. Both results have their shape.
    """
    start, finish = np.zeros_like(time_ns), np.zeros_like(time_ns)
    for k, layer in enumerate(problem.layers):
        ready = np.full(len(time_ns), 0.0 if layer.depends else problem.load_ns)
        for d in layer.depends:
            first = first_rows(problem.layers[d]) * row_ns[:, d]
            start[:, k] = np.maximum(start[:, k], finish[:, d] if layer.fully_connected else start[:, d] + first)
            ready = np.maximum(ready, finish[:, d])
        finish[:, k] = np.maximum(start[:, k] + time_ns[:, k], ready + row_ns[:, k])
    return start, finish


def first_rows(producer: Layer) -> int:
    """Rows of a producer that a convolution waits for."""
    return min(producer.out_height, FIRST_ROWS)


def population_cost(
    problem: MappingProblem, option: npt.NDArray[np.int_], replication: npt.NDArray[np.int_]
) -> tuple[FloatVector, FloatVector, npt.NDArray[np.int64]]:
    """Latency and period (ns) and crossbars used of many plans before core mapping, each loaded as evenly as possible.

    option, replication: int[population, layers]. Never above `plan_cost` of any mapping of the same choice.
    """
    shapes = shapes_of(problem)
    row = shapes.first[:-1] + option
    work, crossbars = shapes.work[row], (shapes.crossbars[row] * replication).sum(axis=1)
    time = -(-shapes.firings[row] // replication) * shapes.slowest[row]
    block = shapes.slowest[row] / problem.rob_size
    slots = problem.cores * problem.rob_size
    issue = (work.sum(axis=1) + problem.vector_work_ns) / slots
    time_or_share = np.maximum(time, work / slots)
    _, finish = chain_ns(problem, time_or_share, np.maximum(time_or_share / heights(problem), block))
    latency = np.maximum(finish.max(axis=1, initial=0.0), issue)
    period = np.maximum(time.max(axis=1, initial=problem.load_ns), issue)
    return np.maximum(latency, problem.load_ns), period, crossbars


def issue_bound_ns(problem: MappingProblem) -> float:
    """Lower bound of latency and period of every plan: all issue time spread evenly, or loading the input.

    Proof: the input passes the one memory server once per image, and every plan executes at least min over options of
    a layer's work for each layer, on `cores` cores that overlap at most `rob_size` instructions.
    """
    work = sum(min(o.work_ns for o in layer.options) for layer in problem.layers)
    return max((work + problem.vector_work_ns) / (problem.cores * problem.rob_size), problem.load_ns)
