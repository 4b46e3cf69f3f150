"""Who computes what under a plan, for a coarse look: the rules of schedule/sites.py on plain arrays."""

from typing import NamedTuple

import numpy as np

from pimcomp.estimate.columns import NO_INPUT, Columns, Members, cut, scattered_input, share_input
from pimcomp.estimate.tables import INPUT, LAYER, VECTOR, Network
from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import DoubleArray, LongArray


class Layout(NamedTuple):
    """Sites of all nodes: those of node n are [start[n], start[n + 1]), by row set and then by columns.

    sets int64[nodes]; set_start int64[nodes, sets + 1]: where each row set's sites begin. Per site: columns [low,
    high), head core, first replica with its cores (layers only), row_set. rows int64[nodes, sets] and middle: how many
    needed rows a row set has, and one of them near the middle of the map (-1: none). period int64[nodes]: rows from one
    row of a row set to its next. set_of int64[rows of all nodes]: row set of a row; needed_set: -1 if nobody needs the
    row. take int64[sites, 4]: of scattering sites that share their input, the input columns [first, stop) of each and
    the columns [first, stop) that they contribute to; -1 for others.
    """

    start: LongArray
    sets: LongArray
    set_start: LongArray
    low: LongArray
    high: LongArray
    head: LongArray
    replica: LongArray
    row_set: LongArray
    rows: LongArray
    middle: LongArray
    period: LongArray
    set_of: LongArray
    needed_set: LongArray
    take: LongArray


class Assignment(NamedTuple):
    """One plan: option and replication int64[layers]; cores of all array groups by layer, replica and group, and where
    each layer's begin (int64[layers + 1])."""

    option: LongArray
    replication: LongArray
    core_of: LongArray
    core_start: LongArray


class _Idle(NamedTuple):
    """Time of every core's work, and a heap of all cores by their load when they were put there."""

    load: DoubleArray
    queue: LongArray
    queued_ns: DoubleArray


@kernel
def place(net: Network, cores: int, plan: Assignment, loaders: int, window_columns: int) -> Layout:
    """The Layout of one plan.

    window_columns: columns of a shared node that one core should compute at most, 0: nodes are not shared.
    """
    kind, layer, base, width = net.kind, net.layer, net.base, net.width
    option_start, group_start, block = net.option_start, net.group_start, net.block
    column_start, columns_before, share_ns = net.column_start, net.columns_before, net.share_ns
    nodes = len(kind)
    load = _core_loads(net, cores, plan)
    load_cores = _loaders(load, plan.core_of, cores, loaders)
    first, weight = np.zeros((2, plan.replication.sum()), np.int64)
    members = Members(first, weight, np.zeros(len(plan.replication), np.int64))
    sets, room = _sets_and_room(net, plan, members, len(load_cores), window_columns)
    queue = np.argsort(load, kind="mergesort")  # sorted: a heap
    idle = _Idle(load, queue, load[queue])
    start, set_start = np.zeros(nodes + 1, np.int64), np.zeros((nodes, sets.max() + 1), np.int64)
    low, high, head, replica, row_set = np.zeros((5, room.sum()), np.int64)
    columns, take = Columns(low, high, head, replica), np.full((room.sum(), 4), -1)
    set_of = _set_of_rows(net, sets)
    at, replicas = 0, 0
    for n in range(nodes):
        start[n] = at
        k, before = layer[n], column_start[n]
        o = option_start[k] + plan.option[k] if kind[n] == LAYER else 0
        for chosen in range(sets[n]):
            set_start[n, chosen] = at
            if kind[n] == INPUT:
                high[at], head[at] = width[n], load_cores[chosen]
                at += 1
            elif kind[n] == LAYER:
                turn = (chosen, min(members.sites[k], sets[n] * -(-width[n] // block[o])), sets[n])
                source = scattered_input(net, n, o, members.sites[k]) if net.scatter[o] > 0 else NO_INPUT
                shared = share_input(columns, take, at, members, replicas, source) if source[0] > 0 else -1
                at = shared if shared > 0 else cut(columns, at, members, replicas, turn, width[n], block[o])
                for s in range(set_start[n, chosen], at):
                    head[s] = plan.core_of[plan.core_start[k] + replica[s] * (group_start[o + 1] - group_start[o])]
            else:
                for z in range(set_start[base[n], chosen], set_start[base[n], chosen + 1]):
                    a, e = columns_before[before + low[z]], columns_before[before + high[z]]
                    if share_ns[n] == 0.0 or window_columns == 0:
                        low[at], high[at], head[at] = a, e, head[z]
                        at += 1
                    else:  # who gets what is decided row by row
                        at += -(-(e - a) // window_columns)
            row_set[set_start[n, chosen] : at] = chosen
        set_start[n, sets[n] :] = at
        if kind[n] == VECTOR and share_ns[n] > 0.0 and window_columns > 0:
            own = set_of[net.row_start[n] : net.row_start[n + 1]]
            leaders = (set_start[base[n]], columns_before[before:])
            _share_rows(columns, idle, own, leaders, set_start[n], window_columns, share_ns[n])
        if kind[n] == LAYER:
            replicas += plan.replication[k]
    start[nodes] = at
    rows, middle, period, needed_set = _rows_of_sets(net, sets, set_of)
    return Layout(
        start, sets, set_start, low, high, head, replica, row_set, rows, middle, period, set_of, needed_set, take
    )  # fmt: skip


@kernel
def _core_loads(net: Network, cores: int, plan: Assignment) -> DoubleArray:
    """float64[cores]: time of every core's MVMs."""
    option_start, group_start, firings, mvm_ns = net.option_start, net.group_start, net.firings, net.mvm_ns
    option, replication, core_of, core_start = plan.option, plan.replication, plan.core_of, plan.core_start
    load = np.zeros(cores)
    for k in range(len(replication)):
        o = option_start[k] + option[k]
        first, groups = group_start[o], group_start[o + 1] - group_start[o]
        for i in range(core_start[k + 1] - core_start[k]):
            load[core_of[core_start[k] + i]] += mvm_ns[first + i % groups] * firings[o] / replication[k]
    return load


@kernel
def _loaders(load: DoubleArray, core_of: LongArray, cores: int, loaders: int) -> LongArray:
    """The cores in use with the least crossbar work, in order."""
    held = np.zeros(cores, np.bool_)
    for core in core_of:
        held[core] = True
    if not held.any():
        held[0] = True
    used = np.flatnonzero(held)
    return np.sort(used[np.argsort(load[used], kind="mergesort")][:loaders])


@kernel
def _sets_and_room(
    net: Network, plan: Assignment, members: Members, loaders: int, window_columns: int
) -> tuple[LongArray, LongArray]:
    """Row sets of every node, and an upper limit of its sites; fills in the members of all layers."""
    kind, layer, base, width, height = net.kind, net.layer, net.base, net.width, net.height
    option_start, block, scatter, share_ns = net.option_start, net.block, net.scatter, net.share_ns
    nodes, at = len(kind), 0
    sets, room = np.ones(nodes, np.int64), np.zeros(nodes, np.int64)
    key, table = np.zeros(len(members.first), np.int64), np.zeros(4 * len(members.first) + 4, np.int64)
    for n in range(nodes):
        if kind[n] == INPUT:
            sets[n] = room[n] = loaders
        elif kind[n] == LAYER:
            k = layer[n]
            o, replication = option_start[k] + plan.option[k], plan.replication[k]
            cores = plan.core_of[plan.core_start[k] : plan.core_start[k + 1]]
            count = _sites(cores, replication, members.first[at:], members.weight[at:], key, table)
            members.sites[k] = room[n] = count
            sets[n] = 1 if scatter[o] > 0 else _row_sets(height[n], -(-width[n] // block[o]), count)
            at += replication
        else:
            sets[n], room[n] = sets[base[n]], room[base[n]]
            if share_ns[n] > 0.0 and window_columns > 0:
                room[n] += sets[n] * -(-width[n] // window_columns)
    return sets, room


@kernel
def _set_of_rows(net: Network, sets: LongArray) -> LongArray:
    kind, base, height, row_start, followed_row = net.kind, net.base, net.height, net.row_start, net.followed_row
    set_of = np.zeros(row_start[-1], np.int64)
    for n in range(len(kind)):
        for y in range(height[n]):
            g = row_start[n] + y
            set_of[g] = set_of[row_start[base[n]] + followed_row[g]] if kind[n] == VECTOR else y % sets[n]
    return set_of


@kernel
def _share_rows(
    sites: Columns, idle: _Idle, set_of: LongArray, leaders: tuple[LongArray, LongArray], starts: LongArray,
    columns: int, pixel_ns: float,
) -> None:  # fmt: skip
    """Share out a node's sites, a row set when its first row comes.

    set_of: of the node's rows. leaders: where the row sets of the node it follows begin, and how many of the node's
    columns follow columns in front of each. starts: where the node's own row sets begin.
    """
    set_start, before = leaders
    low, high, head = sites.low, sites.high, sites.head
    rows = np.zeros(len(starts), np.int64)
    for chosen in set_of:
        rows[chosen] += 1
    for y in range(len(set_of)):
        chosen = set_of[y]
        at = starts[chosen]
        if at == starts[chosen + 1] or high[at] > 0:
            continue
        for z in range(set_start[chosen], set_start[chosen + 1]):
            span = before[low[z]], before[high[z]]
            if span[0] == span[1]:
                continue
            times = 0  # rows that this core has from this column on
            for other in range(len(set_start) - 1):
                for x in range(set_start[other], set_start[other + 1]):
                    times += rows[other] * (head[x] == head[z] and before[low[x]] == span[0] < before[high[x]])
            at = _share(sites, at, idle, span, columns, head[z], times * pixel_ns, (starts[0], starts[-1]))


@kernel
def _share(
    sites: Columns, at: int, idle: _Idle, span: tuple[int, int], columns: int, owner: int, work_ns: float,
    earlier: tuple[int, int],
) -> int:  # fmt: skip
    """Cut a span of columns evenly; all but the first piece go to the least loaded cores. Returns the next free site.

    work_ns: of a column. earlier: sites [first, stop), of which those that have columns are on the same cores where
    their pieces are equal.
    """
    low, high, head, given = sites
    load, queue, queued_ns = idle
    begin, end = span
    count = -(-(end - begin) // columns)
    for i in range(count):
        a, b = begin + (end - begin) * i // count, begin + (end - begin) * (i + 1) // count
        core, known = -1, False
        for s in range(earlier[0], earlier[1]):
            if low[s] == a and high[s] == b and given[s] == owner:
                core, known = head[s], True
        if core < 0 and i == 0:
            core = owner
        while core < 0:
            if queued_ns[0] < load[queue[0]]:
                queued_ns[0] = load[queue[0]]
                _sink(queue, queued_ns)
            else:
                core = queue[0]
        load[core] += 0.0 if known else (b - a) * work_ns
        low[at], high[at], head[at], given[at] = a, b, core, owner
        at += 1
    return at


@kernel
def _sink(queue: LongArray, queued_ns: DoubleArray) -> None:
    """Move the top of a heap down to its place; ties go by core."""
    i, core, ns = 0, queue[0], queued_ns[0]
    while 2 * i + 1 < len(queue):
        c = 2 * i + 1
        if c + 1 < len(queue) and (queued_ns[c + 1], queue[c + 1]) < (queued_ns[c], queue[c]):
            c += 1
        if (ns, core) <= (queued_ns[c], queue[c]):
            break
        queue[i], queued_ns[i] = queue[c], queued_ns[c]
        i = c
    queue[i], queued_ns[i] = core, ns


@kernel
def _sites(
    cores: LongArray, replication: int, first: LongArray, weight: LongArray, key: LongArray, table: LongArray
) -> int:
    """Group replicas by equal cores: first[s] is the first of site s, weight[s] how many it has; the count.

    key: a hash of each site's cores; table: scratch, where a site with a hash is found.
    """
    size, groups = 1, len(cores) // replication
    while size < 2 * replication:
        size *= 2
    table[:size] = -1
    count = 0
    for j in range(replication):
        own = np.int64(1469598103934665603)
        for g in range(groups):
            own = (own ^ cores[j * groups + g]) * np.int64(1099511628211)
        slot = (own ^ (own >> 29)) & (size - 1)
        while table[slot] >= 0 and key[table[slot]] != own:
            slot = (slot + 1) & (size - 1)
        s = table[slot]
        if s < 0:
            s = count
            table[slot], key[s], weight[s], first[s] = s, own, 0, j
            count += 1
        weight[s] += 1
    return count


@kernel
def _row_sets(height: int, blocks: int, count: int) -> int:
    """schedule/sites.py, `_row_sets`, for segments of one window block."""
    best, best_load, best_length = 1, np.inf, 0
    for sets in range(1, min(height, count) + 1):
        length = -(-blocks // min(count // sets, blocks))
        load = -(-height // sets) * length * (1.0 + 0.05 * (sets - 1))
        if load < best_load or (load == best_load and length < best_length):
            best, best_load, best_length = sets, load, length
    return best


@kernel
def _rows_of_sets(
    net: Network, sets: LongArray, set_of: LongArray
) -> tuple[LongArray, LongArray, LongArray, LongArray]:
    height, row_start, before = net.height, net.row_start, net.needed_before
    nodes = len(height)
    rows, middle = np.zeros((nodes, sets.max()), np.int64), np.full((nodes, sets.max()), -1, np.int64)
    period, needed_set = np.zeros(nodes, np.int64), np.full(len(set_of), -1, np.int64)
    for n in range(nodes):
        centre = height[n] // 2
        own = set_of[row_start[n] + centre]
        for y in range(height[n]):
            g = row_start[n] + y
            s = set_of[g]
            if y > centre and s == own and period[n] == 0:
                period[n] = y - centre
            if before[g + 1] == before[g]:
                continue
            rows[n, s] += 1
            needed_set[g] = s
            if middle[n, s] < 0 or abs(y - centre) < abs(middle[n, s] - centre):
                middle[n, s] = y
        if period[n] == 0:
            period[n] = min(sets[n], height[n])
    return rows, middle, period, needed_set
