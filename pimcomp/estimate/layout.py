"""Who computes what under a plan, for a coarse look: the rules of schedule/sites.py on plain arrays."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pimcomp.estimate.tables import INPUT, LAYER

LongArray = npt.NDArray[np.int64]


class Layout(NamedTuple):
    """Sites of all nodes: those of node n are [start[n], start[n + 1]).

    Site number s of a node belongs to row set s % sets[n]; within a set sites are in the order of their columns. Per
    site: columns [low, high), head core, first replica with its cores (layers only), row_set. rows int64[nodes, sets]
    and middle: how many needed rows a row set has, and one of them near the middle of the map (-1: none).
    period int64[nodes]: rows from one row of a row set to its next. set_of int64[rows of all nodes]: -1 if not needed.
    """

    start: LongArray
    sets: LongArray
    low: LongArray
    high: LongArray
    head: LongArray
    replica: LongArray
    row_set: LongArray
    rows: LongArray
    middle: LongArray
    period: LongArray
    set_of: LongArray


@njit(cache=True)
def place(net, chip, option, replication, core_of, core_start, loaders):
    """The Layout of one plan; core_of: cores of all array groups by layer, replica, group."""
    kind, layer, root, width, height = net.kind, net.layer, net.root, net.width, net.height
    option_start, group_start, block, scatter = net.option_start, net.group_start, net.block, net.scatter
    column_start, root_column = net.column_start, net.root_column
    nodes = len(kind)
    load_cores = _loaders(net, chip.cores, replication, core_of, core_start, loaders)
    room = np.zeros(nodes, np.int64)
    for n in range(nodes):
        r = root[n]
        room[n] = replication[layer[r]] if kind[r] == LAYER else len(load_cores)
    start, count, sets = np.zeros(nodes + 1, np.int64), np.zeros(nodes, np.int64), np.ones(nodes, np.int64)
    low, high, head, replica, row_set = np.zeros((5, room.sum()), np.int64)
    key, weight = np.zeros(room.max(), np.int64), np.zeros(room.max(), np.int64)
    at = 0
    for n in range(nodes):
        start[n] = at
        r = root[n]
        if kind[n] == INPUT:
            sets[n] = count[n] = len(load_cores)
            for s in range(count[n]):
                head[at + s], row_set[at + s], high[at + s] = load_cores[s], s, width[n]
        elif kind[n] == LAYER:
            k = layer[n]
            o = option_start[k] + option[k]
            groups = group_start[o + 1] - group_start[o]
            sites = _sites(core_of, core_start[k], replication[k], groups, at, replica, weight, key)
            blocks = -(-width[n] // block[o])
            sets[n] = 1 if scatter[o] > 0 else _row_sets(height[n], blocks, sites)
            count[n] = min(sites, sets[n] * blocks)
            _cut(width[n], block[o], count[n], sets[n], weight, at, low, high, row_set)
            for s in range(at, at + count[n]):
                head[s] = core_of[core_start[k] + replica[s] * groups]
        else:
            count[n], sets[n] = count[r], sets[r]
            columns = root_column[column_start[n] : column_start[n + 1]]
            for s in range(count[n]):
                b = start[r] + s
                head[at + s], row_set[at + s] = head[b], row_set[b]
                low[at + s] = 0 if low[b] == 0 else np.searchsorted(columns, low[b])
                high[at + s] = width[n] if high[b] == width[r] else np.searchsorted(columns, high[b])
        at += count[n]
    start[nodes] = at
    rows, middle, period, set_of = _rows_of_sets(net, sets)
    return Layout(start, sets, low, high, head, replica, row_set, rows, middle, period, set_of)


@njit(cache=True)
def _loaders(net, cores, replication, core_of, core_start, loaders):
    """The cores in use with the least crossbar work, in order."""
    layer, height, width = net.layer, net.height, net.width
    work, held = np.zeros(cores), np.zeros(cores, np.bool_)
    for n in range(len(layer)):
        k = layer[n]
        if k >= 0:
            share = height[n] * width[n] / replication[k]
            for i in range(core_start[k], core_start[k + 1]):
                work[core_of[i]] += share
                held[core_of[i]] = True
    if not held.any():
        held[0] = True
    used = np.flatnonzero(held)
    return np.sort(used[np.argsort(work[used], kind="mergesort")][:loaders])


@njit(cache=True)
def _sites(core_of, begin, replication, groups, at, replica, weight, key):
    """Group replicas by equal cores: replica[at + s] is the first of site s, weight[s] how many it has; the count.

    key: scratch, a hash of each site's cores.
    """
    count = 0
    for j in range(replication):
        own = np.int64(1469598103934665603)
        for g in range(groups):
            own = (own ^ core_of[begin + j * groups + g]) * np.int64(1099511628211)
        s = count - 1
        while s >= 0 and key[s] != own:
            s -= 1
        if s < 0:
            s = count
            key[s], weight[s], replica[at + s] = own, 0, j
            count += 1
        weight[s] += 1
    return count


@njit(cache=True)
def _row_sets(height, blocks, count):
    """schedule/sites.py, `_row_sets`, for segments of one window block."""
    best, best_load, best_length = 1, np.inf, 0
    for sets in range(1, min(height, count) + 1):
        length = -(-blocks // min(count // sets, blocks))
        load = -(-height // sets) * length * (1.0 + 0.05 * (sets - 1))
        if load < best_load or (load == best_load and length < best_length):
            best, best_load, best_length = sets, load, length
    return best


@njit(cache=True)
def _cut(width, block, count, sets, weight, at, low, high, row_set):
    """Columns of every site: each set's row is cut in proportion to the sites' replicas, on whole blocks."""
    blocks = -(-width // block)
    for chosen in range(sets):
        total = 0
        for s in range(chosen, count, sets):
            total += weight[s]
        reached, column = 0, 0
        for s in range(chosen, count, sets):
            reached += weight[s]
            row_set[at + s], low[at + s] = chosen, column
            column = min(int(np.floor(reached / total * blocks + 0.5)) * block, width)
            high[at + s] = column


@njit(cache=True)
def _rows_of_sets(net, sets):
    height, row_start, root_row, before = net.height, net.row_start, net.root_row, net.needed_before
    nodes = len(height)
    rows, middle = np.zeros((nodes, sets.max()), np.int64), np.full((nodes, sets.max()), -1, np.int64)
    period, set_of = np.zeros(nodes, np.int64), np.full(len(root_row), -1, np.int64)
    for n in range(nodes):
        centre = height[n] // 2
        own = root_row[row_start[n] + centre] % sets[n]
        for y in range(height[n]):
            g = row_start[n] + y
            s = root_row[g] % sets[n]
            if y > centre and s == own and period[n] == 0:
                period[n] = y - centre
            if before[g + 1] == before[g]:
                continue
            rows[n, s] += 1
            set_of[g] = s
            if middle[n, s] < 0 or abs(y - centre) < abs(middle[n, s] - centre):
                middle[n, s] = y
        if period[n] == 0:
            period[n] = min(sets[n], height[n])
    return rows, middle, period, set_of
