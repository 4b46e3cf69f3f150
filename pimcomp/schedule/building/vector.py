"""Work of nodes without weights: one task per row segment, and what each of them does, as tables for the emitter."""

from typing import Any, NamedTuple, assert_never

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import (
    Conv,
    Copying,
    Crop,
    Eltwise,
    Fixed,
    Input,
    Lrn,
    Node,
    Normalise,
    Pick,
    Pool,
    Product,
    Softmax,
    Standalone,
    Turn,
    View,
    Windowed,
    first_read,
    spreads,
    window_of,
)
from pimcomp.ir.pooling import counted_range
from pimcomp.plan.rows import reads_all
from pimcomp.schedule.building.ledger import Ledger, chain
from pimcomp.schedule.constants import ITERATED_PIXELS, Constants, is_mean
from pimcomp.schedule.emission import vector as emit_vector
from pimcomp.schedule.emission.reader import Run, VectorNodes
from pimcomp.schedule.emission.vector import VectorTasks
from pimcomp.schedule.sites import Segments, cut_segments
from pimcomp.schedule.work import VECTOR, Accesses, LongArray


def vector_tasks(ledger: Ledger, index: int, s: Segments, numbers: LongArray) -> list[Run]:
    """Reads of a vector node: every row of its window in every source of every operand, task-major. Returns the runs of
    all sources."""
    node = ledger.graph.nodes[index]
    segment, last = np.arange(len(numbers)), np.arange(len(numbers))
    if isinstance(node.operation, Product):
        s, segment, last = cut_segments(s, 1)
    task = ledger.add_tasks(VECTOR, index, s, s.owner, out=numbers[segment])
    ledger.edges.add(chain(task, segment[1:] == segment[:-1]))
    ledger.final_task[numbers] = task[last]
    operation, window = node.operation, window_of(node.operation)
    dilation, counted = window.dilation[0], (0, node.height)
    if isinstance(operation, Pool):
        source = ledger.graph.nodes[int(node.inputs[0].sources[0])]
        counted = counted_range(operation, source.height, source.width)[0]
    row, start, stop = s.row.astype(np.int64), s.start.astype(np.int64), s.stop.astype(np.int64)
    turn = row % len(node.inputs)
    row = first_read(operation, 0, row)
    if isinstance(operation, Pick):
        low, high = _picked_range(operation.columns, start, stop)
    else:
        low, high = first_read(operation, 1, start), first_read(operation, 1, stop - 1) + window.extent[1]
    runs: list[Run] = []
    columns: list[tuple[npt.NDArray[Any], ...]] = []
    for operand, view in enumerate(node.inputs):
        for tensor in view.nodes:
            source = ledger.graph.nodes[tensor]
            broadcast, entire = spreads(node, source), reads_all(node, operand)
            taps = source.height if entire else window.kernel[0]
            whole = Run(
                operand, len(columns), taps, 0, 0, source.channels, source.channels * ledger.element_bytes, broadcast
            )
            runs.extend(_runs(view, tensor, whole))
            for tap in range(taps):
                y = np.full_like(row, tap) if broadcast or entire else row + tap * dilation
                a = np.zeros_like(low) if broadcast or entire else np.maximum(low, 0)
                b = np.full_like(high, source.width) if broadcast or entire else np.minimum(high, source.width)
                there = (y >= 0) & (y < source.height) & (a < b)
                if isinstance(operation, Pick):
                    there &= turn == operand
                columns.append((np.full_like(y, tensor), y, a, b, there))
    stacked = (np.stack(column, axis=1).ravel() for column in zip(*columns, strict=True))
    reads = ledger.reads.add(Accesses(np.repeat(task, len(columns)), np.repeat(s.owner, len(columns)), *stacked))
    window_rows = row[:, None] + np.arange(window.kernel[0]) * dilation
    rows = (
        turn
        if isinstance(operation, Copying)
        else ((window_rows >= counted[0]) & (window_rows < counted[1])).sum(axis=1)
    )
    ledger.vector.add(VectorTasks(task, reads[:: len(columns)], rows))
    return runs


def _picked_range(columns: tuple[int, ...], start: LongArray, stop: LongArray) -> tuple[LongArray, LongArray]:
    """Input columns [low, high) that output columns [start, stop) of a `Pick` come from; (0, 0) for zeros only."""
    low, high = np.zeros_like(start), np.zeros_like(stop)
    for a, b in {(int(a), int(b)) for a, b in zip(start, stop, strict=True)}:
        found = [column for column in columns[a:b] if column >= 0]
        at = (start == a) & (stop == b)
        low[at], high[at] = (min(found), max(found) + 1) if found else (0, 0)
    return low, high


def copied_columns(node: Node, width: int) -> tuple[int, ...]:
    """The input column of every output column of a `Crop` or `Pick`, -1 for zeros; none for other nodes."""
    if not isinstance(node.operation, Copying):
        return ()
    columns = first_read(node.operation, 1, np.arange(node.width)).tolist()
    return tuple(x if 0 <= x < width else -1 for x in columns)


def _runs(view: View, tensor: int, whole: Run) -> list[Run]:
    """Channel runs of one source of an operand: contiguous in the source and in the destination."""
    own = view.runs[:, view.runs[1] == tensor].T.tolist()
    return [whole._replace(src=channel, dst=at, channels=channels) for at, _, channel, channels in own]


class _Description(NamedTuple):
    """What one node does: a row of `VectorNodes`."""

    kind: int = 0
    kernel: int = 0
    stride: int = 0
    pad: int = 0
    dilation: int = 0
    width: int = 0
    size: int = 0
    lanes: int = 0
    counted_from: int = 0
    counted_to: int = 0
    copied_start: int = 0


def vector_nodes(ledger: Ledger, constants: Constants, runs: dict[int, list[Run]], scratch_bytes: int) -> VectorNodes:
    """What every vector node does, as the emission kernels read it. runs: of the vector nodes. scratch_bytes: what a
    mean may gather."""
    rows: list[_Description] = []
    copied: list[int] = []
    nodes = ledger.graph.nodes
    for index, node in enumerate(nodes):
        row = _Description()
        if index in runs:
            source = nodes[int(node.inputs[0].sources[0])]
            row = _described(ledger, index, source, scratch_bytes)._replace(copied_start=len(copied))
            copied.extend(copied_columns(node, source.width))
        rows.append(row)
    return VectorNodes(
        **dict(zip(_Description._fields, np.array(rows, dtype=np.int64).T.copy(), strict=True)),
        copied=np.array(copied, dtype=np.int64),
        run_start=np.cumsum([0, *[len(runs.get(index, [])) for index in range(len(nodes))]]),
        runs=np.array([run for i in sorted(runs) for run in runs[i]], dtype=np.int64).reshape(-1, len(Run._fields)),
        constants=constants.vector,
    )


def _described(ledger: Ledger, index: int, source: Node, scratch_bytes: int) -> _Description:
    operation, row = ledger.graph.nodes[index].operation, _Description(width=source.width)
    if isinstance(operation, Windowed):
        w = operation.window
        row = row._replace(
            kernel=w.kernel[1], stride=w.stride[1], pad=w.pads[1], dilation=w.dilation[1], size=w.kernel[0]
        )
    match operation:
        case Conv():
            return row._replace(kind=emit_vector.DEPTHWISE)
        case Pool():
            pool = emit_vector.MAX_POOL if operation.method == "max" else emit_vector.AVG_POOL
            lanes = scratch_bytes // (source.height * source.width * ledger.element_bytes)
            first, stop = counted_range(operation, source.height, source.width)[1]
            return row._replace(
                kind=emit_vector.MEAN if is_mean(ledger.graph, index) else pool,
                lanes=max(1, min(source.channels, lanes)),
                counted_from=first,
                counted_to=stop,
            )
        case Crop() | Pick():
            return row._replace(kind=emit_vector.COPY)
        case Lrn():
            return row._replace(kind=emit_vector.LRN, size=operation.size)
        case Softmax() | Normalise():
            kind = emit_vector.SOFTMAX if isinstance(operation, Softmax) else emit_vector.NORMALISE
            lanes = scratch_bytes // (3 * len(ledger.graph.nodes[index].inputs[0].channels) * ledger.element_bytes)
            # As many pixels at a time as the constants of an iteration are for.
            row = row._replace(width=min(source.width, ITERATED_PIXELS))
            return row._replace(
                kind=kind, lanes=max(1, min(lanes, row.width)), size=int(getattr(operation, "centred", False))
            )
        case Product():
            return row._replace(kind=emit_vector.PRODUCT)
        case Turn():
            return row._replace(
                kind=emit_vector.TURN, lanes=max(1, scratch_bytes // (source.channels * ledger.element_bytes))
            )
        case Eltwise():
            kinds = {"add": emit_vector.ADD, "sub": emit_vector.SUB, "mul": emit_vector.MUL}
            return row._replace(kind=kinds[operation.method])
        case Standalone() | Input() | Fixed():
            return row._replace(kind=emit_vector.IDENTITY)
        case _:
            assert_never(operation)
