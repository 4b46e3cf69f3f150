"""Who computes what: the cores of every row segment of every feature map.

A site is a group of replicas of a layer whose array groups sit on the same cores; its head core (that of the first
array group) owns the results. The output rows of a layer are dealt to sites as row sets (interleaved) times column
segments. Pooling, additions and other vector work run where their main operand already is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import LayerMatrix, Partition, Unfolding
from pimcomp.ir.graph import (
    Conv,
    Fixed,
    Graph,
    IntArray,
    Loaded,
    LongArray,
    Node,
    Operation,
    Pick,
    Product,
    Turn,
    View,
    Windowed,
    on_crossbars,
)
from pimcomp.ir.plan import Plan
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.unfoldings import firings
from pimcomp.schedule.stages import phases, shared_work, stages
from pimcomp.schedule.work import select

NARROW = 1 / 16


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Replicas of one layer with the same cores: `cores` int64[array groups], `replicas` their numbers."""

    cores: LongArray
    replicas: LongArray

    @property
    def head(self) -> int:
        """The core that owns the site's results."""
        return int(self.cores[0])


class Segments(NamedTuple):
    """Row segments of one node: columns [start, stop) of row `row`, computed by site `site` (or owned by core `owner`).

    All arrays int64[segments], sorted by (row, start). For vector nodes `site` is -1.
    """

    row: LongArray
    start: LongArray
    stop: LongArray
    owner: LongArray
    site: LongArray


@dataclass(frozen=True, slots=True, eq=False)
class NodeSites:
    """The sites of a weighted node (none for others), its matrix and its segments.

    shares: int64[sites, 2], the input columns that each takes, where scattering sites send each other what they found
    for the other's columns; None where each takes all that its segments need.
    """

    matrix: LayerMatrix | None
    sites: tuple[Site, ...]
    segments: Segments
    shares: LongArray | None = None


def place_work(
    graph: Graph,
    arch: Arch,
    partition: Partition,
    plan: Plan,
    options: ScheduleOptions,
    needed_rows: list[npt.NDArray[np.bool_]],
    *,
    narrow: bool = False,
) -> tuple[NodeSites, ...]:
    """Sites and segments of every node; rows nobody needs are left out.

    narrow: no segment is longer than NARROW of local memory, rows of the input included, where columns can be cut; a
    scattering layer's cannot. Of tokens that are computed none ever is.
    """
    phase = phases(graph)
    load = _core_loads(graph, arch, partition, plan, phase)
    weighted = {node: k for k, node in enumerate(partition.nodes)}
    held = [c.ravel().astype(np.int64) for c in plan.core_of] or [np.zeros(1, np.int64)]
    cores_used = np.unique(np.concatenate(held))
    staged = stages(graph)
    taken = np.zeros((len(staged), arch.total_cores), np.int64)  # by stage, pieces of every core
    pixels = led_pixels(graph)
    placed: list[NodeSites] = []
    owners: list[LongArray] = []  # int64[height, width] per node
    for index, node in enumerate(graph.nodes):
        operation = node.operation
        matrix: LayerMatrix | None = None
        sites: tuple[Site, ...] = ()
        shares: LongArray | None = None
        tokens = node.height == 1 < node.width and not isinstance(operation, Loaded)
        if on_crossbars(operation):
            k = weighted[index]
            matrix = partition.options[k][plan.option[k]]
            sites = _sites(plan.core_of[k])
            shared = _shared(graph, node, matrix.unfolding.scatter, sites)
            dealt = (node.height, node.width, matrix.unfolding, sites, options.SEGMENT_BLOCKS)
            shares, segments = shared or (None, _deal(*dealt))
            if tokens and not matrix.unfolding.scatter:
                block = matrix.unfolding.block
                segments = cut_segments(segments, max(options.TOKENS // block, 1) * block)[0]
        elif isinstance(operation, Loaded):
            segments = _load_rows(node.height, node.width, _loader_cores(load.sum(axis=0), cores_used, options))
        else:
            segments = _follow(owners, node, pixels)
            passes, elements = shared_work(node)
            own, pixel_ns = load[phase[index]], passes * arch.vector_ns(elements, 2)
            if isinstance(operation, Windowed):
                segments = _share(segments, own, pixel_ns, options.window_columns)
            elif index in staged:
                stage = staged[index]
                columns = -(-node.height * node.width // stage.pieces(len(cores_used), options.GATHERERS))
                if stage.apart:
                    segments = _row_segments(node.height, node.width, columns)
                segments = _share(segments, own, pixel_ns, columns, taken=taken[stage.number])
        if (narrow or tokens) and not (matrix and matrix.unfolding.scatter):
            block = matrix.unfolding.block if matrix else 1
            columns = int(NARROW * arch.local_memory_bytes / (node.channels * arch.element_bytes))
            if tokens and (segments.stop - segments.start).max() > columns:
                columns = min(columns, options.TOKENS)
            segments = cut_segments(segments, max(columns // block, 1) * block)[0]
        owner = np.zeros((node.height, node.width), dtype=np.int64)
        for y, a, b, core in zip(segments.row, segments.start, segments.stop, segments.owner, strict=True):
            owner[y, a:b] = core
        owners.append(owner)
        placed.append(NodeSites(matrix, sites, select(segments, needed_rows[index][segments.row]), shares))
    return tuple(placed)


def _sites(core_of: IntArray) -> tuple[Site, ...]:
    """Replicas grouped by equal cores, in the order of their first replica."""
    _, first, inverse = np.unique(core_of, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.ravel()
    order = np.argsort(first)
    return tuple(Site(core_of[first[i]].astype(np.int64), np.flatnonzero(inverse == i)) for i in order)


def _deal(height: int, width: int, unfolding: Unfolding, sites: tuple[Site, ...], wanted_blocks: int) -> Segments:
    """Deal rows to interleaved row sets and their columns to the sites of each set, in proportion to their replicas.

    A scattering layer adds up neighbouring rows on the same core: one row set.
    """
    block = unfolding.block
    blocks = -(-width // block)
    count = len(sites)
    row_sets = 1 if unfolding.scatter else _row_sets(height, blocks, count, wanted_blocks)
    members = [np.arange(s, min(count, row_sets * blocks), row_sets) for s in range(row_sets)]
    weights = np.array([len(site.replicas) for site in sites], dtype=np.float64)
    heads = np.array([site.head for site in sites], dtype=np.int64)
    parts = []
    for s, indices in enumerate(members):
        cuts = _cut_columns(width, block, weights[indices])
        rows = np.arange(s, height, row_sets)
        used = np.flatnonzero(np.diff(cuts) > 0)
        grid_row, grid_part = np.repeat(rows, len(used)), np.tile(used, len(rows))
        parts.append(
            np.stack([grid_row, cuts[grid_part], cuts[grid_part + 1], heads[indices[grid_part]], indices[grid_part]])
        )
    table = np.concatenate(parts, axis=1)
    return Segments(*table[:, np.lexsort((table[1], table[0]))])


def _shared(graph: Graph, node: Node, pixels: int, sites: tuple[Site, ...]) -> tuple[LongArray, Segments] | None:
    """The input columns of every scattering site (`NodeSites.shares`), whole MVMs of `pixels`, and the outputs around
    them, if the busiest one thereby fires less often than if each took all columns that its outputs need: neighbours
    need the same ones."""
    if not pixels or len(sites) == 1:
        return None
    assert isinstance(node.operation, Conv)
    kernel, width = node.operation.window.kernel[1], node.width
    columns = graph.nodes[int(node.inputs[0].sources[0])].width
    blocks = -(-columns // pixels)
    used = min(len(sites), blocks)
    if -(-blocks // used) >= -(-(-(-width // min(len(sites), width)) + kernel - 1) // pixels):
        return None
    weights = np.array([len(site.replicas) for site in sites], dtype=np.float64)
    weights[used:] = 0.0
    cuts = _cut_columns(columns, pixels, weights)
    shares = np.stack([cuts[:-1], cuts[1:]], axis=1)
    segments = _around(node, shares, sites)
    valid = len(segments.row) > node.height and (segments.start < segments.stop).all()
    return (shares, segments) if valid else None


def _around(node: Node, shares: LongArray, sites: tuple[Site, ...]) -> Segments:
    """The outputs in the middle of what shares of the input contribute to: as many of them, all but for the border."""
    assert isinstance(node.operation, Conv)
    kernel, pad = node.operation.window.kernel[1], node.operation.window.pads[1]
    used = np.flatnonzero(shares[:, 0] < shares[:, 1])
    cuts = np.append(shares[used, 0], 0) + pad - (kernel - 1) // 2
    cuts[0], cuts[-1] = 0, node.width
    rows, heads = np.arange(node.height), np.array([site.head for site in sites], dtype=np.int64)
    columns = (np.tile(x, len(rows)) for x in (cuts[:-1], cuts[1:], heads[used], used))
    return Segments(np.repeat(rows, len(used)), *columns)


def _row_sets(height: int, blocks: int, count: int, wanted_blocks: int) -> int:
    """How many interleaved row sets: least load of the busiest site, then segments closest to the wanted length."""
    candidates = range(1, min(height, count) + 1)

    def key(sets: int) -> tuple[float, float]:
        per_set = min(count // sets, blocks)
        length = -(-blocks // per_set)
        # A few per cent of load are worth segments of a sensible length: each is a message and a burst of vector work.
        short = 0.15 * max(0, wanted_blocks - length) / wanted_blocks
        # Rows in work at the same time finish at the same time: the next layer waits for all of them, and all are held.
        together = 0.05 * (sets - 1)
        load = -(-height // sets) * length * (1.0 + short) * (1.0 + together)
        return load, abs(length - wanted_blocks)

    return min(candidates, key=key)


def _cut_columns(width: int, block: int, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Column boundaries in proportion to the weights, on multiples of the block (the last one is the width)."""
    blocks = -(-width // block)
    shares = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    return np.minimum(np.floor(shares * blocks + 0.5).astype(np.int64) * block, width)


def _core_loads(
    graph: Graph, arch: Arch, partition: Partition, plan: Plan, phase: Sequence[int]
) -> npt.NDArray[np.float64]:
    """float64[phases, cores]: time of every core's MVMs."""
    load = np.zeros((max(phase) + 1, arch.total_cores))
    for node, options, o, cores in zip(partition.nodes, partition.options, plan.option, plan.core_of, strict=True):
        mvm_ns = np.array([arch.mvm_ns(group.crossbars, *group.precision) for group in options[o].groups])
        np.add.at(
            load[phase[node]], cores.ravel(), np.tile(mvm_ns * firings(graph, options[o]) / len(cores), len(cores))
        )
    return load


def _loader_cores(load: npt.NDArray[np.float64], cores_used: LongArray, options: ScheduleOptions) -> LongArray:
    """Cores with the least crossbar work that load the input; the lowest numbers among equals."""
    candidates = cores_used[np.argsort(load[cores_used], kind="stable")]
    return np.sort(candidates[: options.LOADERS])


def _share(
    s: Segments, load: npt.NDArray[np.float64], pixel_ns: float, columns: int, *, taken: LongArray | None = None
) -> Segments:
    """Segments cut to at most `columns`; what is cut off goes to the least loaded cores, a column range always to the
    same one. Adds the work to `load`. taken: pieces of every core, which counts more than its load; the first pieces
    go away, too. Without an owner (-1) all pieces do.

    Windows overlap, so that neighbouring segments need the same inputs; but one core with a long segment would hold up
    all that follows.
    """
    counts = -(-(s.stop - s.start) // columns)
    owner_of: dict[tuple[int, int, int], int] = {}
    rows = Counter(zip(s.owner.tolist(), s.start.tolist(), strict=True))
    parts = []
    for row, start, stop, owner, count in zip(s.row, s.start, s.stop, s.owner, counts, strict=True):
        cuts = start + (stop - start) * np.arange(count + 1) // count
        for i, (a, b) in enumerate(pairwise(cuts.tolist())):
            key = (int(owner), int(a), int(b))
            if key not in owner_of:
                if owner >= 0 and i == 0 and (taken is None or count == 1):
                    core = int(owner)
                else:
                    core = int(load.argmin() if taken is None else np.lexsort((load, taken))[0])
                owner_of[key] = core
                if taken is not None:
                    taken[core] += 1
                load[core] += (b - a) * pixel_ns * rows[int(owner), int(start)]
            parts.append((row, a, b, owner_of[key], -1))
    return Segments(*np.array(parts, dtype=np.int64).T)


def _row_segments(height: int, width: int, columns: int) -> Segments:
    """All rows, cut into pieces of about `columns`, without owners."""
    rows = np.arange(height)
    none = np.full(height, -1)
    return cut_segments(Segments(rows, np.zeros_like(rows), np.full(height, width), none, none), columns)[0]


def cut_segments(s: Segments, columns: int) -> tuple[Segments, LongArray, LongArray]:
    """Segments cut into pieces of up to `columns`: the pieces, the segment of each, and each segment's last piece."""
    counts = -(-(s.stop - s.start) // columns)
    segment, last = np.repeat(np.arange(len(counts)), counts), np.cumsum(counts) - 1
    pieces = select(s, segment)
    start = pieces.start + columns * (np.arange(len(segment)) - (last - counts + 1)[segment])
    return pieces._replace(start=start, stop=np.minimum(start + columns, pieces.stop)), segment, last


def _load_rows(height: int, width: int, loaders: LongArray) -> Segments:
    rows = np.arange(height)
    zeros = np.zeros_like(rows)
    return Segments(rows, zeros, zeros + width, loaders[rows % len(loaders)], zeros - 1)


def main_source(view: View) -> int:
    """The node that contributes most channels of a view (the latest among equals)."""
    counts = np.bincount(view.runs[1], weights=view.runs[3])
    return int(len(counts) - 1 - np.argmax(counts[::-1]))


def led_pixels(graph: Graph) -> list[int]:
    """Pixels of every node that others may follow: what followed constants would meet on the few cores that load
    them."""
    return [0 if isinstance(n.operation, Fixed) else n.height * n.width for n in graph.nodes]


def leader(node: Node, pixels: Sequence[int]) -> int:
    """The source on whose cores a node without crossbars is computed: the main one with the largest map (`pixels` of
    every node), of a product that of operand 0."""
    views = node.inputs[:1] if isinstance(node.operation, Product) else node.inputs
    return max((main_source(view) for view in views), key=lambda s: (pixels[s], s))


def centre(operation: Operation, axis: int, size: int, source_size: int) -> LongArray:
    """The operand's row (axis 0) or column (1) in the middle of what each of `size` output rows or columns reads."""
    at = np.arange(size)
    if isinstance(operation, Windowed):
        window = operation.window
        at = at * window.stride[axis] - window.pads[axis] + (window.kernel[axis] - 1) // 2
    elif isinstance(operation, Pick):  # zeros belong where their neighbours come from
        picked = np.array((operation.rows, operation.columns)[axis])
        at = np.where(picked < 0, at * source_size // size, picked)
    elif isinstance(operation, Turn):
        at = at * source_size // size
    return at.clip(0, source_size - 1)


def _follow(owners: list[LongArray], node: Node, pixels: Sequence[int]) -> Segments:
    """Vector work runs on the owner of the centre of its window in the leader."""
    height, width = node.height, node.width
    owner = owners[leader(node, pixels)]
    y, x = (centre(node.operation, axis, size, owner.shape[axis]) for axis, size in enumerate((height, width)))
    cores = owner[y[:, None], x[None, :]]
    change = np.ones((height, width), dtype=bool)
    change[:, 1:] = cores[:, 1:] != cores[:, :-1]
    row, start = np.nonzero(change)
    stop = np.append(start[1:], width)
    stop[stop == 0] = width
    table = np.stack([row, start, stop, cores[row, start], np.full(len(row), -1)])
    return Segments(*table)
