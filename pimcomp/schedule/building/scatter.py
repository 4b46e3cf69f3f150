"""Work of a site that scatters: tasks per input row, each adding to all output rows that the row touches."""

import numpy as np

from pimcomp.ir.graph import Conv
from pimcomp.schedule.building.conv import add_up
from pimcomp.schedule.building.ledger import Ledger, chain, members_of
from pimcomp.schedule.emission.scatter import Contributions, ScatterTasks
from pimcomp.schedule.emission.templates import SLOT_SOURCE
from pimcomp.schedule.sites import Segments, Site
from pimcomp.schedule.work import CONV, Accesses, LongArray, Sums, same


def scatter_site(ledger: Ledger, node: int, site: Site, s: Segments, numbers: LongArray) -> None:
    """Tasks of one scattering site; `s` holds its one column segment of every output row, by row.

    Every member core takes every input row, in MVMs of several pixels; it begins the sum of an output row with the
    first input row that touches it and completes it with the last.
    """
    matrix, conv = ledger.matrix(node)
    source = ledger.graph.nodes[int(ledger.graph.nodes[node].inputs[0].sources[0])]
    members = members_of(site)
    alone = len(members) == 1
    start, stop = int(s.start[0]), int(s.stop[0])
    size = ((s.stop - s.start) * ledger.graph.nodes[node].channels * ledger.element_bytes).astype(np.int64)
    totals = [same(-1, size) if alone else ledger.sums.add(Sums(same(core, size), size)) for core in members]
    row, tap, target = _touches(s.row.astype(np.int64), conv.window.kernel[0], conv.window.pads[0], source.height)
    input_rows, first_of, each = np.unique(row, return_index=True, return_counts=True)
    opening, closing = np.full(len(s.row), source.height), np.full(len(s.row), -1)
    np.minimum.at(opening, target, row)
    np.maximum.at(closing, target, row)
    begins, ends = _pieces(start, stop, conv, source.width, matrix.unfolding.scatter, ledger.options.TASK_BLOCKS)
    count = len(begins)
    begin, end = np.tile(begins, len(input_rows)), np.tile(ends, len(input_rows))
    # The row of a task is the first output row it touches: that ranks it before everything that needs its sums.
    rank_row = np.repeat(s.row[target[first_of]], count)
    grid = Segments(rank_row, *(np.full(len(begin), x) for x in (start, stop, 0, 0)))
    # Contributions of every (input row, piece), in task order.
    counts = np.repeat(each, count)
    begins_at = np.cumsum(counts) - counts
    chosen = np.arange(counts.sum()) + np.repeat(np.repeat(first_of, count) - begins_at, counts)
    piece = np.repeat(np.tile(np.arange(count), len(input_rows)), counts)
    segment = target[chosen]
    first = (row[chosen] == opening[segment]) & (piece == 0)
    last = (row[chosen] == closing[segment]) & (piece == count - 1)
    fired = []
    for core, total in zip(members, totals, strict=True):
        template, held, first_group = ledger.template(node, site, core)
        task = ledger.add_tasks(CONV, node, grid, same(core, begin))
        ledger.edges.add(chain(task))
        fired.append(task.reshape(len(input_rows), count)[np.searchsorted(input_rows, closing), -1])
        slots, rows = len(held.slots), np.repeat(input_rows, count)
        places = (x.repeat(slots) for x in (rows, begin, end, same(1, task)))
        tensor = np.tile(held.slots[:, SLOT_SOURCE], len(task))
        reads = ledger.reads.add(Accesses(task.repeat(slots), same(core, tensor), tensor, *places))
        owner, result = np.repeat(task, counts), numbers[segment] if alone else same(-1, segment)
        parts = ledger.contributions.add(Contributions(owner, tap[chosen], result, total[segment], first, last))
        ledger.scatter.add(
            ScatterTasks(
                task=task,
                template=same(template, task),
                begin=begin,
                end=end,
                reads=reads[::slots],
                numbers=same(first_group, task),
                replicas=same(len(site.replicas), task),
                turn=np.arange(len(task)),
                parts=parts[0] + begins_at,
                parts_each=counts,
            )
        )
    if alone:
        ledger.final_task[numbers] = fired[0]
    else:
        add_up(ledger, node, members, s, s.start.astype(np.int64), numbers, fired, totals)


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
