"""From a relaxed choice to a plan: map it, price it, keep the best."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pimcomp.ir.plan import MappingProblem, Outcome, Plan, Status
from pimcomp.plan.cost import plan_cost
from solvers.exact.relaxation import Choice, Configurations, chosen, least_work
from solvers.placing.board import CoreOf
from solvers.placing.mapping import spread

# Accuracy to which an objective counts as equal to its bound: that of the bisection and of integer time units.
OPTIMALITY = 1e-5

# Packings are compared until one comes this close to the bound.
CLOSE = 1.005

# How much finer (> 1) or coarser (< 1) than the relaxed optimum T the work is cut: pieces of at most T / g. Fine pieces
# balance better and take more crossbars; coarse ones are for chips that have none to spare.
GRAINS = (16.0, 8.0, 4.0, 2.0, 1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.01)
# Share of the crossbars that may be used; less than all leaves room for packing.
FILLS = (1.0, 0.97, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """A complete plan and the problem's objective at it."""

    objective_ns: float
    plan: Plan


def price(problem: MappingProblem, choice: Choice, core_of: CoreOf | None) -> Priced | None:
    """The plan of a choice on given cores; None stays None."""
    if core_of is None:
        return None
    plan = Plan(option=choice.option, replication=choice.replication, core_of=core_of)
    return Priced(plan_cost(problem, plan).objective_ns(problem.pipeline), plan)


def place(problem: MappingProblem, choice: Choice) -> Priced | None:
    """The choice mapped by `spread`; None if that finds no packing."""
    return price(problem, choice, spread(problem, choice.option, choice.replication))


def better(a: Priced | None, b: Priced | None) -> Priced | None:
    """The one of lower objective; the first of equals."""
    if a is None or b is None:
        return b if a is None else a
    return b if b.objective_ns < a.objective_ns else a


def graded_choices(problem: MappingProblem, table: Configurations, period_ns: float) -> Iterator[Choice]:
    """Choices of least work whose pieces (replicas, or single array groups) last at most period_ns / g, per grain g."""
    seen: set[Choice] = set()
    by_replica = replace(table, group_ns=table.replica_ns)
    for grain in GRAINS:
        for pieces in (by_replica, table):
            for fill in FILLS:
                rows = least_work(pieces, period_ns / grain, int(problem.crossbars * fill), optimistic=False)
                if rows is not None and (choice := chosen(table, rows)) not in seen:
                    seen.add(choice)
                    yield choice


def best_placed(problem: MappingProblem, choices: Iterable[Choice], target_ns: float, limit: int) -> Priced | None:
    """The best of the first `limit` choices that can be packed; stops early close to the target."""
    best, packed = None, 0
    for choice in choices:
        placed = place(problem, choice)
        best, packed = better(best, placed), packed + (placed is not None)
        if packed == limit or (best is not None and best.objective_ns <= target_ns * CLOSE):
            break
    return best


def certified(best: Priced, bound_ns: float, notes: tuple[str, ...] = ()) -> Outcome:
    """An outcome that is OPTIMAL exactly if the plan attains the bound."""
    status = Status.OPTIMAL if best.objective_ns <= bound_ns * (1 + OPTIMALITY) else Status.FEASIBLE
    return Outcome(
        status=status,
        plan=best.plan,
        objective_ns=best.objective_ns,
        bound_ns=min(bound_ns, best.objective_ns),
        notes=notes,
    )
