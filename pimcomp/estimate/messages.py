"""What cores receive for one output row of every node: time at both ends of messages, and bytes.

Numba counts references to every array of a tuple that it passes on, and at every access to a field: kernels bind the
arrays they use to names first.
"""

from typing import NamedTuple

import numpy as np

from pimcomp.estimate.layout import Layout
from pimcomp.estimate.tables import MASK_BITS, Chip, Network
from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import DoubleArray, LongArray
from pimcomp.timeline.work import message_ends

ALL_ROWS = -1  # mask of a core that reads every row of the windows
ALL_COLUMNS = -1  # last column of a core that reads them all
MOST_VISITS = 14  # rows of a row set that are looked at, near the middle of the map
NO_MESSAGE = (0.0, 0.0, 0.0)
ROUNDING = 1e-9  # of a product with a reciprocal, which is faster than a division


class Needs(NamedTuple):
    """Cores of sites, see `work.CoreWork`; what of a block of windows each reads: rows (mask), and of every row the
    first and the last column, int64[entries, rows, 2]. block: of every site."""

    start: LongArray
    core: LongArray
    rows: LongArray
    reach: LongArray
    block: LongArray


class Traffic(NamedTuple):
    """What messages add to: see `work.CoreWork`."""

    receive_ns: DoubleArray
    new_bytes: DoubleArray
    held_bytes: DoubleArray
    send_ns: DoubleArray


@kernel
def message_cost(chip: Chip, hop_ns: float, flit_pj: float, size_bytes: int) -> tuple[float, float, float]:
    """(ns of the sender, ns of the receiver, pJ) of one message."""
    beats = np.ceil(size_bytes * chip.beats_per_byte - ROUNDING)
    flits = np.ceil(size_bytes * chip.flits_per_byte - ROUNDING)
    send, receive = message_ends(hop_ns, beats * chip.local_read_ns, beats * chip.local_write_ns, flits)
    pj = (2 + flits) * flit_pj + beats * (chip.local_beat_pj[0] + chip.local_beat_pj[1]) + 2 * chip.instruction_pj
    return send + chip.instruction_ns, receive + chip.instruction_ns, pj


@kernel
def receive_inputs(  # noqa: PLR0912, PLR0915  one pass over sites
    net: Network, chip: Chip, layout: Layout, n: int, needs: Needs, seen: LongArray, traffic: Traffic
) -> float:
    """What node n receives from its sources: time at both ends and bytes (added to the arrays). Returns pJ.

    A core receives columns of a row once, whichever of its sites read them. seen int64[cores, rows, 3]: of the row that
    a core received last the edge, and the columns [low, high).
    """
    start, core, mask, reach, blocks = needs
    receive, new_bytes, held_bytes, send = traffic
    source, extents, base_start, base_row = net.source, net.extent, net.base_start, net.base_row
    reach_start, base_column = net.reach_start, net.base_column
    first_column, last_column = net.first_column, net.last_column
    height, width, channels = net.height, net.width, net.channels
    row_start, flit_ns, flit_pj = net.row_start, net.flit_ns, net.flit_pj
    first_site, low, high, heads = layout.start, layout.low, layout.high, layout.head
    set_start, set_of, take = layout.set_start, layout.set_of, layout.take
    row_set, set_rows, middle, period = layout.row_set, layout.rows, layout.middle, layout.period[n]
    total_pj = 0.0
    for e in range(net.edge_start[n], net.edge_start[n + 1]):
        p, extent, own_base, own_reach = source[e], extents[e], base_start[e], reach_start[e]
        bit = min(e - net.edge_start[n], max(MASK_BITS // extent, 1) - 1) * extent
        pixel_bytes = channels[p] * chip.element_bytes
        for s in range(first_site[n], first_site[n + 1]):
            centre = middle[n, row_set[s]]
            if start[s] == start[s + 1] or centre < 0:
                continue
            rows = set_rows[n, row_set[s]]
            visits = min(rows, MOST_VISITS)
            share = 1.0 / visits
            above = min(visits // 2, centre // period)
            top = centre - max(above, visits - 1 - (height[n] - 1 - centre) // period) * period
            for i in range(start[s], start[s + 1]):
                read = (1 << extent) - 1
                if mask[i] != ALL_ROWS:
                    read &= mask[i] >> bit
                block = blocks[s]
                begin, last = max(min(low[s], high[s] - block), 0), max(high[s] - block, 0)
                for v in range(visits):
                    y = max(top + v * period, 0)
                    b, step = own_base + y, extent
                    if rows > 1:
                        step = (
                            base_row[b + period] - base_row[b]
                            if y + period < height[n]
                            else base_row[b] - base_row[b - period]
                        )
                    new = read & ~(read >> step) if step < extent else read
                    for dy in range(extent):
                        row = base_row[b] + dy
                        if not (read >> dy) & 1 or row < 0 or row >= height[p]:
                            continue
                        fresh = (new >> dy) & 1
                        if not fresh and (visits < rows or v > 0):
                            continue
                        pieces, whole = 1, mask[i] == ALL_ROWS or reach[i, dy, 1] == ALL_COLUMNS
                        if not whole and last > begin:
                            apart = base_column[own_reach + begin + block] - base_column[own_reach + begin]
                            if reach[i, dy, 1] - reach[i, dy, 0] + 1 < apart:
                                pieces = -(-(high[s] - low[s]) // block)
                        for piece in range(pieces):
                            if take[s, 0] >= 0:
                                a, z = take[s, 0], min(take[s, 1], width[p])
                            elif whole:
                                a, z = first_column[own_reach + low[s]], last_column[own_reach + high[s] - 1] + 1
                            else:
                                x = min(begin + piece * block, last)
                                a = max(base_column[own_reach + x] + reach[i, dy, 0], 0)
                                x = x if pieces > 1 else last
                                z = min(base_column[own_reach + x] + reach[i, dy, 1] + 1, width[p])
                            if a >= z:
                                continue
                            own = seen[core[i], row]
                            c, d = a, a
                            if own[0] == e and own[1] <= z and a <= own[2]:
                                c, d = own[1], own[2]
                            if c <= a and z <= d:
                                continue
                            a, z = min(a, c), max(z, d)
                            own[0], own[1], own[2] = e, a, z
                            if fresh:
                                new_bytes[i] += share * (z - a - (d - c)) * pixel_bytes
                            else:
                                held_bytes[i] += (z - a - (d - c)) * pixel_bytes
                            chosen = set_of[row_start[p] + row]
                            first, end = set_start[p, chosen], set_start[p, chosen + 1]
                            q = first + max(a * (end - first) // width[p] - 1, 0)
                            while q > first and high[q - 1] > a:
                                q -= 1
                            q -= 1
                            while q + 1 < end and low[q + 1] < z:
                                q += 1
                                columns = min(z, high[q]) - max(a, low[q])
                                before = max(min(d, high[q]) - max(c, low[q]), 0)
                                if columns <= before or heads[q] == core[i]:
                                    continue
                                hop, flit = flit_ns[heads[q], core[i]], flit_pj[heads[q], core[i]]
                                cost = message_cost(chip, hop, flit, columns * pixel_bytes)
                                less = message_cost(chip, hop, flit, before * pixel_bytes) if before > 0 else NO_MESSAGE
                                send[q] += rows * share * (cost[0] - less[0])
                                receive[i] += share * (cost[1] - less[1])
                                total_pj += rows * share * (cost[2] - less[2])
    return total_pj
