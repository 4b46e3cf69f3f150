"""Instructions of scattering convolution tasks: every input pixel enters one MVM, all windows' contributions come
out."""

from typing import NamedTuple

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.conv import Window, input_of, stage
from pimcomp.schedule.emission.finish import Desk, Job, finish, take
from pimcomp.schedule.emission.tape import NOTHING, SCRATCH, Operand, Pen, fire, plus, put
from pimcomp.schedule.emission.templates import GROUP_SPAN, GROUP_SPANS, Templates
from pimcomp.schedule.work import LongArray

LLDI, VVADD = int(Op.LLDI), int(Op.VVADD)


class ScatterTasks(NamedTuple):
    """Tasks that take input columns [begin, end) of one row in MVMs of several pixels.

    parts/parts_each: first and number of its `Contributions`. Other fields as in `ConvTasks`.
    """

    task: LongArray
    template: LongArray
    begin: LongArray
    end: LongArray
    reads: LongArray
    numbers: LongArray
    replicas: LongArray
    turn: LongArray
    parts: LongArray
    parts_each: LongArray


class Contributions(NamedTuple):
    """What a task adds to one output row: kernel row `tap`; into the result of segment `segment` or, if that is -1,
    into partial sum `total` (its number, then the buffer of either). first: the task begins the sum; last: it completes
    it.
    """

    task: LongArray
    tap: LongArray
    segment: LongArray
    total: LongArray
    first: LongArray
    last: LongArray


@kernel
def emit_scatter(pen: Pen, desk: Desk, tasks: ScatterTasks, t: Templates, parts: Contributions) -> None:
    """Write all scattering tasks."""
    eb = pen.element_bytes
    for i in range(len(tasks.task)):
        job, k = take(pen, desk, tasks.task[i]), tasks.template[i]
        pixels, first = t.scatter[k], t.group_start[k]
        groups, own = t.group_start[k + 1] - first, range(tasks.parts[i], tasks.parts[i] + tasks.parts_each[i])
        result = (SCRATCH, t.staging_bytes[k] + eb)
        spare = result[1] + t.columns[k] * eb + eb
        for p in own:
            if parts.first[p]:
                size = (job.stop - job.start) * job.channels * eb
                put(pen, LLDI, _sum_of(desk, job, parts, p, eb), NOTHING, NOTHING, size)
        turn = tasks.turn[i]
        for x in range(tasks.begin[i], tasks.end[i], pixels):
            window, numbers = Window(k, tasks.reads[i], x), tasks.numbers[i] + turn % tasks.replicas[i] * groups
            stage(pen, desk, t, window)
            leftmost = x + t.pad[k] - t.kernel[k, 1] + 1  # output column of position 0
            for g in range(first, first + groups):
                fire(pen, result, input_of(desk, t, window, g), t.numbers[numbers + g - first])
                for p in own:
                    sums = plus(_sum_of(desk, job, parts, p, eb), (leftmost - job.start) * job.channels * eb)
                    _add(pen, t, job, (k, g), parts.tap[p], leftmost, sums, result)
            turn += 1
        for p in own:
            if parts.last[p] and parts.segment[p] >= 0:
                sums = _sum_of(desk, job, parts, p, eb)
                finish(pen, desk.finish, job, sums, sums, job.stop - job.start, spare)


@kernel
def _add(
    pen: Pen, t: Templates, job: Job, place: tuple[int, int], tap: int, leftmost: int, sums: Operand, result: Operand
) -> None:
    """Add what an array group found for kernel row `tap` to one output row; place: template and group.

    sums: where column `leftmost` of the row would be.
    """
    k, g = place
    eb, positions = pen.element_bytes, t.scatter[k] + t.kernel[k, 1] - 1
    row = tap * positions
    low, high = row + max(job.start - leftmost, 0), row + min(job.stop - leftmost, positions)
    inside, span = 0, t.span_start[k] + t.groups[g, GROUP_SPAN]  # inside: where the span begins in the MVM's result
    for s in range(span, span + t.groups[g, GROUP_SPANS]):
        begin, end = max(t.spans[s, 0], low * job.channels), min(t.spans[s, 1], high * job.channels)
        if begin < end:
            added = plus(sums, (begin - row * job.channels) * eb)
            put(pen, VVADD, added, added, plus(result, (inside + begin - t.spans[s, 0]) * eb), end - begin)
        inside += t.spans[s, 1] - t.spans[s, 0]


@kernel
def _sum_of(desk: Desk, job: Job, parts: Contributions, p: int, element_bytes: int) -> Operand:
    """Where the first column of a contribution's sum is."""
    buffer = parts.total[p]
    if parts.segment[p] >= 0:
        return buffer, (job.start - desk.low[buffer]) * job.channels * element_bytes
    return buffer, 0
