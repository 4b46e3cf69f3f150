"""Work of nodes without weights: one task per row segment, and what each of them does, as tables for the emitter."""

from typing import TYPE_CHECKING, assert_never

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import (
    Conv,
    Copying,
    Crop,
    Eltwise,
    Input,
    Lrn,
    Node,
    Pick,
    Pool,
    Standalone,
    View,
    Windowed,
    counted_range,
    first_read,
    spreads,
    window_of,
)
from pimcomp.schedule.constants import is_mean
from pimcomp.schedule.emission import vector as emit_vector
from pimcomp.schedule.emission.vector import VectorNodes
from pimcomp.schedule.sites import Segments
from pimcomp.schedule.work import VECTOR

if TYPE_CHECKING:
    from pimcomp.schedule.build import WorkBuilder


def vector_tasks(builder: "WorkBuilder", index: int, s: Segments, numbers: npt.NDArray[np.int64]) -> None:
    """Reads of a vector node: every row of its window in every source of every operand, task-major."""
    node = builder.graph.nodes[index]
    task = builder.add_tasks(VECTOR, index, s, s.owner, out=numbers)
    builder.final_task[numbers] = task
    operation, window = node.operation, window_of(node.operation)
    kernel, dilation, counted = window.kernel[0], window.dilation[0], (0, node.height)
    if isinstance(operation, Pool):
        source = builder.graph.nodes[int(node.inputs[0].sources[0])]
        counted = counted_range(operation, source.height, source.width)[0]
    row, start, stop = s.row.astype(np.int64), s.start.astype(np.int64), s.stop.astype(np.int64)
    row = first_read(operation, 0, row)
    if isinstance(operation, Pick):
        low, high = _picked_range(operation.columns, start, stop)
    else:
        low, high = first_read(operation, 1, start), first_read(operation, 1, stop - 1) + window.extent[1]
    runs: list[tuple[int, ...]] = []
    columns: list[tuple[np.ndarray, ...]] = []
    for operand, view in enumerate(node.inputs):
        for tensor in view.nodes:
            source = builder.graph.nodes[tensor]
            broadcast = spreads(node, source)
            runs.extend(_runs(builder, operand, tensor, len(columns), kernel, broadcast, view))
            for tap in range(kernel):
                y = np.zeros_like(row) if broadcast else row + tap * dilation
                a = np.zeros_like(low) if broadcast else np.maximum(low, 0)
                b = np.ones_like(high) if broadcast else np.minimum(high, source.width)
                columns.append((np.full_like(y, tensor), y, a, b, (y >= 0) & (y < source.height) & (a < b)))
    stacked = [np.stack([c[i] for c in columns], axis=1).ravel() for i in range(5)]
    reads = builder.add_reads(np.repeat(task, len(columns)), np.repeat(s.owner, len(columns)), *stacked)
    window_rows = row[:, None] + np.arange(kernel) * dilation
    rows = ((window_rows >= counted[0]) & (window_rows < counted[1])).sum(axis=1)
    builder.vector.add(
        len(task),
        {
            "task": task,
            "node": index,
            "start": s.start,
            "stop": s.stop,
            "reads": reads[:: len(columns)],
            "rows": rows,
        },
    )
    builder.vector_node_rows[index] = (kernel, runs)


def _picked_range(
    columns: tuple[int, ...], start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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


def _runs(
    builder: "WorkBuilder", operand: int, tensor: int, first_read: int, rows: int, broadcast: bool, view: View
) -> list[tuple[int, ...]]:
    """Channel runs of one source of an operand: contiguous in the source and in the destination."""
    sources, channels = view.sources, view.channels
    position = np.flatnonzero(sources == tensor)
    channel = channels[position]
    breaks = np.flatnonzero((np.diff(position) != 1) | (np.diff(channel) != 1)) + 1
    starts = np.concatenate([[0], breaks])
    lengths = np.diff(np.append(starts, len(position)))
    width = builder.graph.nodes[tensor].channels * builder.eb
    return [
        (operand, first_read, rows, int(channel[a]), int(position[a]), int(n), width, int(broadcast))
        for a, n in zip(starts, lengths, strict=True)
    ]


def _lanes(scratch_bytes: int, source: Node, eb: int) -> int:
    """Channels of a map of which that many bytes hold all pixels."""
    return max(1, min(source.channels, scratch_bytes // (source.height * source.width * eb)))


def vector_nodes(builder: "WorkBuilder") -> VectorNodes:
    """What every vector node does, as the emission kernels read it."""
    count = len(builder.graph.nodes)
    columns = {
        name: np.zeros(count, dtype=np.int64)
        for name in ("kind", "kernel", "stride", "pad", "dilation", "width", "size", "lanes")
    }
    counted = np.zeros((count, 2), dtype=np.int64)
    runs: list[tuple[int, ...]] = []
    run_start = [0]
    copied: list[int] = []
    copied_start = np.zeros(count, dtype=np.int64)
    for index, node in enumerate(builder.graph.nodes):
        if index in builder.vector_node_rows:
            runs.extend(builder.vector_node_rows[index][1])
            source = builder.graph.nodes[int(node.inputs[0].sources[0])]
            columns["width"][index] = source.width
            operation = node.operation
            if isinstance(operation, Windowed):
                w = operation.window
                columns["kernel"][index], columns["stride"][index] = w.kernel[1], w.stride[1]
                columns["pad"][index], columns["dilation"][index] = w.pads[1], w.dilation[1]
                columns["size"][index] = w.kernel[0]
            match operation:
                case Conv():
                    kind = emit_vector.DEPTHWISE
                case Pool():
                    mean = is_mean(builder.graph, index)
                    pool = emit_vector.MAX_POOL if operation.method == "max" else emit_vector.AVG_POOL
                    kind = emit_vector.MEAN if mean else pool
                    columns["lanes"][index] = _lanes(builder.scratch_bytes, source, builder.eb)
                    counted[index] = counted_range(operation, source.height, source.width)[1]
                case Crop() | Pick():
                    kind, copied_start[index] = emit_vector.COPY, len(copied)
                    copied.extend(copied_columns(node, source.width))
                case Lrn():
                    kind, columns["size"][index] = emit_vector.LRN, operation.size
                case Eltwise():
                    kinds = {"add": emit_vector.ADD, "sub": emit_vector.SUB, "mul": emit_vector.MUL}
                    kind = kinds[operation.method]
                case Standalone() | Input():
                    kind = emit_vector.IDENTITY
                case _:
                    assert_never(operation)
            columns["kind"][index] = kind
        run_start.append(len(runs))
    return VectorNodes(
        **columns,
        run_start=np.array(run_start, dtype=np.int64),
        runs=np.array(runs, dtype=np.int64).reshape(-1, 8),
        counted=counted,
        copied_start=copied_start,
        copied=np.array(copied, dtype=np.int64),
        divisor_start=builder.constants.divisor_start,
        divisors=builder.constants.divisors,
        terms=builder.constants.terms,
        coefficients=builder.constants.coefficients,
        weights=builder.constants.weights,
    )
