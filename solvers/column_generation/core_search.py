"""Plans of short period on the bound's advice: choices that it names, plans from their columns, settled.

The modes that mattered for the bound (columns.py) also make good plans. For a target some per cent above the
bound, its master names a choice for every layer; choices with a replica more or less are rated by the cores that their
exact linear program needs (core_plans.py), and the best become plans. Their array groups are then settled, one
after the other (local_search/polish.py), until no core exceeds the target, which falls with every success.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pimcomp.ir.plan import MappingProblem, Plan
from solvers.column_generation.columns import Bound
from solvers.column_generation.core_contents import Mode, relaxed
from solvers.column_generation.core_master import ROUND_WORK, Master
from solvers.column_generation.core_plans import ACCURACY, DIVE_ROUNDS, ROUNDS, assembled, dive, model_of
from solvers.exact.packing import OPTIMALITY, Priced, price
from solvers.exact.relaxation import Choice
from solvers.local_search import polish

GRID = 256  # steps of a core's time in the bound's master
FACTORS = (1.0, 0.985, 1.015, 1.03)  # periods for which it names a choice, over the target
LOWER, HIGHER = 0.99, 1.05  # the first target: of the known plan's period, and of the bound, whichever is less
CLIMB_SHARE = 0.08  # of the budget, for choices with a replica more or less
PLANS = 6  # that are made to be settled
STEPS = 3_000_000  # of settling, per plan
STEP_WORK = 2600  # of one step, in units of the budget
HEAT = 1e-4  # squared excess that is accepted at the start of settling
STEP, SMALLEST_STEP = 0.008, 0.002  # of the target below the best period; halved after PATIENCE plans in vain
PATIENCE = 4


@dataclass(slots=True)
class _Budget:
    """Work left, in units of which a core does WORK_PER_S a second (core_master.py)."""

    left: float

    def spend(self, work: float) -> None:
        self.left -= work


def improved(problem: MappingProblem, known: Priced, bound: Bound, work: float, seed: int) -> Priced:
    """The best plan found, `known` or better; ends when one attains the bound. work: as in core_master.py."""
    best, budget, rng = known, _Budget(work), np.random.default_rng(seed)
    target = max(bound.period_ns, min(LOWER * best.objective_ns, HIGHER * bound.period_ns))
    choices = [Choice(known.plan.option, known.plan.replication)]
    for factor in FACTORS:
        choice = named(problem, bound.modes, target * factor, budget) if budget.left > 0 else None
        choices += [choice] if choice is not None and choice not in choices else []
    rated = _rated(problem, choices, target, CLIMB_SHARE * work, budget, rng)
    pool: list[tuple[float, Plan]] = []  # excess over the target (infinite: not yet settled), plan
    for choice in dict.fromkeys([*rated[:1], *(choice for choice in rated if choice in choices), *rated]):
        plan = _made(problem, choice, target, budget) if budget.left > 0 and len(pool) < PLANS else None
        pool += [(np.inf, plan)] if plan is not None else []
    pool += [] if pool else [(np.inf, known.plan)]
    trials, vain, step = 0, 0, STEP
    while budget.left > 0 and best.objective_ns > bound.period_ns * (1 + OPTIMALITY):
        trials, vain = trials + 1, vain + 1
        fresh = [i for i, (excess, _) in enumerate(pool) if np.isinf(excess)]
        i = fresh[0] if fresh else int(len(pool) * rng.random() ** 3)
        if not fresh or best.objective_ns <= target:
            target = max(bound.period_ns, best.objective_ns * (1 - step))
        steps = min(STEPS, int(budget.left / STEP_WORK) + 1)
        settled, excess = polish.settled(problem, pool[i][1], target, steps, seed + trials, HEAT)
        budget.spend(steps * STEP_WORK)
        pool[i] = excess, pool[i][1]
        found = price(problem, Choice(settled.option, settled.replication), settled.core_of)
        if found is not None and found.objective_ns < best.objective_ns:
            best, vain, pool[i] = found, 0, (0.0, settled)
        if vain >= PATIENCE and step > SMALLEST_STEP:
            vain, step = 0, step / 2
        pool.sort(key=lambda one: one[0])
    return best


def named(problem: MappingProblem, modes: Sequence[Mode], period_ns: float, budget: _Budget) -> Choice | None:
    """The choice that the bound's master of a period names: the mode that it takes most of is fixed, and so on."""
    contents = {mode: relaxed(problem, mode, period_ns) for mode in modes if mode.low == mode.high}
    fitting = {mode: c for mode, c in contents.items() if c is not None}
    if {mode.layer for mode in fitting} != set(range(len(problem.layers))):
        return None
    master = Master(problem, fitting, period_ns, GRID)
    master.generate(np.inf, ACCURACY, ROUNDS, {}, 0.0)
    chosen: dict[int, Mode] = {}
    while len(chosen) < len(problem.layers) and master.solve():
        shares = master.shares()
        open_ = [m for m, mode in enumerate(master.modes) if mode.layer not in chosen]
        most = max(open_, key=lambda m: shares[m])
        mode = chosen[master.modes[most].layer] = master.modes[most]
        if shares[most] < 1 - 1e-6:
            for m in open_:
                if master.modes[m].layer == mode.layer and m != most:
                    master.mix[m].SetUb(0.0)
            master.generate(np.inf, ACCURACY, DIVE_ROUNDS, {}, 0.0)
    budget.spend(master.spent)
    if len(chosen) < len(problem.layers):
        return None
    ordered = [chosen[k] for k in range(len(problem.layers))]
    return Choice(tuple(mode.option for mode in ordered), tuple(mode.low for mode in ordered))


def _rated(
    problem: MappingProblem, choices: Sequence[Choice], period_ns: float, work: float, budget: _Budget,
    rng: np.random.Generator,
) -> list[Choice]:  # fmt: skip
    """Choices and such with a replica more or less of a layer, fewest cores for the period first."""
    cores: dict[Choice, float] = {}
    end = max(0.0, budget.left - work)

    def rate(choice: Choice) -> None:
        if choice not in cores:
            master = model_of(problem, choice, period_ns)
            budget.spend(ROUND_WORK if master is None else master.spent)
            cores[choice] = np.inf if master is None else master.cores

    for choice in choices:
        rate(choice)
    while cores and budget.left > end:
        best = min(cores, key=lambda choice: cores[choice])
        k, more = int(rng.integers(len(problem.layers))), int(rng.choice([-2, -1, 1, 2]))
        r = best.replication[k] + more
        budget.spend(ROUND_WORK / 100)
        if 1 <= r <= problem.layers[k].options[best.option[k]].firings:
            rate(Choice(best.option, (*best.replication[:k], r, *best.replication[k + 1 :])))
    return sorted((choice for choice in cores if np.isfinite(cores[choice])), key=lambda choice: cores[choice])


def _made(problem: MappingProblem, choice: Choice, period_ns: float, budget: _Budget) -> Plan | None:
    """A plan from the columns of a choice; None if they cannot be put together."""
    master = model_of(problem, choice, period_ns)
    taken = None if master is None else dive(master)
    if master is None or taken is None:
        return None
    budget.spend(master.spent)
    return assembled(problem, choice, master, taken)
