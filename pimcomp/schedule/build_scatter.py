"""Work of a site that scatters: tasks per input row, each adding to all output rows that the row touches."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import Conv
from pimcomp.schedule.sites import Segments
from pimcomp.schedule.work import CONV

if TYPE_CHECKING:
    from pimcomp.schedule.build import WorkBuilder

LongArray = npt.NDArray[np.int64]


def scatter_site(
    builder: "WorkBuilder", index: int, cores: np.ndarray, replicas: np.ndarray, s: Segments, numbers: LongArray
) -> None:
    """Tasks of one scattering site; `s` holds its one column segment of every output row, by row.

    Every member core takes every input row, in MVMs of several pixels; it begins the sum of an output row with the
    first input row that touches it and completes it with the last.
    """
    graph = builder.graph
    conv = graph.nodes[index].operation
    assert isinstance(conv, Conv)
    source = graph.nodes[int(graph.nodes[index].inputs[0].sources[0])]
    members = [int(cores[0]), *[int(c) for c in np.unique(cores) if c != cores[0]]]
    start, stop = int(s.start[0]), int(s.stop[0])
    size = (s.stop - s.start) * graph.nodes[index].channels * builder.eb
    totals = [builder.sums.add(len(s.row), {"core": core, "bytes": size}) for core in members if len(members) > 1]
    row, tap, target = _touches(s.row.astype(np.int64), conv.window.kernel[0], conv.window.pads[0], source.height)
    input_rows, first_of = np.unique(row, return_index=True)
    each = np.diff(np.append(first_of, len(row)))
    opening, closing = np.full(len(s.row), source.height), np.full(len(s.row), -1)
    np.minimum.at(opening, target, row)
    np.maximum.at(closing, target, row)
    matrix = builder.placed[index].matrix
    assert matrix is not None
    pixels = matrix.unfolding.scatter
    begins, ends = _pieces(start, stop, conv, source.width, pixels, builder.options.task_blocks)
    count = len(begins)
    tasks = len(input_rows) * count
    begin, end = np.tile(begins, len(input_rows)), np.tile(ends, len(input_rows))
    # The row of a task is the first output row it touches: that ranks it before everything that needs its sums.
    rank_row = np.repeat(s.row[target[first_of]], count)
    grid = Segments(rank_row, *(np.full(tasks, x) for x in (start, stop, 0, 0)))
    # Contributions of every (input row, piece), in task order.
    counts = np.repeat(each, count)
    begins_at = np.cumsum(counts) - counts
    chosen = np.arange(counts.sum()) + np.repeat(np.repeat(first_of, count) - begins_at, counts)
    piece = np.repeat(np.tile(np.arange(count), len(input_rows)), counts)
    segment = target[chosen]
    first = (row[chosen] == opening[segment]) & (piece == 0)
    last = (row[chosen] == closing[segment]) & (piece == count - 1)
    fired = []
    for m, core in enumerate(members):
        number, template = builder.template(index, np.flatnonzero(cores == core))
        task = builder.add_tasks(CONV, index, grid, core)
        builder.edges.add(len(task) - 1, {"from": task[:-1], "to": task[1:]})
        by_row = task.reshape(len(input_rows), count)
        fired.append(by_row[np.searchsorted(input_rows, closing), -1])
        slots = template.slots.astype(np.int64)
        reads = builder.add_reads(
            np.repeat(task, len(slots)),
            core,
            np.tile(slots[:, 0], len(task)),
            np.repeat(np.repeat(input_rows, count), len(slots)),
            np.repeat(begin, len(slots)),
            np.repeat(end, len(slots)),
        )
        parts = builder.contributions.add(
            len(chosen),
            {
                "task": np.repeat(task, counts),
                "tap": tap[chosen],
                "segment": numbers[segment] if len(members) == 1 else -1,
                "total": totals[m][segment] if len(members) > 1 else -1,
                "first": first,
                "last": last,
            },
        )
        builder.scatter.add(
            len(task),
            {
                "task": task,
                "template": number,
                "node": index,
                "begin": begin,
                "end": end,
                "start": start,
                "stop": stop,
                "reads": reads[:: len(slots)],
                "group_table": builder.number_table(index, replicas, template),
                "replicas": len(replicas),
                "turn": np.arange(len(task)),
                "parts": parts[0] + begins_at,
                "parts_each": counts,
            },
        )
    if len(members) == 1:
        builder.final_task[numbers] = fired[0]
    else:
        builder.add_up(index, members, s, s.start.astype(np.int64), numbers, fired, totals)


def _touches(rows: LongArray, kernel: int, pad: int, height: int) -> tuple[LongArray, LongArray, LongArray]:
    """(input row, kernel row, position in `rows`) of every contribution, by input row."""
    target, tap = np.meshgrid(np.arange(len(rows)), np.arange(kernel), indexing="ij")
    row = rows[target] - pad + tap
    inside = (row >= 0) & (row < height)
    order = np.lexsort((target[inside], row[inside]))
    return row[inside][order], tap[inside][order], target[inside][order]


def _pieces(start: int, stop: int, conv: Conv, width: int, pixels: int, groups: int) -> tuple[LongArray, LongArray]:
    """Input columns [begin, end) of each task of a row: whole MVMs, `groups` of them; the last may reach beyond."""
    low = max(start - conv.window.pads[1], 0)
    high = max(min(stop - conv.window.pads[1] + conv.window.kernel[1] - 1, width), low + 1)
    begins = np.arange(low, high, pixels * groups)
    mvms = np.minimum(-(-(high - begins) // pixels), groups)
    return begins, begins + mvms * pixels
