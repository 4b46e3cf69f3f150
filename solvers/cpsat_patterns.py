"""Between plans and the CP-SAT model: what to offer, what to hint, and cores for the patterns of a solution."""

from itertools import islice

import numpy as np

from pimcomp.cost import core_loads_ns
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.mapping import CoreOf, near_path
from solvers.capacity import smallest_options
from solvers.cpsat_model import UNITS, Configuration, Offer, Variables, alike_groups, core_groups
from solvers.packing import graded_choices
from solvers.relaxation import Choice, configurations, period_relaxation

COMPLETE_CONFIGURATIONS = 60  # up to so many configurations in all, every one is offered
OFFERED = 10  # configurations per layer otherwise


def make_offer(problem: MappingProblem, known: Plan, reference_ns: float) -> tuple[Offer, bool]:
    """What CP-SAT chooses from, the known plan's configurations included, and whether that is complete.

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
    unit_ns = max(reference_ns, 1e-3) / UNITS
    offer = Offer(problem=problem, configurations=offered, classes=tuple(classes), group_cores=groups, unit_ns=unit_ns)
    return offer, complete


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


def hint(v: Variables, plan: Plan) -> None:
    """Suggest a plan: its configurations, and patterns: its own where each group is one core, else greedy ones."""
    offer, choice = v.offer, Choice(plan.option, plan.replication)
    for k, offered in enumerate(offer.configurations):
        mine = Configuration(choice.option[k], choice.replication[k])
        for configuration, picked in zip(offered, v.pick[k], strict=True):
            v.model.add_hint(picked, configuration == mine)
    patterns = _own_patterns(offer, plan) if max(offer.group_cores) == 1 else _greedy_patterns(offer, choice)
    if patterns is not None:
        for row, counts in zip(patterns, v.count, strict=True):
            for n, count in zip(row, counts, strict=True):
                v.model.add_hint(count, n)


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
