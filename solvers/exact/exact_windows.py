"""exact-windows: the fewest windows per replica that the crossbars allow, ignoring that a core fires one MVM at a time.

The classic min-max replication, optimal if every crossbar were its own server. It shows what that model promises.
"""

from dataclasses import dataclass, field

from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Plan, Status
from pimcomp.plan.cost import plan_cost
from solvers.capacity import answer, no_plan
from solvers.heuristics.faithful import convolutions, crossbars_used, plain_options
from solvers.placing.mapping import spread


@dataclass(frozen=True, slots=True)
class ExactWindows:
    """Bisection on the windows per replica; the next larger number that packs is taken."""

    name: str = field(default="exact-windows", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        option = plain_options(problem)
        proven = windows = fewest_windows(problem, option)
        most = max((layer.windows for layer in problem.layers), default=1)
        while True:
            replication = replicas(problem, option, windows)
            core_of = spread(problem, option, replication)
            if core_of is not None or windows >= most:
                break
            windows = min(most, windows + max(1, windows // 20))
        if core_of is None:
            return no_plan(problem)
        plan = Plan(option=option, replication=replication, core_of=core_of)
        note = f"{windows} windows per replica; no fewer than {proven} fit {problem.crossbars} crossbars"
        objective_ns = plan_cost(problem, plan).objective_ns(problem.pipeline)
        return Outcome(status=Status.FEASIBLE, plan=plan, objective_ns=objective_ns, notes=(note,))


def replicas(problem: MappingProblem, option: tuple[int, ...], windows: int) -> tuple[int, ...]:
    """Replicas so that none computes more than that many window blocks; one of each fully connected layer."""
    replicated = set(convolutions(problem))
    return tuple(
        -(-layer.options[o].firings // windows) if k in replicated else 1
        for k, (layer, o) in enumerate(zip(problem.layers, option, strict=True))
    )


def fewest_windows(problem: MappingProblem, option: tuple[int, ...]) -> int:
    """The least T whose replicas ceil(windows / T) fit the crossbars of the chip.

    Proof: T is feasible iff sum of crossbars * ceil(windows / T) is within the budget, since no layer reaches T with
    fewer replicas; the sum falls with T, so bisection finds the least.
    """
    low, high = 1, max((layer.options[o].firings for layer, o in zip(problem.layers, option, strict=True)), default=1)
    while low < high:
        middle = (low + high) // 2
        if crossbars_used(problem, option, replicas(problem, option, middle)) <= problem.crossbars:
            high = middle
        else:
            low = middle + 1
    return low
