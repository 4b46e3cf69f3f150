"""Work of a site that scatters: tasks per input row, each adding to all output rows that the row touches.

A site takes all input columns that its outputs need, or only a share of its own; then sites send each other what they
found for the other's columns.
"""

from typing import NamedTuple

import numpy as np

from pimcomp.schedule.building.conv import add_parts, add_up
from pimcomp.schedule.building.ledger import Ledger, chain, members_of
from pimcomp.schedule.emission.scatter import Contributions, ScatterTasks
from pimcomp.schedule.emission.templates import SLOT_SOURCE
from pimcomp.schedule.sites import Segments, Site
from pimcomp.schedule.work import CONV, JOIN, Accesses, Edges, LongArray, PartSums, Sums, SumTransfers, same


class Half(NamedTuple):
    """What a site found for columns [start, stop), more than those of its `segments` (`numbers`): it is in sum `total`
    of core `head` after task `done`, per output row."""

    head: int
    segments: Segments
    numbers: LongArray
    start: int
    stop: int
    total: LongArray
    done: LongArray


def scatter_site(ledger: Ledger, node: int, site: Site, s: Segments, numbers: LongArray) -> None:
    """Tasks of one scattering site; `s` holds its one column segment of every output row, by row."""
    _, conv = ledger.matrix(node)
    left, reach = conv.window.pads[1], conv.window.kernel[1] - 1
    share = int(s.start[0]) - left, int(s.stop[0]) - left + reach
    totals, fired = _fire(ledger, node, site, s, numbers, share)
    if len(fired) == 1:
        ledger.final_task[numbers] = fired[0]
    else:
        start = s.start.astype(np.int64)
        ledger.final_task[numbers] = add_up(ledger, node, members_of(site), s, start, numbers, fired, totals)


def shared_site(ledger: Ledger, node: int, site: Site, s: Segments, numbers: LongArray, share: LongArray) -> Half:
    """As `scatter_site`, but it takes input columns `share` alone and completes nothing."""
    window, width = ledger.matrix(node)[1].window, ledger.graph.nodes[node].width
    begin, end = share.tolist()
    start, stop = max(begin + window.pads[1] - window.kernel[1] + 1, 0), min(end + window.pads[1], width)
    reached = s._replace(start=same(start, s.start), stop=same(stop, s.stop))
    totals, fired = _fire(ledger, node, site, reached, None, (begin, end))
    members = members_of(site)
    done = add_up(ledger, node, members, reached, reached.start, None, fired, totals) if len(fired) > 1 else fired[0]
    return Half(site.head, s, numbers, start, stop, totals[0], done)


def exchange(ledger: Ledger, node: int, halves: list[Half]) -> None:
    """Sites add what others found for their columns, and complete their results."""
    pixel = ledger.graph.nodes[node].channels
    width = pixel * ledger.element_bytes
    for own in halves:
        start, stop = int(own.segments.start[0]), int(own.segments.stop[0])
        core = same(own.head, own.done)
        task = ledger.add_tasks(JOIN, node, own.segments, core, out=own.numbers)
        ledger.edges.add(Edges(own.done, task))
        parts = []
        for other in halves:
            low, high = max(start, other.start), min(stop, other.stop)
            if other is own or low >= high:
                continue
            elements, skip = same((high - low) * pixel, task), same((low - other.start) * width, task)
            part = other.total
            if other.head == own.head:
                ledger.edges.add(Edges(other.done, task))
            else:
                size = elements * ledger.element_bytes
                part = ledger.sums.add(Sums(core, size))
                ledger.sum_transfers.add(SumTransfers(other.total, skip, part, other.done, task, size))
                skip = same(0, task)
            parts.append(PartSums(part, skip, same((low - start) * width, task), elements))
        before = same((start - own.start) * width, task)
        add_parts(ledger, task, own.total, before, parts)
        ledger.final_task[own.numbers] = task


def _fire(
    ledger: Ledger, node: int, site: Site, s: Segments, numbers: LongArray | None, share: tuple[int, int]
) -> tuple[list[LongArray], list[LongArray]]:
    """Per member core the sums of all segments, and the tasks that complete them. numbers: of the segments; None if
    what one core finds is not yet their result. share: the input columns it takes, as far as they exist.

    Every member core takes every input row, in MVMs of several pixels; it begins the sum of an output row with the
    first input row that touches it and completes it with the last.
    """
    matrix, conv = ledger.matrix(node)
    source = ledger.graph.nodes[int(ledger.graph.nodes[node].inputs[0].sources[0])]
    members = members_of(site)
    alone = len(members) == 1 and numbers is not None
    size = ((s.stop - s.start) * ledger.graph.nodes[node].channels * ledger.element_bytes).astype(np.int64)
    totals = [same(-1, size) if alone else ledger.sums.add(Sums(same(core, size), size)) for core in members]
    row, tap, target = _touches(s.row.astype(np.int64), conv.window.kernel[0], conv.window.pads[0], source.height)
    input_rows, first_of, each = np.unique(row, return_index=True, return_counts=True)
    opening, closing = np.full(len(s.row), source.height), np.full(len(s.row), -1)
    np.minimum.at(opening, target, row)
    np.maximum.at(closing, target, row)
    begins, ends = _pieces(share, source.width, matrix.unfolding.scatter, ledger.options.TASK_BLOCKS)
    count = len(begins)
    begin, end = np.tile(begins, len(input_rows)), np.tile(ends, len(input_rows))
    # The row of a task is the first output row it touches: that ranks it before everything that needs its sums.
    rank_row = np.repeat(s.row[target[first_of]], count)
    grid = Segments(rank_row, *(np.full(len(begin), x) for x in (s.start[0], s.stop[0], 0, 0)))
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
        owner = np.repeat(task, counts)
        result = numbers[segment] if alone and numbers is not None else same(-1, segment)
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
    return totals, fired


def _touches(rows: LongArray, kernel: int, pad: int, height: int) -> tuple[LongArray, LongArray, LongArray]:
    """(input row, kernel row, position in `rows`) of every contribution, by input row."""
    target, tap = np.meshgrid(np.arange(len(rows)), np.arange(kernel), indexing="ij")
    row = rows[target] - pad + tap
    inside = (row >= 0) & (row < height)
    order = np.lexsort((target[inside], row[inside]))
    return row[inside][order], tap[inside][order], target[inside][order]


def _pieces(share: tuple[int, int], width: int, pixels: int, groups: int) -> tuple[LongArray, LongArray]:
    """Input columns [begin, end) of each task of a row: whole MVMs, `groups` of them; the last may reach beyond."""
    low = max(share[0], 0)
    high = max(min(share[1], width), low + 1)
    begins = np.arange(low, high, pixels * groups)
    mvms = np.minimum(-(-(high - begins) // pixels), groups)
    return begins, begins + mvms * pixels
