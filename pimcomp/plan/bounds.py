"""Proven lower bounds on latency and period of every program the compiler can emit for a network on a chip.

They hold for every unfolding, replication, core mapping, placement and schedule. The proofs use four facts of the
simulator (docs/timing.md) and of the network:

1. *Memory.* One global-memory server serves all loads and stores one after the other, a beat of `global_width_bytes` in
   `global_read_cycles`. The compiler loads every needed row of an input, so no program has its last input element
   before `load_ns`, and no round is shorter.
2. *Firings.* An `mvmul` takes at most `crossbar_rows` input elements, and every element that some window of a layer
   reads must enter at least one of the layer's MVMs (of siblings that read the same map, one MVM may serve all: the one
   that needs most counts). A layer therefore fires at least ceil(elements / rows) times, however windows are packed. At
   rob_size 1 a core executes one instruction at a time, so a firing occupies its core for reading, computing and 3
   cycles of dispatch; above, for its use of the one local-memory port. One crossbar multiplies at most `crossbar_rows`
   inputs by `weight_cols` weights each and writes `weight_cols` results: all products of weights other than zero with
   elements inside the map take at least products / (rows * cols) crossbars in all firings together, and as many writes.
3. *Additions.* An output that sums K > rows products comes out of at least ceil(K / rows) MVMs, whose results are added
   by vector instructions, each element at no less than its share of full beats; such an output's activation comes after
   the last addition, in one more vector instruction (not counted where only maxima follow, which it could be exchanged
   with). An element-wise node adds or multiplies at least once per output and operand beyond the first, and different
   windows of a pooling node end in one instruction each. A depthwise layer may go to the vector unit instead: it
   multiplies every weight that meets the map and adds the products of an output; whichever takes less counts.
4. *Chains.* The element that is loaded last reaches an output through at least the fewest weighted layers on any path
   from an input to an output, one MVM each, in sequence; and some output needs the most layers on any path (depthwise
   layers not counted).

5. *Unfoldings.* Where the partition of the graph is given, each layer on crossbars is compiled in one of the unfoldings
   that it offers. With any of them every array group fires for every block of windows of a needed row (scattering: for
   every piece of a row of the input that is read), wherever its replicas are; and an output is the sum of what all
   array groups that cover it yield (scattering: in every piece that it reads and kernel row), one addition less than
   there are, and one more for the bias. The least of these replaces 2 and 3 for the layer. Without a partition the
   bounds hold for siblings merged or not, depthwise layers anywhere and unfoldings that nobody has thought of; with it
   they hold for this graph and these unfoldings, and are up to a half higher.

Work on all cores together is at least the sum of 2 and 3, or 5, and `total_cores` cores share it: work_ns.
latency >= max(load_ns + shortest chain, longest chain, work_ns); period per image >= max(load_ns, work_ns).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import LayerMatrix, LongArray, Partition
from pimcomp.ir.graph import Conv, Eltwise, Graph, Loaded, Pool, Standalone, Windowed
from pimcomp.ir.report import Bounds
from pimcomp.plan.rewriting.merge_siblings import sibling_families
from pimcomp.plan.rows import needed_rows, sources_of
from pimcomp.plan.unfoldings import starts, sums

DoubleArray = npt.NDArray[np.float64]

MVM_DISPATCH_CYCLES = 3  # docs/timing.md: retire(i) = retire(i - 1) + D + 2, one more for mvmul


class LeastWork(NamedTuple):
    """What every program does at least for one image, on any chip with crossbars of one shape; the module proves it.

    loaded: elements of each input map. activated: elements whose activation takes an instruction of its own. A node
    does one of its alternatives, of which node n has those from `start[n]` on: firings; crossbars that are written, by
    their share of full beats; additions (elements); and `fired` times the results of array groups with so many
    `crossbars` each, from `group_start[a]` on; activation_bits that its MVMs read (0: the chip's). chains: fewest and
    most MVMs between an input and an output.
    """

    loaded: LongArray
    activated: int
    start: LongArray
    firings: DoubleArray
    shares: DoubleArray
    additions: DoubleArray
    fired: DoubleArray
    group_start: LongArray
    crossbars: LongArray
    activation_bits: LongArray
    chains: tuple[int, int]


class _Alternative(NamedTuple):
    """One way to compute a node: see LeastWork."""

    firings: float = 0
    shares: float = 0
    additions: float = 0
    fired: float = 0
    crossbars: tuple[int, ...] = ()


def bounds(graph: Graph, arch: Arch, partition: Partition | None = None) -> Bounds:
    """Lower bounds for a network on a chip; see the module for the proof.

    partition: of this graph for this chip, for bounds that hold for its unfoldings only.
    """
    return bounds_of(least_work(graph, arch, partition), arch)


def bounds_of(work: LeastWork, arch: Arch) -> Bounds:
    """Lower bounds on a chip with crossbars of the shape that `work` was counted for."""
    beats = -(-work.loaded * arch.element_bytes // arch.global_width_bytes)
    load_ns = float(beats.sum()) * arch.global_read_cycles * arch.global_period_ns
    written_ns = arch.local_write_ns(arch.weight_cols * arch.element_bytes * work.crossbars)
    bits = arch.input_bits_at(work.activation_bits)
    alternative_ns = (
        work.firings * _firing_ns(arch, bits)
        + work.shares * _crossbar_write_ns(arch)
        + work.fired * sums(written_ns, work.group_start)
        + work.additions * _addition_ns(arch)
    )
    total_ns = float(np.minimum.reduceat(alternative_ns, work.start).sum()) + work.activated * _activation_ns(arch)
    work_ns, mvm_ns = total_ns / arch.total_cores, arch.mvm_ns(1, 0, bits.min())
    shortest, longest = work.chains
    return Bounds(
        latency_ns=max(load_ns + shortest * mvm_ns, longest * mvm_ns, work_ns),
        period_ns=max(load_ns, work_ns),
        load_ns=load_ns,
        work_ns=work_ns,
        shortest_chain_ns=shortest * mvm_ns,
        longest_chain_ns=longest * mvm_ns,
    )


def least_work(graph: Graph, arch: Arch, partition: Partition | None = None) -> LeastWork:
    """The counts behind `bounds`: of the chip only the shape of a crossbar matters."""
    needed = needed_rows(graph)
    families = {member: family for family in sibling_families(graph) for member in family}
    offered = {} if partition is None else dict(zip(partition.nodes, partition.options, strict=True))
    alternatives = [
        [_unfolded(graph, matrix, needed[index]) for matrix in offered[index]]
        if index in offered
        else _alternatives(graph, index, needed, arch, families)
        for index in range(len(graph.nodes))
    ]
    flat = [alternative for found in alternatives for alternative in found]
    readers = graph.readers()
    loaded = [
        int(rows.sum()) * node.width * node.channels
        for node, rows in zip(graph.nodes, needed, strict=True)
        if isinstance(node.operation, Loaded)
    ]
    return LeastWork(
        loaded=np.array(loaded, np.int64),
        activated=sum(
            _activated(graph, index, readers[index], needed[index], arch) for index in range(len(graph.nodes))
        ),
        start=starts(map(len, alternatives))[:-1],
        firings=np.array([a.firings for a in flat], np.float64),
        shares=np.array([a.shares for a in flat], np.float64),
        additions=np.array([a.additions for a in flat], np.float64),
        fired=np.array([a.fired for a in flat], np.float64),
        group_start=starts(len(a.crossbars) for a in flat),
        crossbars=np.array([crossbars for a in flat for crossbars in a.crossbars], np.int64),
        activation_bits=np.array(
            [bits for bits, found in zip(_activation_bits(graph), alternatives, strict=True) for _ in found], np.int64
        ),
        chains=_chains(graph),
    )


def _activation_bits(graph: Graph) -> list[int]:
    return [n.operation.precision.activation_bits if isinstance(n.operation, Conv) else 0 for n in graph.nodes]


def _unfolded(graph: Graph, matrix: LayerMatrix, needed: np.ndarray) -> _Alternative:
    """What a layer takes at least in this unfolding, on all cores together."""
    node = graph.nodes[matrix.node]
    covered = np.zeros(matrix.columns, dtype=np.int64)
    for group in matrix.groups:
        for begin, end in group.col_spans:
            covered[begin:end] += 1
    pixels = int(needed.sum()) * node.width
    if scatter := matrix.unfolding.scatter:
        rows, columns = (len(np.unique(met)) for met in _positions_met(graph, matrix.node, needed))
        fired = rows * -(-columns // scatter)
        (_, tall), (_, wide) = _taps(graph, matrix.node, needed)
        parts = int(tall.sum() * (-(-wide.sum(axis=1) // scatter)).sum()) * int(covered.min(initial=1))
        additions = (parts - pixels) * node.channels
    else:
        fired = int(needed.sum()) * -(-node.width // matrix.unfolding.block)
        parts_of = covered.reshape(matrix.unfolding.block, node.channels).min(axis=0)
        additions = pixels * int((parts_of - 1).clip(0).sum())
    additions = max(additions, 0)
    if isinstance(node.operation, Conv) and node.operation.bias is not None and node.operation.bias.any():
        additions += pixels * node.channels
    crossbars = tuple(group.crossbars for group in matrix.groups)
    return _Alternative(fired * len(crossbars), additions=additions, fired=fired, crossbars=crossbars)


def _alternatives(
    graph: Graph, index: int, needed: list[np.ndarray], arch: Arch, families: dict[int, tuple[int, ...]]
) -> list[_Alternative]:
    """What a node takes at least in any unfolding; the MVMs of siblings count once, for the first."""
    node = graph.nodes[index]
    added = _Alternative(additions=_additions(graph, index, needed[index], arch))
    if not isinstance(node.operation, Conv):
        return [added]
    family = families.get(index, (index,))
    if index == family[0]:
        firings = max(_least_firings(graph, i, needed[i], arch) for i in family)
        products = sum(_products(graph, i, needed[i]) for i in family)
        added = added._replace(firings=firings, shares=max(firings, products / (arch.crossbar_rows * arch.weight_cols)))
    if not 1 < node.operation.groups == node.channels:
        return [added]
    met = _positions_met(graph, index, needed[index])
    products = len(met[0]) * len(met[1]) * node.channels
    # The difference is negative where whole windows lie outside the map.
    summed = products - int(needed[index].sum()) * node.width * node.channels
    return [added, _Alternative(additions=products + max(summed, 0))]


def _least_firings(graph: Graph, index: int, needed: np.ndarray, arch: Arch) -> int:
    """MVMs that a layer's input elements need, full rows assumed."""
    taken = [len(np.unique(positions)) for positions in _positions_met(graph, index, needed)]
    view = graph.nodes[index].inputs[0]
    channels = len(np.unique(np.stack([view.sources, view.channels]), axis=1).T)
    return -(-taken[0] * taken[1] * channels // arch.crossbar_rows)


def _positions_met(graph: Graph, index: int, needed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a node's input map that its windows meet, once for every output row or column and tap."""
    (rows, tall), (columns, wide) = _taps(graph, index, needed)
    return rows[tall], columns[wide]


def _products(graph: Graph, index: int, needed: np.ndarray) -> int:
    """Products of a layer's weights other than zero with elements of its input map."""
    node = graph.nodes[index]
    assert isinstance(node.operation, Conv)
    (_, tall), (_, wide) = _taps(graph, index, needed)
    weights = np.count_nonzero(node.operation.weights, axis=(0, 1))
    return int(tall.sum(axis=0) @ weights @ wide.sum(axis=0))


def _taps(graph: Graph, index: int, needed: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per axis the positions of the input map that each output's taps stand on, and which lie inside:
    int[outputs, kernel], bool[outputs, kernel]; outputs are the needed rows, and all columns."""
    node = graph.nodes[index]
    assert isinstance(node.operation, Windowed)
    source, window = graph.nodes[int(node.inputs[0].sources[0])], node.operation.window
    found = []
    for axis, (size, outputs) in enumerate(
        ((source.height, np.flatnonzero(needed)), (source.width, np.arange(node.width)))
    ):
        taps = np.arange(window.kernel[axis]) * window.dilation[axis] - window.pads[axis]
        positions = outputs[:, None] * window.stride[axis] + taps
        found.append((positions, (positions >= 0) & (positions < size)))
    return found


def _additions(graph: Graph, index: int, needed: np.ndarray, arch: Arch) -> int:
    """Elements that vector instructions must add, multiply or compare for one image."""
    node = graph.nodes[index]
    outputs = int(needed.sum()) * node.width * node.channels
    match operation := node.operation:
        case Eltwise():
            return outputs * (len(node.inputs) - 1)
        case Conv():
            products = operation.weights.shape[1] * _taps_with_weights(operation)
            return outputs // node.channels * int((-(-products // arch.crossbar_rows) - 1).clip(0).sum())
        case Pool():
            tall, wide = (_different_windows(*axis) for axis in _taps(graph, index, needed))
            # Different windows, less those of one element.
            return (tall[0] * wide[0] - tall[1] * wide[1]) * node.channels
        case _:
            return 0  # of an operation that is not looked at: a bound all the same


def _different_windows(positions: np.ndarray, inside: np.ndarray) -> tuple[int, int]:
    """(different ones, those of one element) among the ranges of a map that windows meet along an axis."""
    met = {tuple(row[mask].tolist()) for row, mask in zip(positions, inside, strict=True)} - {()}
    return len(met), sum(len(window) == 1 for window in met)


def _activated(graph: Graph, index: int, readers: set[int], needed: np.ndarray, arch: Arch) -> int:
    """Elements whose activation takes a vector instruction of its own."""
    node = graph.nodes[index]
    if node.activation is None:
        return 0
    reading = [graph.nodes[reader].operation for reader in readers if reader >= 0]
    only_maxima = bool(reading) and all(isinstance(o, Pool) and o.method == "max" for o in reading)
    if only_maxima:
        return 0
    pixels = int(needed.sum()) * node.width
    if isinstance(node.operation, Conv):
        products = node.operation.weights.shape[1] * _taps_with_weights(node.operation)
        return pixels * int(np.count_nonzero(products > arch.crossbar_rows))
    return pixels * node.channels if isinstance(node.operation, Eltwise | Standalone) else 0


def _taps_with_weights(conv: Conv) -> np.ndarray:
    """int[out_channels]: taps of each filter that hold a weight other than zero."""
    taps = int(np.prod(conv.window.kernel))
    if taps == 1:
        return np.ones(len(conv.weights), dtype=np.int64)
    return np.asarray((conv.weights != 0).any(axis=1).sum(axis=(1, 2)), dtype=np.int64)


def _firing_ns(arch: Arch, input_bits: LongArray) -> DoubleArray:
    """Least time of a core per firing that reads so many bits, without writing its results."""
    read_ns = arch.local_read_ns(8 * arch.crossbar_rows * arch.element_bytes)
    if arch.rob_size > 1:
        return np.full(len(input_bits), read_ns)
    return np.asarray(read_ns + arch.compute_ns(input_bits) + MVM_DISPATCH_CYCLES * arch.core_period_ns)


def _crossbar_write_ns(arch: Arch) -> float:
    """Least time of the local-memory port for the results of one crossbar: its share of full beats."""
    beats = arch.weight_cols * arch.element_bytes / arch.local_width_bytes
    return beats * arch.local_write_cycles * arch.local_period_ns


def _addition_ns(arch: Arch) -> float:
    """Least time of a core per added element: its share of full beats at the port, and of the vector unit at rob_size
    1."""
    return _vector_ns(arch, 2 * arch.local_read_cycles + arch.local_write_cycles)


def _activation_ns(arch: Arch) -> float:
    """The same per element of an instruction with one operand."""
    return _vector_ns(arch, arch.local_read_cycles + arch.local_write_cycles)


def _vector_ns(arch: Arch, cycles_per_beat: int) -> float:
    port = arch.element_bytes / arch.local_width_bytes * cycles_per_beat * arch.local_period_ns
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
    ends = graph.stored()
    return min((fewest[e] for e in ends), default=0), max((most[e] for e in ends), default=0)
