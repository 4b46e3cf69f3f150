"""What PIMCOMP-NN's replication heuristics share: plain unfolding, first-fit mapping, and a way out of an overrun.

PIMCOMP-NN aborts when its replication does not fit the chip. Here each heuristic is a ladder of replications, the
wanted one on top and one replica of everything at the bottom; the highest rung that packs is taken, and a note says
what was given up. Source of the rules: docs/glossary.md (PIMCOMP-NN's weight replication).
"""

from collections.abc import Callable

from pimcomp.ir.plan import MappingProblem, Outcome, Plan, Status
from solvers.capacity import no_plan, smallest_options
from solvers.placing.board import CoreOf
from solvers.placing.mapping import best_fit, first_fit

MARGIN = 1.2  # PIMCOMP-NN's margin_factor of uniform and W0H0
Replication = tuple[int, ...]


def plain_options(problem: MappingProblem) -> tuple[int, ...]:
    """PIMCOMP-NN's unfolding: one window per MVM (option 0), unless only another option fits the chip."""
    crossbars = sum(layer.options[0].crossbars for layer in problem.layers)
    widest = max((int(layer.options[0].ag_crossbars.max()) for layer in problem.layers), default=0)
    fits = crossbars <= problem.crossbars and widest <= problem.crossbars_per_core
    return (0,) * len(problem.layers) if fits else smallest_options(problem)


def convolutions(problem: MappingProblem) -> tuple[int, ...]:
    """Layers that the heuristics replicate; fully connected ones stay single."""
    return tuple(k for k, layer in enumerate(problem.layers) if not layer.fully_connected)


def capped(problem: MappingProblem, option: tuple[int, ...], replication: Replication) -> Replication:
    """No more replicas than window blocks."""
    return tuple(
        min(r, layer.options[o].firings) for layer, o, r in zip(problem.layers, option, replication, strict=True)
    )


def crossbars_used(problem: MappingProblem, option: tuple[int, ...], replication: Replication) -> int:
    """Crossbars of all replicas."""
    return sum(layer.options[o].crossbars * r for layer, o, r in zip(problem.layers, option, replication, strict=True))


def highest_rung(
    problem: MappingProblem, option: tuple[int, ...], rungs: int, rung: Callable[[int], Replication], name: str
) -> Outcome:
    """Map rung `rungs` of a ladder of replications, or the highest one below it that packs.

    rung(0) must be one replica of everything, and the ladder must not fall. Bisection finds the highest rung if a
    rung packs whenever a higher one does; first fit breaks that only by fragmentation, which best fit repairs in most
    cases.
    """
    wanted = rung(rungs)
    mapped = _map(problem, option, wanted)
    low, high = 0, rungs
    chosen = wanted
    if mapped is None:
        mapped, chosen = _map(problem, option, rung(0)), rung(0)
    else:
        low = high
    while mapped is not None and high - low > 1:
        middle = (low + high) // 2
        attempt = _map(problem, option, rung(middle))
        if attempt is None:
            high = middle
        else:
            low, mapped, chosen = middle, attempt, rung(middle)
    if mapped is None:
        return no_plan(problem)
    core_of, how = mapped
    plan = Plan(option=option, replication=chosen, core_of=core_of)
    notes = _notes(problem, name, option, wanted, chosen, how)
    return Outcome(status=Status.FEASIBLE, plan=plan, notes=notes)


def _map(problem: MappingProblem, option: tuple[int, ...], replication: Replication) -> tuple[CoreOf, str] | None:
    if crossbars_used(problem, option, replication) > problem.crossbars:
        return None
    core_of = first_fit(problem, option, replication)
    if core_of is not None:
        return core_of, "first fit"
    core_of = best_fit(problem, option, replication)
    return None if core_of is None else (core_of, "best fit")


def _notes(
    problem: MappingProblem, name: str, option: tuple[int, ...], wanted: Replication, chosen: Replication, how: str
) -> tuple[str, ...]:
    notes = []
    if any(option):
        notes.append("the plain unfolding does not fit the chip: the smallest one is used instead")
    if chosen != wanted:
        asked, got = crossbars_used(problem, option, wanted), crossbars_used(problem, option, chosen)
        notes.append(
            f"{name} asks for {asked} crossbars, which cannot be packed into {problem.cores} cores of "
            f"{problem.crossbars_per_core}: degraded to {got}"
        )
    if how != "first fit":
        notes.append("first fit leaves array groups without a core: packed by best fit")
    return tuple(notes)
