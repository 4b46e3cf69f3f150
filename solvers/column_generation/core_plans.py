"""Plans from columns: what the bound's columns promise, with every array group in its place.

For a choice (option and replication of every layer) the contents of cores are described exactly: classes of array
groups, how often each replica fires, and which part of a replica is its head, where the messages of all other parts
arrive. The linear program over columns then says how many cores the choice needs for a period; rounding it one column
after the other (diving) gives contents of whole cores, whose parts are put together to replicas. What is left
over goes where there is room; local_search/polish.py settles the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np

from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import FloatVector, IntVector, message_ns
from solvers.column_generation.core_contents import Contents, Mode, Stage, dot, product, stacked
from solvers.column_generation.core_master import Master
from solvers.exact.patterns import AlikeGroups, alike_groups
from solvers.exact.relaxation import Choice

GRID = 384  # steps of a core's time
SPREADS = (1.0, 1.15, 1.3, 1.6, 2.0, 2.7)  # parts of a replica, over the fewest
TAIL, HEAD, WHOLE = 0, 1, 2
ACCURACY, ROUNDS, DIVE_ROUNDS = 0.002, 120, 8  # of column generation, and after every column that is rounded up
TOO_MANY = 2  # columns per core, where rounding is given up
WASTE = 0.6  # of array groups left over, against those used, when parts are put together


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Replicas of a layer that fire equally often: `count` of them, each `firings` times, divided by rob_size."""

    layer: int
    firings: float
    count: int
    classes: tuple[AlikeGroups, ...]
    message_ns: float

    @property
    def members(self) -> IntVector:
        """Array groups of each class in a replica."""
        return np.array([len(alike.members) for alike in self.classes], dtype=np.int64)


def kinds_of(problem: MappingProblem, choice: Choice) -> list[Kind]:
    """All kinds of a choice, layer after layer; replicas that fire once more come first, as in plan/cost.py."""
    kinds = []
    for k, (o, r) in enumerate(zip(choice.option, choice.replication, strict=True)):
        layer = problem.layers[k]
        option = layer.options[o]
        classes, message = tuple(alike_groups(k, o, option)), message_ns(problem, layer, option, r)
        few, more = divmod(option.firings, r)
        for f, count in ((few + 1, more), (few, r - more)):
            if count:
                kinds.append(Kind(k, f / problem.rob_size, count, classes, message))
    return kinds


def exactly(problem: MappingProblem, kinds: Sequence[Kind], period_ns: float) -> Contents | None:
    """What cores can hold of a layer's replicas; None if something does not fit the period.

    Rows of each kind: copies of each class; messages that heads receive less those that tails send; heads, which are
    as many as replicas (but for kinds whose replicas may be whole). A key is (layer, place in `kinds`, part, parts).
    """
    stages: list[Stage] = []
    needs: list[float] = []
    exact: list[int] = []
    width = sum(len(kind.classes) + 2 for kind in kinds)
    for n, kind in enumerate(kinds):
        row, members = len(needs), kind.members
        messages, heads = row + len(members), row + len(members) + 1
        size, time = _weights(kind)
        whole = size @ members <= problem.crossbars_per_core and dot(time, members) <= period_ns
        needs += [*(kind.count * members).astype(float), 0.0, 0.0 if whole else float(kind.count)]
        exact += [] if whole else [heads]
        if whole:
            does = [0.0] * width
            does[row:messages] = members.astype(float)
            key = (kind.layer, n, WHOLE, 1)
            stages.append(Stage(key, [int(size @ members)], [dot(time, members)], [does], 0.0, 0.0, (0.0,) * width))
        message = kind.firings * kind.message_ns
        fitting = [c for c in range(len(members)) if message + time[c] <= period_ns]
        if members.sum() == 1 or not fitting:
            if not whole:
                return None
            continue
        does_of = [[float(i == row + c) for i in range(width)] for c in fitting]
        least = max(
            2, -(-int(size @ members) // problem.crossbars_per_core), int(np.ceil(dot(time, members) / period_ns))
        )
        for parts in sorted({min(int(members.sum()), max(least, round(least * spread))) for spread in SPREADS}):
            uses = [0.0] * width
            uses[messages], uses[heads] = parts - 1.0, 0.0 if whole else 1.0
            key, set_up = (kind.layer, n, HEAD, parts), message * (parts - 1)
            stages.append(Stage(key, size[fitting].tolist(), time[fitting].tolist(), does_of, set_up, 0.0, tuple(uses)))
        uses = [0.0] * width
        uses[messages] = -1.0
        key = (kind.layer, n, TAIL, 0)
        stages.append(Stage(key, size[fitting].tolist(), time[fitting].tolist(), does_of, message, 0.0, tuple(uses)))
    return stacked(stages, needs, 0.0, exact)


def _weights(kind: Kind) -> tuple[IntVector, np.ndarray]:
    """(crossbars, time of all firings over rob_size) of an array group of each class."""
    size = np.array([alike.crossbars for alike in kind.classes], dtype=np.int64)
    return size, np.array([kind.firings * alike.firing_ns for alike in kind.classes])


def model_of(problem: MappingProblem, choice: Choice, period_ns: float) -> Master | None:
    """The linear program over columns for one choice, solved; None if something does not fit the period."""
    kinds = kinds_of(problem, choice)
    modes: dict[Mode, Contents] = {}
    for k, (o, r) in enumerate(zip(choice.option, choice.replication, strict=True)):
        contents = exactly(problem, [kind for kind in kinds if kind.layer == k], period_ns)
        if contents is None:
            return None
        modes[Mode(k, o, r, r)] = contents
    master = Master(problem, modes, period_ns, GRID, safe=True)
    for mix in master.mix:
        mix.SetBounds(1.0, 1.0)
    master.generate(np.inf, ACCURACY, ROUNDS, {}, 0.0)
    return master if master.solve() else None


def dive(master: Master) -> dict[int, int] | None:
    """How often to take each column so that all work is done: the most fractional one is rounded up, time and again.

    None where that does not end: a part that is rounded up asks for a head, that for another part, and so on.
    """
    taken: dict[int, int] = {}
    while master.solve() and sum(taken.values()) <= TOO_MANY * master.problem.cores:
        value = np.array([variable.solution_value() for variable in master.variables])
        whole = np.floor(value + 1e-6)
        for i in np.flatnonzero(whole > 0).tolist():
            if whole[i] > taken.get(i, 0):
                taken[i] = int(whole[i])
                master.variables[i].SetLb(whole[i])
        part = value - whole
        if part.max() < 1e-5:
            return taken
        i = int(np.argmax(part))
        taken[i] = int(whole[i]) + 1
        master.variables[i].SetLb(float(taken[i]))
        master.generate(np.inf, ACCURACY, DIVE_ROUNDS, {}, 0.0)
    return None


@dataclass(slots=True, eq=False)
class _Part:
    """Array groups of a kind on a core: how many of each class."""

    core: int
    groups: IntVector
    parts: int  # of the replica, where this is its head; 0 for tails; 1 for whole replicas


def assembled(problem: MappingProblem, choice: Choice, master: Master, taken: dict[int, int]) -> Plan | None:
    """The plan of columns, the fullest ones one core each; None if what is left over finds no room."""
    kinds, contents = kinds_of(problem, choice), master.contents
    columns = list(master.columns.values())
    copies = np.zeros((sum(taken.values()), len(contents.size)), dtype=np.int64)
    times = np.zeros((len(copies), len(contents.keys)), dtype=np.int64)
    for c, i in enumerate(i for i, n in taken.items() for _ in range(n)):
        copies[c, columns[i].used] += columns[i].copies
        times[c, columns[i].stages] += columns[i].times
    _drop_what_is_done_twice(contents, copies, times)
    full = np.maximum(
        product(copies, contents.time_ns) / master.period_ns, copies @ contents.size / problem.crossbars_per_core
    )
    kept = np.argsort(-full, kind="stable")[: problem.cores]
    copies = copies[kept]
    free = np.full(problem.cores, problem.crossbars_per_core, dtype=np.int64)
    busy = np.zeros(problem.cores)
    free[: len(kept)] -= copies @ contents.size
    busy[: len(kept)] += product(copies, contents.time_ns) + product(times[kept], contents.setup_ns)
    replicas: list[tuple[Kind, list[_Part]]] = []
    for k in range(len(problem.layers)):
        for n, kind in enumerate(kind for kind in kinds if kind.layer == k):
            replicas += [(kind, parts) for parts in _replicas(kind, _parts(contents, k, n, kind, copies))]
    if not _complete(replicas, free, busy, master.period_ns):
        return None
    core_of = []
    for k, (o, r) in enumerate(zip(choice.option, choice.replication, strict=True)):
        cores = np.zeros((r, len(problem.layers[k].options[o].ag_crossbars)), dtype=np.int32)
        for row, (kind, parts) in zip(
            cores, ((kind, parts) for kind, parts in replicas if kind.layer == k), strict=True
        ):
            unplaced = [alike.members.tolist() for alike in kind.classes]
            for part in parts:  # the head first: it gets array group 0 if it has its class
                for members, count in zip(unplaced, part.groups, strict=True):
                    for _ in range(count):
                        row[members.pop(0)] = part.core
        core_of.append(cores)
    return Plan(option=choice.option, replication=choice.replication, core_of=tuple(core_of))


def _drop_what_is_done_twice(contents: Contents, copies: np.ndarray, times: np.ndarray) -> None:
    """Columns cover at least what is needed; what is too much leaves the emptiest ones."""
    too_much = np.round(copies.sum(axis=0) @ contents.does - contents.needs + times.sum(axis=0) @ contents.uses)
    order = np.argsort(product(copies, contents.time_ns), kind="stable")
    for i in np.flatnonzero(copies.sum(axis=0)):
        does = contents.does[i]
        for c in order:
            while copies[c, i] > 0 and (too_much >= does).all() and does.any():
                copies[c, i] -= 1
                too_much -= does


def _parts(contents: Contents, k: int, n: int, kind: Kind, copies: np.ndarray) -> list[_Part]:
    """The parts of the n-th kind of layer k on all cores."""
    found = []
    for s, key in enumerate(contents.keys):
        if key[:2] != (k, n):
            continue
        items = slice(int(contents.first[s]), int(contents.first[s + 1]))
        size, time = _weights(kind)
        classes = [
            int(np.flatnonzero((size == x) & np.isclose(time, t, rtol=1e-12))[0])
            for x, t in zip(contents.size[items], contents.time_ns[items], strict=True)
        ] if key[2] != WHOLE else []  # fmt: skip
        for core in np.flatnonzero(copies[:, items].sum(axis=1)):
            if key[2] == WHOLE:
                found += [_Part(int(core), kind.members.copy(), 1) for _ in range(int(copies[core, items][0]))]
            else:
                groups = np.zeros(len(kind.classes), dtype=np.int64)
                groups[classes] = copies[core, items]
                found.append(_Part(int(core), groups, key[3]))
    return found


def _replicas(kind: Kind, parts: list[_Part]) -> list[list[_Part]]:
    """Parts put together to replicas: the next is the one that fits best, what is too much of it is left over."""
    done = [[part] for part in parts if part.parts == 1][: kind.count]
    heads = sorted((part for part in parts if part.parts > 1), key=lambda part: -part.parts)[: kind.count - len(done)]
    tails = [part for part in parts if part.parts != 1 and all(part is not head for head in heads)]
    for j in range(kind.count - len(done)):
        missing, replica = kind.members.copy(), []
        part = heads[j] if j < len(heads) else None
        while missing.any():
            if part is None:
                fits = [int(np.minimum(tail.groups, missing).sum()) for tail in tails]
                if not any(fits):
                    break
                worth = [
                    (fit * (1 + WASTE) - WASTE * int(t.groups.sum()), fit) if fit else (-np.inf, 0)
                    for fit, t in zip(fits, tails, strict=True)
                ]
                part = tails[max(range(len(tails)), key=lambda i: worth[i])]
            taken = np.minimum(part.groups, missing)
            missing -= taken
            part.groups = part.groups - taken
            replica.append(_Part(part.core, taken, 0))
            part = None
        done.append(replica)
    return done


def _complete(replicas: list[tuple[Kind, list[_Part]]], free: IntVector, busy: FloatVector, period_ns: float) -> bool:
    """Put what replicas lack where they already are, or else on the least busy core; False if there is no room."""
    lacking: list[tuple[int, float, int, int]] = []
    for j, (kind, parts) in enumerate(replicas):
        size, time = _weights(kind)
        missing = kind.members - sum((part.groups for part in parts), np.zeros(len(size), dtype=np.int64))
        lacking += [(-int(size[c]), -float(time[c]), j, int(c)) for c in np.repeat(np.arange(len(size)), missing)]
    heapify(lacking)
    while lacking:
        size_of, time_of, j, c = heappop(lacking)
        kind, parts = replicas[j]
        here = [part.core for part in parts if free[part.core] >= -size_of and busy[part.core] - time_of <= period_ns]
        room = here or np.flatnonzero(free >= -size_of).tolist()
        core = (
            min(room, key=lambda core: (busy[core], core))
            if room
            else _emptied(replicas, -size_of, free, busy, lacking)
        )
        if core is None:
            return False
        free[core] += size_of
        busy[core] -= time_of
        groups = np.zeros(len(kind.classes), dtype=np.int64)
        groups[c] = 1
        parts.append(_Part(core, groups, 0))
    return True


def _emptied(
    replicas: list[tuple[Kind, list[_Part]]], size_of: int, free: IntVector, busy: FloatVector,
    lacking: list[tuple[int, float, int, int]],
) -> int | None:  # fmt: skip
    """The emptiest core that has room for so many crossbars once smaller array groups have left it; None if no core."""
    smaller = free.copy()
    for kind, parts in replicas:
        size, _ = _weights(kind)
        for part in parts:
            smaller[part.core] += int((part.groups * size)[size < size_of].sum())
    fitting = np.flatnonzero(smaller >= size_of)
    if len(fitting) == 0:
        return None
    core = int(fitting[np.argmax(free[fitting])])
    for j, (kind, parts) in enumerate(replicas):
        size, time = _weights(kind)
        for part in parts:
            for c in np.flatnonzero(part.groups) if part.core == core else ():
                while part.groups[c] and size[c] < size_of and free[core] < size_of:
                    part.groups[c] -= 1
                    free[core] += size[c]
                    busy[core] -= time[c]
                    heappush(lacking, (-int(size[c]), -float(time[c]), j, int(c)))
    return core
