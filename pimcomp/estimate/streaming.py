"""When everything happens, coarsely: strips of rows in the demand-driven order take what the cores have left.

The list scheduler (schedule/ordering) prefers, among what is ready on a core, the row that comes first in the
demand-driven order. So rows are placed in that order, each into the idle time that earlier ones have left on its cores,
from the moment its inputs are complete: a later row can overtake on another core, but never delays an earlier one. Idle
time is kept per core in buckets of a fraction of the busiest core's work, and rows of the same site go together in
strips.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.estimate.layout import Layout
from pimcomp.estimate.tables import INPUT, Network
from pimcomp.estimate.work import CoreWork
from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import DoubleArray, LongArray

BUCKETS = 128
BUCKETS_PER_LOAD = 32.0  # of the busiest core: the horizon is 4 times its work; what comes later queues up
MOST_STRIPS = 28  # of a map: row by row where it has no more rows
SITE_STRIPS, LEAST_STRIPS = 320, 5  # of a map: strips times sites, and strips whatever the number of sites


class Strips(NamedTuple):
    """Strips of needed rows [begin, end) of a node in the demand-driven order."""

    node: LongArray
    begin: LongArray
    end: LongArray


@kernel
def strips_of(net: Network, layout: Layout) -> Strips:
    """Strips of rows; a strip's inputs come before it.

    A map is cut into at most `MOST_STRIPS` strips, and into fewer if it has many sites.
    """
    height, row_start, before, first_site = net.height, net.row_start, net.needed_before, layout.start
    edge_start, source, extent = net.edge_start, net.source, net.extent
    base_start, base_row, outputs, period = net.base_start, net.base_row, net.outputs, layout.period
    nodes, total, tallest = len(height), 0, 0
    tall = np.ones(nodes, np.int64)
    for n in range(nodes):
        beats = (height[n] + period[n] - 1) // period[n]
        fewer = max(SITE_STRIPS // max(first_site[n + 1] - first_site[n], 1), LEAST_STRIPS)
        cuts = min(MOST_STRIPS, fewer)
        tall[n] = period[n] * ((beats + cuts - 1) // cuts)
        total += -(-height[n] // tall[n])
    for i in range(len(outputs)):
        tallest = max(tallest, height[outputs[i]])
    node, begin, end = np.zeros((3, total), np.int64)
    made, stack, target = np.zeros(nodes, np.int64), np.zeros(nodes**2 + 8, np.int64), np.zeros(nodes**2 + 8, np.int64)
    count = 0
    for row in range(tallest):
        for i in range(len(outputs)):
            depth = 1 if row < height[outputs[i]] else 0
            stack[0], target[0] = outputs[i], row
            while depth > 0:
                n = stack[depth - 1]
                if made[n] > target[depth - 1]:
                    depth -= 1
                    continue
                stop, g = min(made[n] + tall[n], height[n]), row_start[n]
                needed = before[g + stop] - before[g + made[n]]
                missing = 0
                if needed > 0:
                    y = stop - 1
                    while before[g + y + 1] == before[g + y]:
                        y -= 1
                    for e in range(edge_start[n], edge_start[n + 1]):
                        last = min(base_row[base_start[e] + y] + extent[e], height[source[e]]) - 1
                        if made[source[e]] <= last:
                            stack[depth + missing], target[depth + missing] = source[e], last
                            missing += 1
                depth += missing
                if missing > 0:
                    continue
                if needed > 0:
                    node[count], begin[count], end[count] = n, made[n], stop
                    count += 1
                made[n] = stop
    return Strips(node[:count], begin[:count], end[:count])


class _Idle(NamedTuple):
    """Per core and bucket: ns used, and how many buckets further there may be idle time (0: here). width: ns."""

    used: DoubleArray
    following: npt.NDArray[np.int32]
    width: float
    per_ns: float


@kernel
def _insert(idle: _Idle, core: int, ready: float, need: float) -> tuple[float, float]:
    """Take `need` ns of a core's idle time from `ready` on; (start, end)."""
    used, following, width, per_ns = idle
    b = min(int(ready * per_ns), BUCKETS - 1)
    root = b
    while following[core, root] > 0:
        root += following[core, root]
    while b < root:
        step = following[core, b]
        following[core, b] = root - b
        b += step
    start = -1.0
    while True:
        at = max(ready, b * width + used[core, b])
        room = (b + 1) * width - at
        if start < 0:
            start = at
        if need <= room or b == BUCKETS - 1:
            used[core, b] += need
            return start, at + need
        if room > 0:
            used[core, b] += room
            need -= room
        if used[core, b] >= width * 0.999:
            following[core, b] = 1
        b += 1
        while following[core, b] > 0:
            b += following[core, b]


@kernel
def busiest_ns(net: Network, layout: Layout, work: CoreWork, cores: int) -> float:
    """What one image takes of the busiest core's time: its work, both ends of its messages, and its loads."""
    load_ns = net.load_ns
    start, core, own, receive, join, send = (
        work.start, work.core, work.own_ns, work.receive_ns, work.join_ns, work.send_ns
    )  # fmt: skip
    first_site, head, row_set, set_rows = layout.start, layout.head, layout.row_set, layout.rows
    load = np.zeros(cores)
    for n in range(len(first_site) - 1):
        for s in range(first_site[n], first_site[n + 1]):
            rows = set_rows[n, row_set[s]]
            load[head[s]] += rows * (join[s] + send[s] + load_ns[n])
            for i in range(start[s], start[s + 1]):
                load[core[i]] += rows * (own[i] + receive[i])
    return float(load.max())


@kernel
def stream(  # noqa: PLR0915  one pass over strips
    net: Network, cores: int, layout: Layout, work: CoreWork, strips: Strips, width: float
) -> tuple[float, float, float]:
    """(finish of an image in ns; what the global memory serves for it, in ns; peak bytes of local memory).

    width: ns of a bucket.
    """
    kind, height, row_start, set_of = net.kind, net.height, net.row_start, layout.needed_set
    edge_start, source, extent, base_start, base_row = (
        net.edge_start, net.source, net.extent, net.base_start, net.base_row
    )  # fmt: skip
    load_ns, store_ns = net.load_ns, net.store_ns
    first_site, sets, heads, row_set, period = layout.start, layout.sets, layout.head, layout.row_set, layout.period
    start, core, own_ns, receive_ns = work.start, work.core, work.own_ns, work.receive_ns
    new_bytes, held_bytes, sum_bytes = work.new_bytes, work.held_bytes, work.sum_bytes
    join_ns, send_ns = work.join_ns, work.send_ns
    node, begin, end = strips
    per_ns = 1.0 / width
    idle = _Idle(np.zeros((cores, BUCKETS)), np.zeros((cores, BUCKETS), np.int32), width, per_ns)
    memory = np.zeros((cores, BUCKETS + 1))
    count = len(node)
    done, of_set = np.zeros(len(set_of)), np.zeros(layout.rows.shape[1], np.int64)
    constants_ns = work.constants_ns
    server, image_end = 0.0, 0.0
    for u in range(count):
        n, y0, y1 = node[u], begin[u], end[u]
        g, last = row_start[n], y0
        for s in range(sets[n]):
            of_set[s] = 0
        for y in range(y0, y1):
            if set_of[g + y] >= 0:
                of_set[set_of[g + y]] += 1
                last = y
        ready, complete = 0.0, 0.0
        for e in range(edge_start[n], edge_start[n + 1]):
            p, b = source[e], base_start[e]
            row = min(base_row[b + y0] + extent[e], height[p]) - 1
            if row >= 0:
                ready = max(ready, done[row_start[p] + row])
            row = min(base_row[b + last] + extent[e], height[p]) - 1
            if row >= 0:
                complete = max(complete, done[row_start[p] + row])
        if y0 == 0 and constants_ns[n] > 0.0:
            server += constants_ns[n]
            complete = max(complete, server)
        began, finish, most = ready, 0.0, 1
        for s in range(first_site[n], first_site[n + 1]):
            rows, first, stop = of_set[row_set[s]], start[s], start[s + 1]
            if rows == 0 or first == stop:
                continue
            most = max(most, rows)
            last_end, last_start = 0.0, 0.0
            if kind[n] == INPUT:
                server += rows * load_ns[n]
                ready = complete = server
            half = 0.5 * (rows - 1) / rows
            for i in range(first, stop):
                own = own_ns[i] + receive_ns[i] + (send_ns[s] if stop - first == 1 else 0.0)
                at, until = _insert(idle, core[i], ready, rows * own)
                until = max(until, complete + own)
                last_start, last_end = max(last_start, at), max(last_end, until)
                # Inputs arrive and are done with row by row, results leave as they are complete.
                since, leave = (
                    int((ready + half * (complete - ready)) * per_ns),
                    int((until - half * (until - at)) * per_ns),
                )
                size = rows * new_bytes[i] + sum_bytes[i]
                memory[core[i], min(since, BUCKETS)] += size + (held_bytes[i] if y0 == 0 else 0.0)
                memory[core[i], min(leave + 1, BUCKETS)] -= size + (held_bytes[i] if y1 == height[n] else 0.0)
            if stop - first > 1:
                _, last_end = _insert(idle, heads[s], last_end, rows * (join_ns[s] + send_ns[s]))
            finish, began = max(finish, last_end - send_ns[s]), max(began, last_start)
        finish += store_ns[n]
        each = (finish - began) / most
        image_end = max(image_end, finish)
        latest = done[g + y0 - 1] if y0 > 0 else 0.0
        row_end, beat = began, 0
        for y in range(y0, y1):  # rows of a strip are complete evenly between its start and its end
            if beat == 0:
                row_end, beat = min(row_end + each, finish), period[n]
                latest = max(latest, row_end)
            beat -= 1
            done[g + y] = latest
    return image_end, server, _peak(memory, work.base_bytes)


@kernel
def _peak(memory: DoubleArray, base: LongArray) -> float:
    worst = 0.0
    for core in range(memory.shape[0]):
        held = np.float64(base[core])
        for b in range(memory.shape[1]):
            held += memory[core, b]
            worst = max(worst, held)
    return worst
