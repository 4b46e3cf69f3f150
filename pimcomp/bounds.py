"""Proven lower bounds on latency and period of every program the compiler can emit for a network on a chip.

They hold for every unfolding, replication, core mapping, placement and schedule. The proofs use four facts of the
simulator (docs/timing.md) and of the network:

1. *Memory.* One global-memory server serves all loads and stores one after the other, a beat of `global_width_bytes` in
   `global_read_cycles`. The compiler loads every needed row of an input, so no program has its last input element
   before `load_ns`, and no round is shorter.
2. *Firings.* An `mvmul` takes at most `crossbar_rows` input elements, and every element that some window of a layer
   reads must enter at least one of the layer's MVMs (of siblings that read the same map, one MVM may serve all: the one
   that needs most counts). A layer therefore fires at least ceil(elements / rows) times, however windows are packed. At
   rob_size 1 a core executes one instruction at a time, so a firing occupies its core for the whole MVM (on one
   crossbar at least) and 3 cycles of dispatch; above, for its use of the one local-memory port.
3. *Additions.* An output that sums K > rows products comes out of at least ceil(K / rows) MVMs, whose results are added
   by vector instructions, each element at no less than its share of full beats. An element-wise node adds or multiplies
   at least once per output and operand beyond the first. A depthwise layer may go to the vector unit instead: it
   multiplies every weight that meets the map and adds the products of an output; whichever takes less counts.
4. *Chains.* The element that is loaded last reaches an output through at least the fewest weighted layers on any path
   from an input to an output, one MVM each, in sequence; and some output needs the most layers on any path (depthwise
   layers not counted).

Work on all cores together is at least the sum of 2 and 3, and `total_cores` cores share it: work_ns.
latency >= max(load_ns + shortest chain, longest chain, work_ns); period per image >= max(load_ns, work_ns).
"""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Eltwise, Graph, Input, Node
from pimcomp.merge_siblings import sibling_families
from pimcomp.schedule.rows import needed_rows, sources_of

MVM_DISPATCH_CYCLES = 3  # docs/timing.md: retire(i) = retire(i - 1) + D + 2, one more for mvmul


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lower bounds of one image and what they are made of, in ns."""

    latency_ns: float
    period_ns: float
    load_ns: float
    work_ns: float
    shortest_chain_ns: float
    longest_chain_ns: float


def bounds(graph: Graph, arch: Arch) -> Bounds:
    """Lower bounds for a network on a chip; see the module for the proof."""
    needed = needed_rows(graph)
    load_ns = sum(_load_ns(arch, node, int(rows.sum())) for node, rows in zip(graph.nodes, needed, strict=True))
    families = {member: family for family in sibling_families(graph) for member in family}
    work_ns = sum(_work_ns(graph, index, needed, arch, families) for index in range(len(graph.nodes)))
    work_ns /= arch.total_cores
    mvm_ns = arch.mvm_ns(1)
    shortest, longest = _chains(graph)
    return Bounds(
        latency_ns=max(load_ns + shortest * mvm_ns, longest * mvm_ns, work_ns),
        period_ns=max(load_ns, work_ns),
        load_ns=load_ns,
        work_ns=work_ns,
        shortest_chain_ns=shortest * mvm_ns,
        longest_chain_ns=longest * mvm_ns,
    )


def _load_ns(arch: Arch, node: Node, rows: int) -> float:
    if not isinstance(node.operation, Input):
        return 0.0
    beats = -(-rows * node.width * node.channels * arch.element_bytes // arch.global_width_bytes)
    return beats * arch.global_read_cycles * arch.global_period_ns


def _work_ns(
    graph: Graph, index: int, needed: list[np.ndarray], arch: Arch, families: dict[int, tuple[int, ...]]
) -> float:
    """Issue time that a node takes at least on all cores together; the MVMs of siblings count once, for the first."""
    node = graph.nodes[index]
    added = _additions(graph, index, needed[index], arch)
    if not isinstance(node.operation, Conv):
        return added * _addition_ns(arch)
    family = families.get(index, (index,))
    firings = max(_least_firings(graph, i, needed[i], arch) for i in family) if index == family[0] else 0
    crossbars_ns = firings * _firing_ns(arch) + added * _addition_ns(arch)
    if not 1 < node.operation.groups == node.channels:
        return crossbars_ns
    met = _positions_met(graph, index, needed[index])
    products = len(met[0]) * len(met[1]) * node.channels
    # The difference is negative where whole windows lie outside the map.
    sums = products - int(needed[index].sum()) * node.width * node.channels
    return min(crossbars_ns, (products + max(sums, 0)) * _addition_ns(arch))


def _least_firings(graph: Graph, index: int, needed: np.ndarray, arch: Arch) -> int:
    """MVMs that a layer's input elements need, full rows assumed."""
    taken = [len(np.unique(positions)) for positions in _positions_met(graph, index, needed)]
    view = graph.nodes[index].inputs[0]
    channels = len(np.unique(np.stack([view.sources, view.channels]), axis=1).T)
    return -(-taken[0] * taken[1] * channels // arch.crossbar_rows)


def _positions_met(graph: Graph, index: int, needed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a layer's input map that its windows meet, once for every output row or column and tap."""
    node = graph.nodes[index]
    assert isinstance(node.operation, Conv)
    source, window = graph.nodes[int(node.inputs[0].sources[0])], node.operation.window
    met = []
    for axis, (size, outputs) in enumerate(
        ((source.height, np.flatnonzero(needed)), (source.width, np.arange(node.width)))
    ):
        taps = np.arange(window.kernel[axis]) * window.dilation[axis] - window.pads[axis]
        positions = (outputs[:, None] * window.stride[axis] + taps).ravel()
        met.append(positions[(positions >= 0) & (positions < size)])
    return met[0], met[1]


def _additions(graph: Graph, index: int, needed: np.ndarray, arch: Arch) -> int:
    """Elements that vector instructions must add or multiply for one image."""
    node = graph.nodes[index]
    outputs = int(needed.sum()) * node.width * node.channels
    if isinstance(node.operation, Eltwise):
        return outputs * (len(node.inputs) - 1)
    if isinstance(node.operation, Conv):
        weights = node.operation.weights
        products = weights.shape[1] * _taps_with_weights(node.operation)
        return outputs // node.channels * int((-(-products // arch.crossbar_rows) - 1).clip(0).sum())
    return 0


def _taps_with_weights(conv: Conv) -> np.ndarray:
    """int[out_channels]: taps of each filter that hold a weight other than zero."""
    taps = int(np.prod(conv.window.kernel))
    if taps == 1:
        return np.ones(len(conv.weights), dtype=np.int64)
    return np.asarray((conv.weights != 0).any(axis=1).sum(axis=(1, 2)), dtype=np.int64)


def _firing_ns(arch: Arch) -> float:
    """Least time of a core per firing."""
    if arch.rob_size == 1:
        return arch.mvm_ns(1) + MVM_DISPATCH_CYCLES * arch.core_period_ns
    b = arch.element_bytes
    return arch.local_read_ns(8 * arch.crossbar_rows * b) + arch.local_write_ns(arch.weight_cols * b)


def _addition_ns(arch: Arch) -> float:
    """Least time of a core per added element: its share of full beats at the port, and of the vector unit at rob_size
    1."""
    cycles = 2 * arch.local_read_cycles + arch.local_write_cycles
    port = arch.element_bytes / arch.local_width_bytes * cycles * arch.local_period_ns
    return port + (arch.vector_latency_ns / arch.vector_width if arch.rob_size == 1 else 0.0)


def _chains(graph: Graph) -> tuple[int, int]:
    """Fewest and most weighted layers on a path from an input to an output."""
    fewest: list[int] = []
    most: list[int] = []
    for node in graph.nodes:
        weighted = int(isinstance(node.operation, Conv) and not 1 < node.operation.groups == node.channels)
        before = sources_of(node)
        fewest.append(weighted + min((fewest[s] for s in before), default=0))
        most.append(weighted + max((most[s] for s in before), default=0))
    ends = {int(s) for output in graph.outputs for s in output.view.sources}
    return min((fewest[e] for e in ends), default=0), max((most[e] for e in ends), default=0)
