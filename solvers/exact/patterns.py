"""What the master model of `cpsat` and `ilp` chooses from, and the way between its solutions and plans.

One Boolean per (array group, core) would be hopeless and symmetric: thousands times hundreds. Instead cores are
grouped; all cores of a group hold the same *pattern*, an integer count of each class of array groups (alike in layer,
option, size and time). Group sizes fall geometrically, so that any number of array groups can be composed of whole
groups. If every group is a single core and every configuration is offered (`complete`), the model relaxes the
mapping problem and its bound holds for every plan; else it is a restriction, good for plans only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import LayerOption, MappingProblem, Plan
from pimcomp.plan.cost import core_loads_ns, firing_ns
from solvers.capacity import smallest_options
from solvers.exact.packing import Priced, better, graded_choices, place, price
from solvers.exact.relaxation import Choice, configurations, period_relaxation
from solvers.placing.board import CoreOf
from solvers.placing.mapping import near_path
from solvers.placing.rebalance import rebalance

SINGLE_CORES = 12  # up to so many cores each one is its own group
GROUP_SHARE = 3  # else a group takes a third of the cores that remain: 12 groups for 144 cores


COMPLETE_CONFIGURATIONS = 60  # up to so many configurations in all, every one is offered
OFFERED = 10  # configurations per layer otherwise


@dataclass(frozen=True, slots=True)
class Configuration:
    """One (option, replication) offered for a layer."""

    option: int
    replication: int


@dataclass(frozen=True, slots=True, eq=False)
class AlikeGroups:
    """Array groups of one option of one layer with the same crossbars and firing time: `members` are their indices."""

    layer: int
    option: int
    members: IntArray
    crossbars: int
    firing_ns: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Offer:
    """What the model chooses from: `configurations[k]` of layer k, `classes` of array groups, cores per group."""

    problem: MappingProblem
    configurations: tuple[tuple[Configuration, ...], ...]
    classes: tuple[AlikeGroups, ...]
    group_cores: tuple[int, ...]

    def numbers_of(self, layer: int, option: int) -> list[int]:
        """Which classes are those of one option of one layer."""
        return [n for n, alike in enumerate(self.classes) if (alike.layer, alike.option) == (layer, option)]


def core_groups(cores: int) -> tuple[int, ...]:
    """Cores per group, falling; their sum is `cores`."""
    if cores <= SINGLE_CORES:
        return (1,) * cores
    sizes = []
    while cores:
        sizes.append(-(-cores // GROUP_SHARE))
        cores -= sizes[-1]
    return tuple(sizes)


def alike_groups(layer: int, option: int, choice: LayerOption) -> list[AlikeGroups]:
    """The classes of one option."""
    times = firing_ns(choice)
    kinds = sorted({(int(x), float(t)) for x, t in zip(choice.ag_crossbars, times, strict=True)}, reverse=True)
    return [
        AlikeGroups(layer, option, np.flatnonzero((choice.ag_crossbars == x) & (times == t)).astype(np.int32), x, t)
        for x, t in kinds
    ]


def make_offer(problem: MappingProblem, known: Plan) -> tuple[Offer, bool]:
    """What the model chooses from, the known plan's configurations included, and whether that is complete.

    Complete: single cores and every configuration that fits, so that the model is a relaxation of the whole problem.
    """
    groups = core_groups(problem.cores)
    every = _every_configuration(problem)
    complete = max(groups, default=1) == 1 and sum(len(offered) for offered in every) <= COMPLETE_CONFIGURATIONS
    offered = every if complete else _ladder(problem, known)
    classes = [
        alike
        for k, layer in enumerate(problem.layers)
        for o in sorted({c.option for c in offered[k]})
        for alike in alike_groups(k, o, layer.options[o])
    ]
    return Offer(problem=problem, configurations=offered, classes=tuple(classes), group_cores=groups), complete


def _every_configuration(problem: MappingProblem) -> tuple[tuple[Configuration, ...], ...]:
    """All options and replications that fit the chip alone."""
    return tuple(
        tuple(
            Configuration(o, r)
            for o, option in enumerate(layer.options)
            if option.ag_crossbars.max() <= problem.crossbars_per_core
            for r in range(1, min(option.firings, problem.crossbars // option.crossbars) + 1)
        )
        for layer in problem.layers
    )


def _ladder(problem: MappingProblem, known: Plan) -> tuple[tuple[Configuration, ...], ...]:
    """Per layer the configurations of graded choices, coarse to fine, thinned out to OFFERED."""
    table = configurations(problem)
    period_ns, _ = period_relaxation(problem, table)
    layers = len(problem.layers)
    choices = [Choice(smallest_options(problem), (1,) * layers), *islice(graded_choices(problem, table, period_ns), 40)]
    result = []
    for k, layer in enumerate(problem.layers):
        rungs = {
            (layer.options[c.option[k]].crossbars * c.replication[k], c.option[k], c.replication[k]) for c in choices
        }
        ordered = sorted(rungs)
        kept = {ordered[i] for i in np.linspace(0, len(ordered) - 1, min(OFFERED, len(ordered))).astype(int)}
        offered = {Configuration(o, r) for _, o, r in kept} | {Configuration(known.option[k], known.replication[k])}
        result.append(tuple(sorted(offered, key=lambda c: (c.option, c.replication))))
    return tuple(result)


def patterns_of(offer: Offer, plan: Plan) -> list[list[int]] | None:
    """Array groups of each class on each core of each group: int[classes][groups], the plan's or like them.

    Its own patterns if each group of cores is a single one; else its choice placed greedily, None if that fails.
    """
    if max(offer.group_cores) == 1:
        return _own_patterns(offer, plan)
    return _greedy_patterns(offer, Choice(plan.option, plan.replication))


def realised(offer: Offer, picked: Sequence[Configuration], count: list[list[int]]) -> Priced | None:
    """The best plan of a solution: on the cores of its patterns, that rebalanced, or its choice mapped anew."""
    choice = Choice(tuple(c.option for c in picked), tuple(c.replication for c in picked))
    core_of = cores_for(offer, choice, count)
    balanced = rebalance(offer.problem, choice.option, choice.replication, core_of)
    plans = [price(offer.problem, choice, cores) for cores in (core_of, balanced)]
    return better(better(plans[0], plans[1]), place(offer.problem, choice))


def _own_patterns(offer: Offer, plan: Plan) -> list[list[int]]:
    """What the plan has of each class on each core, the busiest core first."""
    order = np.argsort(-core_loads_ns(offer.problem, plan).sum(axis=0), kind="stable")
    rows = []
    for alike in offer.classes:
        total = np.zeros(offer.problem.cores, dtype=np.int64)
        if plan.option[alike.layer] == alike.option:
            total = np.bincount(plan.core_of[alike.layer][:, alike.members].ravel(), minlength=offer.problem.cores)
        rows.append([int(n) for n in total[order]])
    return rows


def _greedy_patterns(offer: Offer, choice: Choice) -> list[list[int]] | None:
    """Patterns that place the choice: widest array groups first, on the least busy group of cores that they fill.

    None if the crossbars of the groups do not suffice that way.
    """
    sizes = np.array(offer.group_cores)
    free = np.full(len(sizes), offer.problem.crossbars_per_core)
    busy = np.zeros(len(sizes))
    patterns = [[0] * len(sizes) for _ in offer.classes]
    for c in sorted(range(len(offer.classes)), key=lambda c: (-offer.classes[c].crossbars, c)):
        alike = offer.classes[c]
        if choice.option[alike.layer] != alike.option:
            continue
        r = choice.replication[alike.layer]
        each_ns = alike.firing_ns * offer.problem.layers[alike.layer].options[alike.option].firings / r
        left = r * len(alike.members)
        while left > 0:
            fitting = np.flatnonzero(free >= alike.crossbars)
            if len(fitting) == 0:
                return None
            filled = fitting[sizes[fitting] <= left]
            g = int(filled[np.argmin(busy[filled])]) if len(filled) else int(fitting[-1])  # the smallest that has room
            patterns[c][g] += 1
            free[g] -= alike.crossbars
            busy[g] += each_ns
            left -= int(sizes[g])
    return patterns


def cores_for(offer: Offer, choice: Choice, count: list[list[int]]) -> CoreOf:
    """Cores for the array groups of a choice, filling the patterns replica by replica along a path of near cores."""
    path = near_path(offer.problem.hops_ns)
    ends = np.cumsum(offer.group_cores)
    result: list[IntArray] = []
    for k, layer in enumerate(offer.problem.layers):
        option = layer.options[choice.option[k]]
        core_of = np.zeros((choice.replication[k], len(option.ag_crossbars)), dtype=np.int32)
        for alike, counts in zip(offer.classes, count, strict=True):
            if (alike.layer, alike.option) != (k, choice.option[k]):
                continue
            slots = np.concatenate([
                np.repeat(path[end - size : end], n)
                for end, size, n in zip(ends, offer.group_cores, counts, strict=True)
            ])  # fmt: skip
            needed = core_of.shape[0] * len(alike.members)
            core_of[:, alike.members] = slots[:needed].reshape(core_of.shape[0], len(alike.members))
        result.append(core_of)
    return tuple(result)
