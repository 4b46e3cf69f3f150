"""One image's flow of data: which buffers exist, what fills them, what depends on what, and every task's
instructions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import Graph
from pimcomp.ir.program import Op
from pimcomp.schedule.build import Work
from pimcomp.schedule.constants import Constants
from pimcomp.schedule.emission.conv import emit_conv, emit_join
from pimcomp.schedule.emission.scatter import emit_scatter
from pimcomp.schedule.emission.tape import LITERAL, Tape, blank_tape
from pimcomp.schedule.emission.vector import emit_vector
from pimcomp.schedule.sites import NodeSites
from pimcomp.schedule.work import (
    CONST,
    LOAD,
    STORE,
    Accesses,
    Buffers,
    LongArray,
    Transfers,
    find_transfers,
    link_readers,
    merge_accesses,
)

CONSTANT_LANES = 12  # constants that may be asked for at the same time


@dataclass(frozen=True, slots=True, eq=False)
class GlobalLayout:
    """Byte addresses in global memory: where each node's constants, input map and stored map begin (-1: none).

    row_bytes: of one feature-map row per node. first_image: where the maps of image 0 begin. image_bytes: input and
    output of one image; the next image's follow.
    """

    constants: LongArray
    stored: LongArray
    loaded: LongArray
    row_bytes: LongArray
    first_image: int
    image_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Actions of one image (tasks, then transfers) with all buffers and dependencies resolved.

    buffers: row buffers, then partial sums, then constants. touches: int64[n, 2] (buffer, action) pairs. pads: per
    zero-filled stretch (buffer, offset, bytes). tape rows of task t: [task_rows[t], task_rows[t + 1]).
    """

    core: LongArray
    peer: LongArray
    rank: LongArray
    edges: npt.NDArray[np.int64]
    buffers: Buffers
    transfers: Transfers
    touches: npt.NDArray[np.int64]
    readers: npt.NDArray[np.int64]
    pads: npt.NDArray[np.int64]
    tape: Tape
    task_rows: LongArray
    tasks: int
    constant_tasks: int
    segment_task: LongArray  # int64[segments], completes the segment of a feature map,
    segment_buffer: LongArray  # in this buffer,
    segment_bytes: npt.NDArray[np.int64]  # int64[segments, 2], in these bytes [low, high) of it
    kind: LongArray
    node: LongArray


def connect(
    graph: Graph, work: Work, placed: tuple[NodeSites, ...], ranks: list[npt.NDArray[np.int32]], constants: Constants,
    layout: GlobalLayout, eb: int, cores: int,
) -> Flow:  # fmt: skip
    """Resolve buffers, transfers, dependencies and relocatable instructions."""
    tasks = len(work.kind)
    segments = _all_segments(placed, work.final_task, work)
    final = segments["final"]
    writes = Accesses(final, work.core[final], segments["node"], segments["row"], segments["begin"], segments["high"])
    valid = work.valid
    joined = Accesses(
        *(np.concatenate([getattr(work.reads, f)[valid], getattr(writes, f)]) for f in Accesses.__slots__)
    )
    is_read = np.arange(len(joined.task)) < valid.sum()
    tallest = max(node.height for node in graph.nodes)
    buffer_of, buffers = merge_accesses(joined, is_read, tallest, cores)
    read_buffer = np.full(len(valid), -1, dtype=np.int64)
    read_buffer[valid] = buffer_of[is_read]
    written = buffer_of[~is_read]
    out_buffer = np.where(work.out_segment >= 0, written[np.maximum(work.out_segment, 0)], -1)
    rows = len(buffers.core)
    sums, pairs = len(work.sum_core), work.constant_pairs
    channels = np.array([n.channels for n in graph.nodes], dtype=np.int64)
    all_buffers = _all_buffers(buffers, work, channels, constants, eb)
    constant_buffer = np.where(work.constant_of >= 0, work.constant_of + rows + sums, LITERAL)

    transfers, edges, carried = _transfers(graph, work, buffers, segments, written, channels, eb, rows, tasks)
    edges.append(work.local_edges)
    edges.append(_reader_edges(work, valid, read_buffer, rows, written, segments, transfers, carried, tasks))
    uses = np.flatnonzero(work.constant_of >= 0)
    edges.append(np.stack([tasks - len(pairs) + work.constant_of[uses], uses], axis=1))

    tape, task_rows = _emit(
        work, constants, all_buffers.low, read_buffer, out_buffer, constant_buffer, written, rows, layout, channels, eb
    )
    rank = _ranks(work, ranks, transfers, edges)
    edges.append(_constant_turns(work, rank))
    peer = np.concatenate([np.full(tasks, -1, dtype=np.int64), transfers.dst_core])
    core = np.concatenate([work.core, transfers.src_core])
    return Flow(
        core,
        peer,
        rank,
        np.concatenate(edges),
        all_buffers,
        transfers,
        _touches(work, valid, read_buffer, out_buffer, written, transfers, rows, tasks),
        np.stack([read_buffer[valid], work.reads.task[valid]], axis=1),
        _pads(graph, buffers, channels, eb),
        tape,
        task_rows,
        tasks,
        len(pairs),
        final,
        written,
        _segment_bytes(segments, buffers.low[written], channels, eb),
        work.kind,
        work.node,
    )


def _all_segments(placed: tuple[NodeSites, ...], final: LongArray, work: Work) -> dict[str, LongArray]:
    parts = [p.segments for p in placed]
    counts = [len(s.row) for s in parts]
    node = np.repeat(np.arange(len(parts)), counts)
    get = lambda name: np.concatenate([getattr(s, name) for s in parts]).astype(np.int64)  # noqa: E731
    return {
        "node": node,
        "row": get("row"),
        "low": get("start"),
        "high": get("stop"),
        "begin": np.minimum(get("start"), work.start[final]),
        "owner": work.core[final],
        "final": final,
    }


def _segment_bytes(
    segments: dict[str, LongArray], low: LongArray, channels: LongArray, eb: int
) -> npt.NDArray[np.int64]:
    """Bytes [low, high) of every segment within a buffer that begins with column `low`."""
    columns = np.stack([segments["low"] - low, segments["high"] - low], axis=1)
    return np.asarray(columns * (channels[segments["node"]] * eb)[:, None], dtype=np.int64)


def _all_buffers(buffers: Buffers, work: Work, channels: LongArray, constants: Constants, eb: int) -> Buffers:
    """Row buffers, partial sums and constants as one list with sizes in bytes."""
    sums, pairs = len(work.sum_core), work.constant_pairs
    constant_bytes = np.array([len(v) for v in constants.vectors], dtype=np.int64)[pairs[:, 1]] * eb
    extra = sums + len(pairs)

    def extend(column: LongArray, value: int) -> LongArray:
        return np.concatenate([column, np.full(extra, value, dtype=np.int64)])

    row_bytes = (buffers.high - buffers.low) * channels[buffers.tensor] * eb
    return Buffers(
        np.concatenate([buffers.core, work.sum_core, pairs[:, 0]]),
        extend(buffers.tensor, -1),
        extend(buffers.row, 0),
        extend(buffers.low, 0),
        extend(buffers.high, 0),
        extend(buffers.read_low, 0),
        extend(buffers.read_high, 0),
        np.concatenate([row_bytes, work.sum_bytes, constant_bytes]),
    )


def _transfers(
    graph: Graph, work: Work, buffers: Buffers, segments: dict[str, LongArray], written: LongArray, channels: LongArray,
    eb: int, rows: int, tasks: int,
) -> tuple[Transfers, list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:  # fmt: skip
    """Messages between row buffers, then between partial sums; the edges at their ends that are known already; and the
    columns [low, high) that each row message carries: int64[row messages, 2].
    """
    heights = np.array([n.height for n in graph.nodes])
    row_start = np.cumsum([0, *heights])
    order = np.lexsort((segments["low"], segments["row"], segments["node"]))
    assert (order == np.arange(len(order))).all(), "segments are sorted"
    row_index = np.searchsorted(row_start[segments["node"]] + segments["row"], np.arange(row_start[-1] + 1))
    limits = np.array([n.width for n in graph.nodes])[buffers.tensor]
    read_low, read_high = np.maximum(buffers.read_low, 0), np.minimum(buffers.read_high, limits)
    arguments = (
        buffers.core, buffers.tensor, buffers.row, read_low, read_high, row_start, row_index,
        segments["low"], segments["high"], segments["owner"],
    )  # fmt: skip
    out = np.zeros((find_transfers(*arguments, False, np.zeros((0, 4), np.int64)), 4), np.int64)
    find_transfers(*arguments, True, out)
    dst, segment, low, high = out.T
    src = written[segment]
    width = channels[buffers.tensor[dst]] * eb
    sums = work.sum_transfers
    transfers = Transfers(
        np.concatenate([segments["owner"][segment], work.sum_core[sums[:, 0]]]),
        np.concatenate([buffers.core[dst], work.sum_core[sums[:, 1]]]),
        np.concatenate([src, sums[:, 0] + rows]),
        np.concatenate([(low - buffers.low[src]) * width, np.zeros(len(sums), np.int64)]),
        np.concatenate([dst, sums[:, 1] + rows]),
        np.concatenate([(low - buffers.low[dst]) * width, np.zeros(len(sums), np.int64)]),
        np.concatenate([(high - low) * width, sums[:, 4]]),
        np.concatenate([segments["final"][segment], sums[:, 2]]),
    )
    numbers = tasks + np.arange(len(transfers.bytes))
    edges = [
        np.stack([transfers.producer, numbers], axis=1),
        np.stack([numbers[len(dst) :], sums[:, 3]], axis=1),
    ]
    return transfers, edges, out[:, 2:]


def _reader_edges(
    work: Work, valid: npt.NDArray[np.bool_], read_buffer: LongArray, rows: int, written: LongArray,
    segments: dict[str, LongArray], transfers: Transfers, carried: npt.NDArray[np.int64], tasks: int,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Edges from transfers and local results to the tasks that read them."""
    reads = np.flatnonzero(valid)
    readers = reads[np.argsort(read_buffer[reads], kind="stable")]
    reader_start = np.searchsorted(read_buffer[readers], np.arange(rows + 1))
    messages = np.arange(len(carried))
    arguments = (
        reader_start, readers, work.reads.task, work.reads.low, work.reads.high,
        np.concatenate([transfers.dst_buffer[messages], written]),
        np.concatenate([carried[:, 0], segments["begin"]]), np.concatenate([carried[:, 1], segments["high"]]),
        np.concatenate([tasks + messages, segments["final"]]),
    )  # fmt: skip
    out = np.zeros((link_readers(*arguments, False, np.zeros((0, 2), np.int64)), 2), np.int64)
    link_readers(*arguments, True, out)
    return out


def _ranks(
    work: Work, ranks: list[npt.NDArray[np.int32]], transfers: Transfers, edges: list[npt.NDArray[np.int64]]
) -> LongArray:
    """Tasks rank as their row in the pull order; transfers and constant loads as their first consumer."""
    table = np.concatenate([r.astype(np.int64) for r in ranks])
    start = np.cumsum([0, *[len(r) for r in ranks]])
    rank = np.concatenate([table[start[work.node] + work.row], np.full(len(transfers.bytes), 2**40, dtype=np.int64)])
    derived = np.concatenate([work.kind == CONST, np.ones(len(transfers.bytes), dtype=bool)])
    rank[derived] = 2**40
    pairs = np.concatenate(edges)
    pairs = pairs[derived[pairs[:, 0]]]
    consumer_rank = rank[pairs[:, 1]]
    np.minimum.at(rank, pairs[:, 0], consumer_rank)
    return rank


def _constant_turns(work: Work, rank: LongArray) -> npt.NDArray[np.int64]:
    """Edges that make constants wait: for the input rows that are needed before them, and for constants before them.

    The memory server serves one request after the other; constants that all cores ask for at once would hold up the
    first rows of the input, and then one another.
    """
    loads, constants = np.flatnonzero(work.kind == LOAD), np.flatnonzero(work.kind == CONST)
    loads = loads[np.argsort(rank[loads], kind="stable")]
    constants = constants[np.argsort(rank[constants], kind="stable")]
    before = np.searchsorted(rank[loads], rank[constants]) - 1
    late = before >= 0
    after_load = np.stack([loads[before[late]], constants[late]], axis=1)
    in_turn = np.stack([constants[:-CONSTANT_LANES], constants[CONSTANT_LANES:]], axis=1)
    return np.concatenate([after_load, in_turn])


def _touches(
    work: Work, valid: npt.NDArray[np.bool_], read_buffer: LongArray, out_buffer: LongArray, written: LongArray,
    transfers: Transfers, rows: int, tasks: int,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """(buffer, action) for every action that needs a buffer to be alive."""
    numbers = np.arange(tasks)
    moves = tasks + np.arange(len(transfers.bytes))
    has_out = out_buffer >= 0
    conv_total, join_total = work.conv.total >= 0, work.join.total >= 0
    parts_task = np.repeat(work.join.task, work.join.parts_each)
    pieces = [
        (read_buffer[valid], work.reads.task[valid]),
        (out_buffer[has_out], numbers[has_out]),
        (transfers.src_buffer, moves),
        (transfers.dst_buffer, moves),
        (work.conv.total[conv_total] + rows, work.conv.task[conv_total]),
        (work.join.total[join_total] + rows, work.join.task[join_total]),
        (work.part_sums + rows, parts_task),
        (_sum_buffers(work, written, rows), work.contributions.task),
    ]
    return np.stack([np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])], axis=1)


def _sum_buffers(work: Work, written: LongArray, rows: int) -> LongArray:
    """The buffer that each contribution of a scattering task is added to: a result, or a partial sum that travels."""
    added = work.contributions
    return np.where(added.segment >= 0, written[np.maximum(added.segment, 0)], added.total + rows)


def _pads(graph: Graph, buffers: Buffers, channels: LongArray, eb: int) -> npt.NDArray[np.int64]:
    """Zero-filled stretches of row buffers: columns beyond the map, and whole rows beyond it."""
    width = np.array([n.width for n in graph.nodes])[buffers.tensor]
    height = np.array([n.height for n in graph.nodes])[buffers.tensor]
    pixel = channels[buffers.tensor] * eb
    b = np.arange(len(buffers.core))
    outside = (buffers.row < 0) | (buffers.row >= height)
    left = np.where(outside, buffers.high - buffers.low, np.clip(-buffers.low, 0, buffers.high - buffers.low))
    right_at = np.maximum(width, buffers.low)
    right = np.where(outside, 0, np.maximum(buffers.high - right_at, 0))
    stretches = np.concatenate(
        [
            np.stack([b, np.zeros_like(b), left * pixel], axis=1),
            np.stack([b, (right_at - buffers.low) * pixel, right * pixel], axis=1),
        ]
    )
    return stretches[stretches[:, 2] > 0]


def _emit(
    work: Work, constants: Constants, buffer_low: LongArray, read_buffer: LongArray, out_buffer: LongArray,
    constant_buffer: LongArray, written: LongArray, rows: int, layout: GlobalLayout, channels: LongArray, eb: int,
) -> tuple[Tape, LongArray]:  # fmt: skip
    """All tasks' relocatable instructions in task order, and where each task's rows begin."""
    f = constants.finish

    def pick(values: LongArray) -> LongArray:
        return np.where(values >= 0, values + rows, -1)

    conv = work.conv._replace(
        total=pick(work.conv.total),
        out=np.where(work.conv.total >= 0, -1, out_buffer[work.conv.task]),
        constants=constant_buffer[work.conv.task],
    )
    join = work.join._replace(
        total=pick(work.join.total),
        out=np.where(work.join.out >= 0, out_buffer[work.join.task], -1),
        constants=constant_buffer[work.join.task],
    )
    vector = work.vector._replace(out=out_buffer[work.vector.task], constants=constant_buffer[work.vector.task])
    added = work.contributions
    scatter = work.scatter._replace(constants=constant_buffer[work.scatter.task])
    sum_buffer = _sum_buffers(work, written, rows)
    tapes = []
    for run in (
        lambda t, b: emit_conv(t, b, conv, work.templates, f, read_buffer, buffer_low, work.group_table, eb),
        lambda t, b: emit_join(t, b, join, f, work.part_sums + rows, buffer_low, eb),
        lambda t, b: emit_scatter(
            t, b, scatter, work.templates, f, added, sum_buffer, read_buffer, buffer_low, work.group_table, eb
        ),
        lambda t, b: emit_vector(t, b, vector, work.vector_nodes, f, read_buffer, buffer_low, eb),
    ):
        bounds = np.zeros(len(work.kind) + 1, np.int64)
        tape = blank_tape(run(blank_tape(0), bounds))
        run(tape, bounds)
        tapes.append(tape)
    tapes.append(_memory_tape(work, out_buffer, read_buffer, buffer_low, layout, channels, constants, eb))
    order = np.argsort(np.concatenate([t.task for t in tapes]), kind="stable")
    tape = Tape._make(np.concatenate([getattr(t, name) for t in tapes])[order] for name in Tape._fields)
    return tape, np.searchsorted(tape.task, np.arange(len(work.kind) + 1))


def _memory_tape(
    work: Work, out_buffer: LongArray, read_buffer: LongArray, buffer_low: LongArray,
    layout: GlobalLayout, channels: LongArray, constants: Constants, eb: int,
) -> Tape:  # fmt: skip
    """Loads of input rows and constants, stores of results: one instruction each."""
    task = np.flatnonzero((work.kind == LOAD) | (work.kind == STORE) | (work.kind == CONST))
    tape = blank_tape(len(task))
    kind, node = work.kind[task], work.node[task]
    pixel = channels[node] * eb
    size = (work.stop[task] - work.start[task]) * pixel
    first_read = np.full(len(work.kind), -1, dtype=np.int64)
    first_read[work.reads.task[::-1]] = np.arange(len(work.reads.task) - 1, -1, -1)
    load, store, const = kind == LOAD, kind == STORE, kind == CONST
    buffer = np.where(load, out_buffer[task], 0)
    buffer[store] = read_buffer[first_read[task[store]]]
    offset = (work.start[task] - buffer_low[np.maximum(buffer, 0)]) * pixel
    number = task[const] - (len(work.kind) - len(work.constant_pairs))
    buffer[const] = number + (len(buffer_low) - len(work.constant_pairs))
    offset[const] = 0
    row_at = work.row[task] * layout.row_bytes[node] + work.start[task] * pixel
    tape.op[:] = np.where(store, int(Op.ST), int(Op.LD))
    tape.size[:] = size
    tape.size[const] = np.array([len(v) for v in constants.vectors], dtype=np.int64)[node[const]] * eb
    tape.task[:] = task
    local_is_dst = ~store
    tape.dst_buffer[local_is_dst], tape.dst_offset[local_is_dst] = buffer[local_is_dst], offset[local_is_dst]
    tape.src_buffer[store], tape.src_offset[store] = buffer[store], offset[store]
    tape.src_offset[load] = layout.loaded[node[load]] + row_at[load]
    tape.src_offset[const] = layout.constants[node[const]]
    tape.dst_offset[store] = layout.stored[node[store]] + row_at[store]
    return tape
