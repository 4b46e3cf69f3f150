"""What every core does for one output row of every node, in ns, bytes and pJ: the work of a plan before any order.

Numba counts references to every array of a tuple that it passes on, and at every access to a field: kernels bind the
arrays they use to names first, and what is called per site takes arrays.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pimcomp.estimate.layout import Assignment, Layout
from pimcomp.estimate.messages import ALL_COLUMNS, ALL_ROWS, ROUNDING, Needs, Traffic, message_cost, receive_inputs
from pimcomp.estimate.tables import (
    ADD_NS,
    ADD_PJ,
    FIRE_NS,
    FIRE_PJ,
    FIXED_NS,
    FIXED_PJ,
    INPUT,
    LAYER,
    ONE_OPERAND,
    PIXEL_NS,
    PIXEL_PJ,
    TWO_OPERAND,
    WINDOW_ROWS,
    Chip,
    Network,
)
from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import FLAT_JOIN, DoubleArray, LongArray

Cost: TypeAlias = tuple[float, float]  # ns, pJ


class CoreWork(NamedTuple):
    """Entries [start[s], start[s + 1]) are the cores of site s, its head first; none for a site without columns.

    Per entry and output row: own_ns of computing, receive_ns for its inputs, new_bytes of input rows that arrive and
    held_bytes of earlier ones that are still in use, sum_bytes of its results, rows_read (mask). Per site and row:
    join_ns of the head for the other cores' partial sums, send_ns for its results. base_bytes int64[cores]: constants
    and scratch. constants_ns float64[nodes]: at the memory server, once per program. dynamic_pj of an
    image. cores: in use.
    """

    start: LongArray
    core: LongArray
    own_ns: DoubleArray
    receive_ns: DoubleArray
    new_bytes: DoubleArray
    held_bytes: DoubleArray
    sum_bytes: DoubleArray
    rows_read: LongArray
    join_ns: DoubleArray
    send_ns: DoubleArray
    base_bytes: LongArray
    constants_ns: DoubleArray
    dynamic_pj: float
    cores: int


@kernel
def vector_cost(chip: Chip, elements: float, operands: int) -> Cost:
    """(ns, pJ) of a vector instruction."""
    beats = np.ceil(elements * chip.element_bytes * chip.beats_per_byte - ROUNDING)
    unit = np.ceil(elements * chip.vector_beats_per_element - ROUNDING)
    ns = beats * (operands * chip.local_read_ns + chip.local_write_ns) + unit * chip.vector_latency_ns
    pj = beats * (operands * chip.local_beat_pj[0] + chip.local_beat_pj[1]) + unit * chip.vector_beat_pj
    return ns + chip.instruction_ns, pj + chip.instruction_pj


@kernel
def fill_cost(chip: Chip, size_bytes: int) -> Cost:
    """(ns, pJ) of writing zeros."""
    beats = np.ceil(size_bytes * chip.beats_per_byte - ROUNDING)
    return beats * chip.local_write_ns + chip.instruction_ns, beats * chip.local_beat_pj[1] + chip.instruction_pj


class _Groups(NamedTuple):
    """Array groups: see `Network`."""

    price: DoubleArray
    covers: npt.NDArray[np.bool_]
    rows: LongArray
    reach: LongArray


class _Entries(NamedTuple):
    """Cores of sites: see `CoreWork`. spared: per entry the addition that the first array group saves because it writes
    the sum. of_core: the entry of every core in the site that is looked at (-1: none)."""

    core: LongArray
    rows_read: LongArray
    reach: LongArray
    own_ns: DoubleArray
    spared: DoubleArray
    of_core: LongArray


class _Wires(NamedTuple):
    """Of a message between two cores: see `Network`."""

    flit_ns: DoubleArray
    flit_pj: DoubleArray


@kernel
def work_of(net: Network, chip: Chip, plan: Assignment, layout: Layout) -> CoreWork:  # noqa: PLR0915  one pass over sites
    """The work of a plan."""
    kind, layer, channels, constant_ns, width = net.kind, net.layer, net.channels, net.constant_ns, net.width
    constant_bytes, scratch_bytes, node_price = net.constant_bytes, net.scratch_bytes, net.node_price
    option_start, group_start, block, scatter = net.option_start, net.group_start, net.block, net.scatter
    kernel, edge_start, reach_start = net.kernel, net.edge_start, net.reach_start
    first_column, last_column = net.first_column, net.last_column
    option, core_of, core_start = plan.option, plan.core_of, plan.core_start
    first_site, low, high, heads, row_set = layout.start, layout.low, layout.high, layout.head, layout.row_set
    replica, set_rows, take = layout.replica, layout.rows, layout.take
    sites = first_site[-1]
    most = sites + len(core_of)
    start, core, mask = np.zeros(sites + 1, np.int64), np.zeros(most, np.int64), np.zeros(most, np.int64)
    reach, blocks = np.full((most, net.reach.shape[1], 2), ALL_COLUMNS), np.ones(sites, np.int64)
    own, spared, receive, new_bytes, held_bytes, sum_bytes = np.zeros((6, most))
    join, send = np.zeros((2, sites))
    base, scratch = np.zeros((2, chip.cores), np.int64)
    entry_of = np.full(chip.cores, -1, np.int64)
    groups, entries = (
        _Groups(net.group_price, net.covers, net.rows, net.reach),
        _Entries(core, mask, reach, own, spared, entry_of),
    )
    wires, traffic = _Wires(net.flit_ns, net.flit_pj), Traffic(receive, new_bytes, held_bytes, send)
    server_ns, dynamic_pj, at = np.zeros(len(kind)), 0.0, 0
    last_node, last_pixels, last_cost = -1, -1, (0.0, 0.0)
    for n in range(len(kind)):
        for s in range(first_site[n], first_site[n + 1]):
            start[s] = at
            pixels = high[s] - low[s]
            if pixels <= 0:
                continue
            core[at], mask[at] = heads[s], ALL_ROWS
            stop = at + 1
            if kind[n] == INPUT:
                own[at], pj = fill_cost(chip, width[n] * channels[n] * chip.element_bytes)
            elif kind[n] == LAYER:
                k = layer[n]
                o = option_start[k] + option[k]
                begin, end = group_start[o], group_start[o + 1]
                blocks[s] = block[o]
                first = core_start[k] + replica[s] * (end - begin)
                mvms, adds, scatters, summed = -(-pixels // block[o]), (0.0, 0.0), scatter[o] > 0, pixels
                if scatters:
                    at_edge, reached = reach_start[edge_start[n]], take[s]
                    if reached[0] < 0:
                        ends = first_column[at_edge + low[s]], last_column[at_edge + high[s] - 1] + 1
                        reached = np.array([ends[0], ends[1], low[s], high[s]])
                    mvms, adds = _scattered(chip, reached, last_column[at_edge], scatter[o], kernel[o], channels[n])
                    summed = reached[3] - reached[2]
                zeros = fill_cost(chip, (summed if scatters else block[o]) * channels[n] * chip.element_bytes)
                cores = core_of[first : first + end - begin]
                stop, pj = _fire(groups, begin, cores, mvms, adds, zeros, scatters, entries, at)
                for e in range(at, stop):
                    scratch[core[e]] = max(scratch[core[e]], scratch_bytes[o])
                pieces = 1 if scatters else -(-pixels // block[o])
                join[s], more = _finish(
                    chip, node_price[n], (pixels, summed), channels[n], pieces, entries, at, stop, wires
                )
                pj += more
            else:
                at_edge = reach_start[edge_start[n]]
                columns = last_column[at_edge + pixels - 1] - first_column[at_edge] + 1
                if n != last_node or pixels != last_pixels:  # many segments are alike
                    last_node, last_pixels = n, pixels
                    first, end = edge_start[n], edge_start[n + 1]
                    last_cost = _vector_work(chip, node_price[n], pixels, columns, channels, (n, net.source[first:end]))
                own[at], pj = last_cost
            sum_bytes[at:stop] = max(pixels, take[s, 3] - take[s, 2]) * channels[n] * chip.element_bytes
            server_ns[n] += constant_ns[n]
            dynamic_pj += set_rows[n, row_set[s]] * pj
            base[heads[s]] += constant_bytes[n]
            at = stop
        start[first_site[n + 1]] = at
        own_sites = range(first_site[n], first_site[n + 1])
        dynamic_pj += set_rows[n, 0] * _exchange(chip, layout, own_sites, channels[n], start, join, own, wires)
    base += 2 * scratch
    needs = Needs(start, core, mask, reach, blocks)
    seen = np.full((chip.cores, net.height.max(), 3), -1, np.int64)
    for n in range(len(kind)):
        if kind[n] != INPUT:
            dynamic_pj += receive_inputs(net, chip, layout, n, needs, seen, traffic)
    for n in range(len(kind)):
        for s in range(first_site[n], first_site[n + 1]):
            send[s] /= max(set_rows[n, row_set[s]], 1)
    entry_of[core[:at]] = 0
    return CoreWork(
        start, core, own, receive, new_bytes, held_bytes, sum_bytes, mask, join, send, base, server_ns, dynamic_pj,
        len(entry_of) + entry_of.sum(),
    )  # fmt: skip


@kernel
def _vector_work(
    chip: Chip, price: DoubleArray, pixels: int, columns: int, channels: LongArray, node: tuple[int, LongArray]
) -> Cost:
    """(ns, pJ) of one row segment of a node without crossbars: `pixels` of its columns from `columns` input ones.

    channels: of all nodes. node: its number and its sources.
    """
    n, sources = node
    ns = price[FIXED_NS] + pixels * price[PIXEL_NS]
    pj = price[FIXED_PJ] + pixels * price[PIXEL_PJ]
    if price[ONE_OPERAND] > 0:
        cost = vector_cost(chip, pixels * channels[n], 1)
        ns, pj = ns + price[ONE_OPERAND] * cost[0], pj + price[ONE_OPERAND] * cost[1]
    if price[TWO_OPERAND] > 0:
        cost = vector_cost(chip, pixels * channels[n], 2)
        ns, pj = ns + price[TWO_OPERAND] * cost[0], pj + price[TWO_OPERAND] * cost[1]
    if price[WINDOW_ROWS] > 0:
        for source in sources:  # all of its channels, whatever the node reads of them
            cost = vector_cost(chip, columns * channels[source], 2)
            ns, pj = ns + price[WINDOW_ROWS] * cost[0], pj + price[WINDOW_ROWS] * cost[1]
    return ns, pj


@kernel
def _fire(
    groups: _Groups, begin: int, cores: LongArray, mvms: int, adds: Cost, zeros: Cost, scatters: bool,
    entries: _Entries, at: int,
) -> tuple[int, float]:  # fmt: skip
    """The array groups from `begin` on, on these cores, of one site and row: entries from `at` on, and their computing
    time; (stop, pJ).

    adds: (ns, pJ) of a scattering group's additions. zeros: of clearing a sum.
    """
    price, covers, rows, columns = groups
    core, mask, reach, own, spared, entry_of = entries
    stop, pj = at + 1, 0.0
    mask[at] = 0
    entry_of[core[at]] = at
    for g in range(begin, begin + len(cores)):
        c = cores[g - begin]
        e = entry_of[c]
        if e < 0:
            e = stop
            entry_of[c], core[e] = e, c
            stop += 1
        mask[e] |= rows[g]
        for dy in range(columns.shape[1]):
            if columns[g, dy, 1] >= 0:
                least = columns[g, dy, 0] if reach[e, dy, 1] < 0 else min(reach[e, dy, 0], columns[g, dy, 0])
                reach[e, dy, 0], reach[e, dy, 1] = least, max(reach[e, dy, 1], columns[g, dy, 1])
        own[e] += mvms * price[g, FIRE_NS] + adds[0]
        pj += mvms * price[g, FIRE_PJ] + adds[1]
        if scatters:
            continue
        if covers[g] and spared[e] == 0.0:
            spared[e] = price[g, ADD_NS]
        else:
            own[e] += mvms * price[g, ADD_NS]
            pj += mvms * price[g, ADD_PJ]
    for e in range(at, stop):
        entry_of[core[e]] = -1
        if scatters or spared[e] == 0.0:
            times = 1 if scatters else mvms
            own[e] += times * zeros[0]
            pj += times * zeros[1]
    return stop, pj


@kernel
def _scattered(
    chip: Chip, reached: LongArray, reach: int, step: int, kernel: LongArray, channels: int
) -> tuple[int, Cost]:
    """(MVMs, (ns, pJ) of the additions per array group) of one input row of a scattering segment.

    reached: the input columns and those that they contribute to. reach: the last column that output 0 reads.
    """
    mvms, ns, pj = 0, 0.0, 0.0
    for x in range(reached[0], reached[1], step):
        leftmost = x - reach  # output column of the first contribution
        wide = min(reached[3] - leftmost, step + kernel[1] - 1) - max(reached[2] - leftmost, 0)
        if wide > 0:
            cost = vector_cost(chip, wide * channels, 2)
            ns, pj = ns + kernel[0] * cost[0], pj + kernel[0] * cost[1]
        mvms += 1
    return mvms, (ns, pj)


@kernel
def _exchange(
    chip: Chip, layout: Layout, sites: range, channels: int, start: LongArray, join_ns: DoubleArray,
    own_ns: DoubleArray, wires: _Wires,
) -> float:  # fmt: skip
    """What scattering sites that share their input send each other for one row, and its addition, added to the time of
    their heads. Returns pJ."""
    take, low, high, heads = layout.take, layout.low, layout.high, layout.head
    total_pj = 0.0
    for s in sites:
        if take[s, 0] < 0:
            continue
        for q in sites:
            columns = min(high[s], take[q, 3]) - max(low[s], take[q, 2])
            if q == s or take[q, 0] < 0 or columns <= 0:
                continue
            a, b, elements = heads[q], heads[s], columns * channels
            sent, received, spent = 0.0, 0.0, 0.0
            if a != b:
                size = elements * chip.element_bytes
                sent, received, spent = message_cost(chip, wires.flit_ns[a, b], wires.flit_pj[a, b], size)
            add = vector_cost(chip, elements, 2)
            for site, ns in ((q, sent), (s, received + add[0])):
                if start[site + 1] - start[site] > 1:
                    join_ns[site] += ns
                else:
                    own_ns[start[site]] += ns
            total_pj += spent + add[1]
    return total_pj


@kernel
def _finish(
    chip: Chip, price: DoubleArray, pixels: tuple[int, int], channels: int, pieces: int, entries: _Entries, first: int,
    stop: int, wires: _Wires,
) -> Cost:  # fmt: skip
    """Partial sums on their way to the head, bias and activation. Returns (ns of the head, pJ).

    pixels: of the results, and of the sums. pieces: the segment is finished piece by piece if no other core adds to it.
    """
    core, own, flit_ns, flit_pj = entries.core, entries.own_ns, wires.flit_ns, wires.flit_pj
    ns, pj = pixels[0] * price[PIXEL_NS], pixels[0] * price[PIXEL_PJ]
    members, one = stop - first, price[ONE_OPERAND]
    if one > 0:
        times = pieces if members == 1 else 1
        cost = vector_cost(chip, pixels[0] * channels / times, 1)
        ns, pj = ns + times * one * cost[0], pj + times * one * cost[1]
    if members == 1:
        own[first] += ns
        return 0.0, pj
    elements = pixels[1] * channels
    add = vector_cost(chip, elements, 2)
    place = np.arange(first, stop)
    if members > FLAT_JOIN:
        place[1:] = first + 1 + np.argsort(core[first + 1 : stop])
    for i in range(1, members):
        parent = 0 if members <= FLAT_JOIN else (i - 1) // 2
        a, b = core[place[i]], core[place[parent]]
        sent, received, spent = message_cost(chip, flit_ns[a, b], flit_pj[a, b], elements * chip.element_bytes)
        own[place[i]] += sent
        pj += spent + add[1]
        if parent == 0:
            ns += received + add[0]
        else:
            own[place[parent]] += received + add[0]
    return ns, pj
