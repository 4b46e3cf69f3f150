"""Who computes what under a plan, for a coarse look: the rules of schedule/sites.py on plain arrays."""

from typing import NamedTuple, TypeAlias

import numpy as np

from pimcomp.estimate.columns import NO_INPUT, Columns, Members, cut, scattered_input, share_input
from pimcomp.estimate.tables import APART, INPUT, LAYER, MEMBERS, STAGE, VECTOR, Network
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


class Shares(NamedTuple):
    """How nodes are shared out: columns of a pooling node that one core should compute at most, and cores that gather
    what all need."""

    window_columns: int
    gatherers: int


class _Idle(NamedTuple):
    """Time of every core's work by phase, float64[phases, cores], and pieces that each core has by stage."""

    load: DoubleArray
    taken: LongArray


@kernel
def place(net: Network, cores: int, plan: Assignment, loaders: int, shares: Shares) -> Layout:
    """The Layout of one plan."""
    kind, layer, base, width, height = net.kind, net.layer, net.base, net.width, net.height
    option_start, group_start, block, phase, stage = net.option_start, net.group_start, net.block, net.phase, net.stage
    column_start, columns_before, share_ns = net.column_start, net.columns_before, net.share_ns
    nodes = len(kind)
    load = _core_loads(net, cores, plan)
    total = load.sum(axis=0)
    used = _used(plan.core_of, cores)
    load_cores = np.sort(used[np.argsort(total[used], kind="mergesort")][:loaders])
    first, weight = np.zeros((2, plan.replication.sum()), np.int64)
    members = Members(first, weight, np.zeros(len(plan.replication), np.int64))
    pieces = _pieces(net, len(used), shares.gatherers)
    sets, room = _sets_and_room(net, plan, members, (len(load_cores), shares.window_columns), pieces)
    idle = _Idle(load, np.zeros((nodes, cores), np.int64))
    start, set_start = np.zeros(nodes + 1, np.int64), np.zeros((nodes, sets.max() + 1), np.int64)
    low, high, head, replica, row_set = np.zeros((5, room.sum()), np.int64)
    columns, take = Columns(low, high, head, replica), np.full((room.sum(), 4), -1)
    set_of = _set_of_rows(net, sets)
    at, replicas = 0, 0
    for n in range(nodes):
        start[n], k, before = at, layer[n], column_start[n]
        o = option_start[k] + plan.option[k] if kind[n] == LAYER else 0
        if kind[n] == VECTOR and share_ns[n] > 0.0:
            most = shares.window_columns if pieces[n] == 0 else -(-height[n] * width[n] // pieces[n])
            work = (phase[n], stage[n, STAGE], most, share_ns[n])
            leaders = (set_start[base[n], : sets[base[n]] + 1], columns_before[before:])
            own = set_of[net.row_start[n] : net.row_start[n + 1]]
            set_start[n, 0] = at
            if pieces[n] > 0 and stage[n, APART] > 0:
                at = _share_apart(columns, idle, at, (height[n], width[n]), work)
            else:
                at = _share_rows(columns, idle, own, leaders, set_start[n], work)
        for chosen in range(sets[n] if kind[n] != VECTOR or share_ns[n] == 0.0 else 0):
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
                    low[at], high[at], head[at], at = a, e, head[z], at + 1
        set_start[n, sets[n] :] = at
        for chosen in range(sets[n]):
            row_set[set_start[n, chosen] : set_start[n, chosen + 1]] = chosen
        if kind[n] == LAYER:
            replicas += plan.replication[k]
    start[nodes] = at
    rows, middle, period, needed_set = _rows_of_sets(net, sets, set_of)
    return Layout(
        start, sets, set_start, low, high, head, replica, row_set, rows, middle, period, set_of, needed_set, take
    )  # fmt: skip


@kernel
def _pieces(net: Network, used: int, gatherers: int) -> LongArray:
    """Of every node that is shared out in a stage, see `Stage.pieces`; 0 of others."""
    stage = net.stage
    pieces = np.zeros(len(stage), np.int64)
    for n in range(len(stage)):
        if stage[n, STAGE] >= 0:
            pieces[n] = max(1, used // stage[n, MEMBERS]) if stage[n, MEMBERS] > 0 else gatherers
    return pieces


@kernel
def _core_loads(net: Network, cores: int, plan: Assignment) -> DoubleArray:
    """float64[phases, cores]: time of every core's MVMs."""
    option_start, group_start, firings, mvm_ns = net.option_start, net.group_start, net.firings, net.mvm_ns
    option, replication, core_of, core_start = plan.option, plan.replication, plan.core_of, plan.core_start
    layer, phase = net.layer, net.phase
    load = np.zeros((phase.max() + 1, cores))
    for n in range(len(layer)):
        k = layer[n]
        if k < 0:
            continue
        o = option_start[k] + option[k]
        first, groups = group_start[o], group_start[o + 1] - group_start[o]
        for i in range(core_start[k + 1] - core_start[k]):
            load[phase[n], core_of[core_start[k] + i]] += mvm_ns[first + i % groups] * firings[o] / replication[k]
    return load


@kernel
def _used(core_of: LongArray, cores: int) -> LongArray:
    """The cores that hold something, in order."""
    held = np.zeros(cores, np.bool_)
    for core in core_of:
        held[core] = True
    if not held.any():
        held[0] = True
    return np.flatnonzero(held)


@kernel
def _sets_and_room(
    net: Network, plan: Assignment, members: Members, rules: tuple[int, int], pieces: LongArray
) -> tuple[LongArray, LongArray]:
    """Row sets of every node, and an upper limit of its sites; fills in the members of all layers. rules: loaders, and
    columns of a pooling node that one core should compute at most. pieces: of nodes that are shared out in a stage."""
    kind, layer, base, width, height = net.kind, net.layer, net.base, net.width, net.height
    option_start, block, scatter, share_ns = net.option_start, net.block, net.scatter, net.share_ns
    nodes, at = len(kind), 0
    sets, room = np.ones(nodes, np.int64), np.zeros(nodes, np.int64)
    key, table = np.zeros(len(members.first), np.int64), np.zeros(4 * len(members.first) + 4, np.int64)
    for n in range(nodes):
        if kind[n] == INPUT:
            sets[n] = room[n] = rules[0]
        elif kind[n] == LAYER:
            k = layer[n]
            o, replication = option_start[k] + plan.option[k], plan.replication[k]
            cores = plan.core_of[plan.core_start[k] : plan.core_start[k + 1]]
            count = _sites(cores, replication, members.first[at:], members.weight[at:], key, table)
            members.sites[k] = room[n] = count
            sets[n] = 1 if scatter[o] > 0 else _row_sets(height[n], -(-width[n] // block[o]), count)
            at += replication
        elif pieces[n] > 0 and net.stage[n, APART] > 0:
            room[n] = -(-width[n] // -(-height[n] * width[n] // pieces[n]))
        else:
            sets[n], room[n] = sets[base[n]], room[base[n]]
            if share_ns[n] > 0.0:
                most = rules[1] if pieces[n] == 0 else -(-height[n] * width[n] // pieces[n])
                room[n] += sets[n] * -(-width[n] // most)
    return sets, room


@kernel
def _set_of_rows(net: Network, sets: LongArray) -> LongArray:
    kind, base, height, row_start, followed_row = net.kind, net.base, net.height, net.row_start, net.followed_row
    set_of = np.zeros(row_start[-1], np.int64)
    for n in range(len(kind)):
        for y in range(height[n]):
            g = row_start[n] + y
            follows = kind[n] == VECTOR and sets[n] == sets[base[n]]
            set_of[g] = set_of[row_start[base[n]] + followed_row[g]] if follows else y % sets[n]
    return set_of


# What is shared out: its phase, its stage (-1: none), columns of a piece at most, ns per column.
Work: TypeAlias = tuple[int, int, int, float]


@kernel
def _share_rows(
    sites: Columns, idle: _Idle, set_of: LongArray, leaders: tuple[LongArray, LongArray], set_start: LongArray,
    work: Work,
) -> int:  # fmt: skip
    """Share out a node's sites, a row set when its first row comes. Returns the next free site.

    set_of: of the node's rows. leaders: where the row sets of the node it follows begin, and how many of the node's
    columns follow columns in front of each. set_start: where the node's row sets begin; the first is known.
    """
    starts, before = leaders
    low, high, head, begin = sites.low, sites.high, sites.head, set_start[0]
    rows, counts = np.zeros((2, len(starts)), np.int64)
    for chosen in set_of:
        rows[chosen] += 1
    for chosen in range(len(starts) - 1):  # pieces of every set: neighbours on one core are cut together
        z = starts[chosen]
        while z < starts[chosen + 1]:
            stop = _same_core(sites, z, starts[chosen + 1])
            counts[chosen] += -(-(before[high[stop - 1]] - before[low[z]]) // work[2])
            z = stop
    for chosen in range(len(starts) - 1):
        set_start[chosen + 1] = set_start[chosen] + counts[chosen]
    end = set_start[len(starts) - 1]
    for y in range(len(set_of)):
        chosen = set_of[y]
        at = set_start[chosen]
        if at == set_start[chosen + 1] or high[at] > 0:
            continue
        z = starts[chosen]
        while z < starts[chosen + 1]:
            stop = _same_core(sites, z, starts[chosen + 1])
            span = before[low[z]], before[high[stop - 1]]
            times = 0  # rows that this core has from this column on
            for other in range(len(starts) - 1):
                for x in range(starts[other], starts[other + 1]):
                    first = x == starts[other] or head[x - 1] != head[x]
                    times += rows[other] * (
                        first and head[x] == head[z] and before[low[x]] == span[0] < before[high[x]]
                    )
            at = _share(sites, at, idle, span, head[z], times, work, (begin, end))
            z = stop
    return int(end)


@kernel
def _same_core(sites: Columns, z: int, stop: int) -> int:
    """The end of the sites from z on that are on one core."""
    head, e = sites.head, z + 1
    while e < stop and head[e] == head[z]:
        e += 1
    return e


@kernel
def _share_apart(sites: Columns, idle: _Idle, at: int, size: tuple[int, int], work: Work) -> int:
    """Share out a node of that height and width wherever its operands are. Returns the next free site."""
    begin = at
    for first in range(0, size[1], work[2]):
        span = first, min(first + work[2], size[1])
        at = _share(sites, at, idle, span, -1, size[0], work, (begin, begin))
    return at


@kernel
def _share(
    sites: Columns, at: int, idle: _Idle, span: tuple[int, int], owner: int, times: int, work: Work,
    earlier: tuple[int, int],
) -> int:  # fmt: skip
    """Cut a span of columns evenly; pieces go to the least loaded cores, in a stage to those with fewest pieces. The
    only one stays, and outside of a stage the first one. Returns the next free site.

    owner: the core where the span is, -1: all pieces go away. times: rows of it. earlier: sites [first, stop), of which
    those that have columns are on the same cores where their pieces are equal.
    """
    low, high, head, given = sites
    phase, stage, most, column_ns = work
    load, begin, end = idle.load[phase], span[0], span[1]
    count = -(-(end - begin) // most)
    for i in range(count):
        a, b = begin + (end - begin) * i // count, begin + (end - begin) * (i + 1) // count
        core = -1
        for s in range(earlier[0], earlier[1]):
            if low[s] == a and high[s] == b and given[s] == owner:
                core = head[s]
        if core < 0:
            if owner >= 0 and i == 0 and (stage < 0 or count == 1):
                core = owner
            elif stage < 0:
                core = int(load.argmin())
            else:
                core = _first_free(load, idle.taken[stage])
            load[core] += (b - a) * column_ns * times
            if stage >= 0:
                idle.taken[stage, core] += 1
        low[at], high[at], head[at], given[at] = a, b, core, owner
        at += 1
    return at


@kernel
def _first_free(load: DoubleArray, taken: LongArray) -> int:
    """The core with fewest pieces, the least loaded among those."""
    best = 0
    for core in range(1, len(load)):
        if (taken[core], load[core]) < (taken[best], load[best]):
            best = core
    return best


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
