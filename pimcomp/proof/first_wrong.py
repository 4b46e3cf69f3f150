"""Finds where a program first computes something else than the network: the node, the core and the instruction."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pimcomp.emit.decode import EmittedCheckpoints
from pimcomp.errors import ModelError
from pimcomp.ir.graph import FloatArray, Graph
from pimcomp.ir.program import LongArray
from pimcomp.proof.interpret.run import Looks, Prepared, execute
from pimcomp.proof.rounding import Rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """The first wrong element seen: after instruction `index` of the list of `core`, of node `node`."""

    node: str
    core: int
    index: int
    row: int
    column: int
    channel: int
    expected: float
    found: float

    def __str__(self) -> str:
        return (
            f"node {self.node}, row {self.row}, column {self.column}, channel {self.channel}: "
            f"expected {self.expected:.6g}, found {self.found:.6g} after core {self.core}, instruction {self.index}"
        )


def looks_at(points: EmittedCheckpoints) -> Looks:
    """Everything the checkpoints show."""
    length = (points.col_stop - points.col_start).astype(np.int64) * points.channels
    return Looks(core=points.core, index=points.index, address=points.address, length=length)


def check_points(points: EmittedCheckpoints, graph: Graph, images_per_round: int) -> None:
    """Raise ModelError if the checkpoints show something that the maps of `graph` do not have."""
    limits = [(n.channels, n.height, n.width) for n in graph.nodes]
    known = (points.node >= 0) & (points.node < len(limits))
    sizes = np.array(limits)[np.where(known, points.node, 0)]
    right = known & (points.image >= 0) & (points.image < images_per_round)
    right &= (points.channels >= 1) & (points.channels <= sizes[:, 0]) & (points.row >= 0) & (points.row < sizes[:, 1])
    right &= (points.col_start >= 0) & (points.col_start < points.col_stop) & (points.col_stop <= sizes[:, 2])
    if not right.all():
        raise ModelError(f"checkpoints.npz: entry {int(np.argmin(right))} shows no part of a map of {graph.name}")


def first_wrong(
    prepared: Prepared,
    points: EmittedCheckpoints,
    inputs: Mapping[str, FloatArray],
    maps: Mapping[int, FloatArray],
    rounding: Rounding,
    image_of: LongArray,
    *,
    turn: int,
    tolerance: float,
) -> Wrong | None:
    """Run one lane and compare every intermediate map that the checkpoints show in round `turn`.

    inputs: of one lane, as for `execute`. maps: per node float32[images, channels, height, width]. image_of:
    int64[rounds, images per round], the image (of maps) that enters. In a pipeline `delay` rounds deep a node may hold
    any of the last images. tolerance: times the range of the node's map, of what counts in it and of the rest each.
    None if every segment is right.
    """
    looks = looks_at(points)
    seen = execute(prepared, dict(inputs), looks=looks, look_round=turn, strict=False).seen[0]
    entry = np.repeat(np.arange(len(looks.length)), looks.length)  # which checkpoint an element belongs to
    offset = np.arange(len(entry)) - np.repeat(np.cumsum(looks.length) - looks.length, looks.length)
    column = points.col_start[entry] + offset // points.channels[entry]
    channel = offset % points.channels[entry]
    best = np.full(len(entry), np.inf)
    best_expected = np.zeros(len(entry), np.float32)
    wrong = np.ones(len(looks.length), bool)
    spans = {n: _span(maps[n], n, rounding, tolerance) for n in maps}
    masked = {n for n, counted in rounding.counted.items() if not counted.all()}
    for earlier in range(min(turn, prepared.memory.output_round_delay) + 1):
        images = image_of[turn - earlier][points.image]
        expected = _expected(maps, points, entry, images, column, channel)
        span = np.repeat(np.array([spans[n] for n in points.node.tolist()]), looks.length)
        for n in masked.intersection(points.node.tolist()):
            at = np.flatnonzero(points.node[entry] == n)
            out = ~rounding.counted[n][images[entry[at]], channel[at], points.row[entry[at]], column[at]]
            span[at[out]] = max(float(np.ptp(maps[n])), spans[n])
        error = np.abs(seen - expected) / span
        error[~np.isfinite(error)] = np.inf
        worst = np.zeros(len(looks.length))
        np.maximum.at(worst, entry, error)
        wrong &= ~(worst <= tolerance)
        better = error < best
        best[better], best_expected[better] = error[better], expected[better]
        if earlier == 0:
            best, best_expected = error, expected
    if not wrong.any():
        return None
    node = points.node[wrong].min()
    candidates = np.flatnonzero(wrong & (points.node == node))
    k = candidates[np.argmin(_when(prepared, points, turn)[candidates])]
    elements = np.flatnonzero(entry == k)
    e = int(elements[np.argmax(best[elements] > tolerance)])
    return Wrong(
        node=points.node_names[node],
        core=int(points.core[k]),
        index=int(points.index[k]),
        row=int(points.row[k]),
        column=int(column[e]),
        channel=int(channel[e]),
        expected=float(best_expected[e]),
        found=float(seen[e]),
    )


def _span(values: FloatArray, node: int, rounding: Rounding, tolerance: float) -> float:
    """The range of what counts in a node's map, at least so large that its floor is within the tolerance."""
    kept = values[rounding.counted[node]] if node in rounding.counted else values
    return max(float(np.ptp(kept)) if kept.size else 0.0, rounding.floors[node] / tolerance, 1e-30)


def _expected(
    maps: Mapping[int, FloatArray],
    points: EmittedCheckpoints,
    entry: LongArray,
    images: LongArray,
    column: LongArray,
    channel: LongArray,
) -> FloatArray:
    """The reference's value of every element seen."""
    out = np.empty(len(entry), np.float32)
    node = points.node[entry]
    for n in np.unique(points.node).tolist():
        at = np.flatnonzero(node == n)
        out[at] = maps[n][images[entry[at]], channel[at], points.row[entry[at]], column[at]]
    return out


def _when(prepared: Prepared, points: EmittedCheckpoints, turn: int) -> LongArray:
    """The step at which each checkpoint's instruction executes."""
    steps, stream = prepared.steps, prepared.stream
    step_of = np.zeros(len(stream.op), np.int64)
    now = np.flatnonzero(steps.round == turn)
    step_of[steps.row[now]] = now
    received = now[steps.mate[now] >= 0]
    step_of[steps.mate[received]] = received
    emitted = prepared.decoded.core_start[points.core] + points.index
    return step_of[np.searchsorted(stream.emitted, emitted)]
