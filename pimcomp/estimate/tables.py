"""A network on a chip as plain arrays: everything an estimate needs that no plan changes.

Times are unit times (docs/timing.md) and what the front end adds per instruction, energies what the simulator charges
for the same instructions. Node n is a node of the graph, edge e one of its sources, layer k a weighted node in order.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.estimate.instruction_costs import NodeWork, Price, Ranges, node_work
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition, Unfoldings
from pimcomp.ir.graph import Graph, Loaded, Pick, Windowed, first_read, window_of
from pimcomp.plan.rows import needed_rows, read_whole, sources_of
from pimcomp.plan.unfoldings import starts, sums
from pimcomp.schedule.sites import centre, leader, led_pixels
from pimcomp.schedule.stages import phases, shared_work, stages
from pimcomp.schedule.work import DoubleArray, LongArray
from pimcomp.timeline.energy import mvm_crossbar_pj, static_power_mw

INPUT, LAYER, VECTOR = range(3)
# Columns of `node_price`: per segment, per output pixel, instructions of one and of two operands over a whole segment,
# and those over its input columns.
FIXED_NS, FIXED_PJ, PIXEL_NS, PIXEL_PJ, ONE_OPERAND, TWO_OPERAND, WINDOW_ROWS = range(7)
# Columns of `group_price`: a firing with the copies it needs, and the addition of its results.
FIRE_NS, FIRE_PJ, ADD_NS, ADD_PJ = range(4)
STAGE, MEMBERS, APART = range(3)  # columns of `stage`
MASK_BITS = 62  # rows of all sources that an array group's mask can name; the last source takes the overflow


class Chip(NamedTuple):
    """The chip's parameters that per-plan formulas need; no arrays, so that kernels pass it freely."""

    cores: int
    element_bytes: int
    beats_per_byte: float  # of local memory
    local_read_ns: float
    local_write_ns: float
    local_beat_pj: tuple[float, float]  # read, write
    vector_beats_per_element: float
    vector_latency_ns: float
    vector_beat_pj: float
    flits_per_byte: float
    instruction_ns: float
    instruction_pj: float
    local_memory_bytes: int
    core_static_mw: float
    chip_static_mw: float


class Network(NamedTuple):
    """Nodes, edges, layers and array groups; arrays of prices (see `priced`) are empty at first.

    kind: INPUT, LAYER or VECTOR. base: the node whose segments a node's work follows (itself for layers and inputs).
    row_start int64[nodes + 1] into followed_row (the base's row that decides who computes a row) and needed_before
    (needed rows in front of each row, int64[rows + 1]). column_start into columns_before (per column of the base, and
    its width: how many of the node's columns follow columns in front of it). phase: see `phases`. shared int64[nodes,
    2]: of a node whose segments are shared out what `shared_work` says, 0 for others; share_ns: of a pixel of it. stage
    int64[nodes, 3]: its number, members and whether its pieces lie apart, -1 for others (see `Stage`). work
    int64[nodes, 14]: the columns of NodeWork. node_price float64[nodes, 7]: vector work of a node, see FIXED_NS and the
    following.
    constant_bytes, constant_ns: vectors a core loads once, at the memory server. load_ns, store_ns: a row at the
    server. edge_start int64[nodes + 1]; per edge its source, extent (rows of the window, dilation included), base_start
    into base_row (first row read, may be negative), reach_start into base_column (first column read, may be
    negative), first_column and last_column (clipped to the map).
    outputs: nodes that are stored. layer: k or -1. option_start int64[layers + 1]; per option: block, scatter, kernel
    int64[options, 2], group_start int64[options + 1], scratch_bytes, option_crossbars, firings. Per array group:
    group_price float64[groups, 4], see FIRE_NS and the following; mvm_ns; covers (all columns), rows (mask of the
    source rows it reads), reach (see `_columns_read`).
    flit_ns, flit_pj float64[cores + 1, cores + 1].
    """

    kind: LongArray
    layer: LongArray
    height: LongArray
    width: LongArray
    channels: LongArray
    base: LongArray
    row_start: LongArray
    needed_before: LongArray
    followed_row: LongArray
    column_start: LongArray
    columns_before: LongArray
    phase: LongArray
    shared: LongArray
    stage: LongArray
    work: LongArray
    share_ns: DoubleArray
    node_price: DoubleArray
    constant_bytes: LongArray
    constant_ns: DoubleArray
    load_ns: DoubleArray
    store_ns: DoubleArray
    edge_start: LongArray
    source: LongArray
    extent: LongArray
    base_start: LongArray
    base_row: LongArray
    reach_start: LongArray
    base_column: LongArray
    first_column: LongArray
    last_column: LongArray
    outputs: LongArray
    option_start: LongArray
    block: LongArray
    scatter: LongArray
    kernel: LongArray
    group_start: LongArray
    scratch_bytes: LongArray
    option_crossbars: LongArray
    firings: LongArray
    group_price: DoubleArray
    mvm_ns: DoubleArray
    covers: npt.NDArray[np.bool_]
    rows: LongArray
    reach: LongArray
    flit_ns: DoubleArray
    flit_pj: DoubleArray


def chip_table(arch: Arch) -> Chip:
    """The chip's parameters."""
    price = Price(arch)
    core_mw = static_power_mw(arch, 1) - static_power_mw(arch, 0)
    return Chip(
        cores=arch.total_cores,
        element_bytes=arch.element_bytes,
        beats_per_byte=1.0 / arch.local_width_bytes,
        local_read_ns=arch.local_read_cycles * arch.local_period_ns,
        local_write_ns=arch.local_write_cycles * arch.local_period_ns,
        local_beat_pj=(float(arch.local_read_pj), float(arch.local_write_pj)),
        vector_beats_per_element=1.0 / arch.vector_width,
        vector_latency_ns=float(arch.vector_latency_ns),
        vector_beat_pj=price.vector_beat_pj,
        flits_per_byte=1.0 / arch.bus_width_bytes,
        instruction_ns=price.instruction_ns,
        instruction_pj=price.instruction_pj,
        local_memory_bytes=arch.local_memory_bytes,
        core_static_mw=float(core_mw),
        chip_static_mw=float(static_power_mw(arch, 0)),
    )


def network_of(graph: Graph, partition: Partition, ranges: Ranges) -> Network:
    """The network's arrays, without prices: equal on all chips with crossbars of this shape."""
    layer = np.full(len(graph.nodes), -1)
    layer[list(partition.nodes)] = np.arange(len(partition.nodes))
    inputs = np.array([isinstance(node.operation, Loaded) for node in graph.nodes])
    stored = np.unique(np.concatenate([output.view.sources for output in graph.outputs]))
    flat = partition.flat
    kernels = [graph.nodes[node].operation.window.kernel for node in flat.node]
    columns = {
        **dict.fromkeys(Network._fields, np.zeros(0)),
        "kind": np.where(layer >= 0, LAYER, np.where(inputs, INPUT, VECTOR)),
        "layer": layer,
        "height": np.array([node.height for node in graph.nodes]),
        "width": np.array([node.width for node in graph.nodes]),
        "channels": np.array([node.channels for node in graph.nodes]),
        "outputs": stored.astype(np.int64),
        "work": np.array([node_work(graph, n, bool(k >= 0), ranges) for n, k in enumerate(layer)], dtype=np.int64),
        **_followed(graph, layer >= 0),
        **_edges(graph),
        "option_start": starts([len(options) for options in partition.options]),
        "block": flat.block,
        "scatter": flat.scatter,
        "kernel": np.array(kernels, dtype=np.int64).reshape(-1, 2),
        "group_start": flat.group_start,
        "firings": flat.firings,
        "option_crossbars": sums(flat.crossbars, flat.group_start),
        "rows": _rows_read(graph, partition),
        "reach": _columns_read(graph, partition),
        "covers": flat.group_columns == np.repeat(flat.columns, np.diff(flat.group_start)),
    }
    return Network(**{name: np.ascontiguousarray(columns[name]) for name in Network._fields})


def priced(network: Network, arch: Arch, flat: Unfoldings) -> Network:
    """The network's arrays with what everything costs on a chip. flat: of the partition that it was made of."""
    price, work = Price(arch), NodeWork(*network.work.T)
    one, copy, runs = price.vector(network.channels, 1), price.copy(network.channels), work.more_runs + 1
    two = price.vector(-(-network.channels // runs), 2)
    pixel = two * (work.two * runs) + one * work.one + copy * work.copies + price.vector(work.dotted, 2) * work.dots
    fixed = price.copy(work.gathered) * work.gathers + price.vector(work.averaged, 1) * work.means
    mvm = (flat.crossbars, flat.weight_bits, flat.activation_bits)
    fire, gather = price.fire(*mvm, mvm_crossbar_pj(arch, flat.activation_bits)), price.copy(flat.copy)
    add = price.vector(flat.span, 2)
    row_beats = -(-network.width * network.channels * arch.element_bytes // arch.global_width_bytes)
    constant_bytes = work.constants * arch.element_bytes
    constant_beats = -(-constant_bytes // arch.global_width_bytes)
    read_ns, write_ns = (c * arch.global_period_ns for c in (arch.global_read_cycles, arch.global_write_cycles))
    prices = {
        "share_ns": network.shared[:, 0] * arch.vector_ns(network.shared[:, 1], 2),
        "node_price": np.stack(
            [fixed.ns, fixed.pj, pixel.ns, pixel.pj, work.one_operand, work.two_operand, work.window_rows], axis=1
        ),
        "constant_bytes": constant_bytes,
        "constant_ns": constant_beats * read_ns,
        "load_ns": np.where(network.kind == INPUT, row_beats * read_ns, 0.0),
        "store_ns": np.where(np.isin(np.arange(len(row_beats)), network.outputs), row_beats * write_ns, 0.0),
        "scratch_bytes": (flat.rows + flat.columns) * arch.element_bytes,
        "group_price": np.stack(
            [
                fire.ns + sums(gather.ns, flat.copy_start),
                fire.pj + sums(gather.pj, flat.copy_start),
                sums(add.ns, flat.span_start),
                sums(add.pj, flat.span_start),
            ],
            axis=1,
        ),
        "mvm_ns": arch.mvm_ns(*mvm),
        "flit_ns": arch.noc_latency_ns,
        "flit_pj": arch.noc_flit_energy_pj,
    }
    kinds = {name: np.int64 if name.endswith("_bytes") else np.float64 for name in prices}
    arrays: dict[str, Any] = {name: np.ascontiguousarray(v, dtype=kinds[name]) for name, v in prices.items()}
    return network._replace(**arrays)


def _followed(graph: Graph, weighted: npt.NDArray[np.bool_]) -> dict[str, np.ndarray]:
    """Whose segments each node's work follows, and which of its rows and columns (schedule/sites.py, `_follow`)."""
    base, rows, columns = np.arange(len(graph.nodes)), [], []
    shared, pixels = np.zeros((len(graph.nodes), 2), np.int64), led_pixels(graph)
    stage = np.full((len(graph.nodes), 3), -1)
    for index, own in stages(graph).items():
        stage[index] = own
    for index, node in enumerate(graph.nodes):
        y, x = np.arange(node.height), np.arange(node.width)
        operation = node.operation
        if not weighted[index] and not isinstance(operation, Loaded):
            base[index] = leader(node, pixels)
            ahead = graph.nodes[base[index]]
            y = centre(operation, 0, node.height, ahead.height)
            x = np.maximum.accumulate(centre(operation, 1, node.width, ahead.width))
            if isinstance(operation, Windowed) or stage[index, 0] >= 0:
                shared[index] = shared_work(node)
        rows.append(y)
        columns.append(np.searchsorted(x, np.arange(graph.nodes[base[index]].width + 1)))
    return {
        "base": base,
        "row_start": starts([len(r) for r in rows]),
        "needed_before": np.cumsum([0, *np.concatenate(needed_rows(graph))]),
        "followed_row": np.concatenate(rows),
        "column_start": starts([len(c) for c in columns]),
        "columns_before": np.concatenate(columns),
        "phase": np.array(phases(graph)),
        "shared": shared,
        "stage": stage,
    }


def _edges(graph: Graph) -> dict[str, np.ndarray]:
    """What every node reads of each of its sources."""
    source, extent, base, columns, first, last, counts = [], [], [], [], [], [], []
    for node in graph.nodes:
        extents = window_of(node.operation).extent
        y, x = (
            first_read(node.operation, 0, np.arange(node.height)),
            first_read(node.operation, 1, np.arange(node.width)),
        )
        low = np.maximum.accumulate(x) if isinstance(node.operation, Pick) else x
        counts.append(len(sources_of(node)))
        for s in sources_of(node):
            other = graph.nodes[s]
            begin, rows, (tall, wide) = low, y, extents
            if read_whole(graph, node, s):
                begin, rows, tall, wide = np.zeros_like(low), np.zeros_like(y), other.height, other.width
            source.append(s)
            extent.append(tall)
            base.append(rows)
            columns.append(begin)
            first.append(begin.clip(0, other.width - 1))
            last.append((begin + wide - 1).clip(0, other.width - 1))
    return {
        "edge_start": starts(counts),
        "source": np.array(source, dtype=np.int64),
        "extent": np.array(extent, dtype=np.int64),
        "base_start": starts([len(b) for b in base]),
        "base_row": np.concatenate([*base, np.zeros(0, np.int64)]).astype(np.int64),
        "reach_start": starts([len(f) for f in first]),
        "base_column": np.concatenate([*columns, np.zeros(0, np.int64)]).astype(np.int64),
        "first_column": np.concatenate([*first, np.zeros(0, np.int64)]).astype(np.int64),
        "last_column": np.concatenate([*last, np.zeros(0, np.int64)]).astype(np.int64),
    }


def _rows_read(graph: Graph, partition: Partition) -> LongArray:
    """Per array group the mask of what it reads: bit (edge * extent + row of the window).

    A scattering layer takes every input row once, when it is the newest of its window.
    """
    masks = []
    for matrix in (matrix for offered in partition.options for matrix in offered):
        node = graph.nodes[matrix.node]
        sources, extent = np.array(sources_of(node)), window_of(node.operation).extent[0]
        edge = np.minimum(np.searchsorted(sources, matrix.row_source), max(MASK_BITS // extent, 1) - 1)
        row = extent - 1 if matrix.unfolding.scatter else matrix.row_dy
        bits = np.int64(1) << np.minimum(edge * extent + row, MASK_BITS)
        masks += [np.bitwise_or.reduce(bits[group.row_start : group.row_stop]) for group in matrix.groups]
    return np.array(masks, dtype=np.int64)


def _columns_read(graph: Graph, partition: Partition) -> LongArray:
    """int64[array groups, window rows, 2]: the first and the last column that each reads of a block of windows; -1:
    none, or all, as scattering layers do."""
    matrices = [matrix for offered in partition.options for matrix in offered]
    tallest = max((window_of(graph.nodes[node].operation).extent[0] for node in partition.nodes), default=1)
    ends = np.full((sum(len(matrix.groups) for matrix in matrices), tallest, 2), -1, np.int64)
    groups = [(matrix, group) for matrix in matrices for group in matrix.groups]
    for own, (matrix, group) in zip(ends, groups, strict=True):
        held = slice(group.row_start, group.row_stop)
        for dy in () if matrix.unfolding.scatter else np.unique(matrix.row_dy[held]):
            dx = matrix.row_dx[held][matrix.row_dy[held] == dy]
            own[dy] = dx.min(), dx.max()
    return ends
