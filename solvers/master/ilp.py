"""ilp: the master problem of `cpsat` as a linear integer program, solved by SCIP, for comparison.

The model is that of master/cpsat_model.py over the same offer (exact/patterns.py), with the counts of patterns kept
apart by configuration: n[k, i, c, g] array groups of class c on each core of group g if layer k takes configuration i.
Every implication becomes a linear inequality that way, without a large constant: a layer's load is a plain sum of its
counts. Times are in units of the known plan's objective.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ortools.linear_solver.python import model_builder as mip

from pimcomp.ir.plan import LayerOption, MappingProblem, Outcome, Pipeline, Plan
from pimcomp.plan.cost import firing_ns, first_rows
from solvers.capacity import no_plan, shortfall
from solvers.exact.packing import OPTIMALITY, Priced, better, certified
from solvers.exact.patterns import Configuration, Offer, make_offer, patterns_of, realised
from solvers.limit import DEFAULT_S, Clock
from solvers.master.warm_start import warm_start
from solvers.options import setting

NODES_PER_S = 4  # branch-and-bound nodes per second of the limit: the deterministic budget
TOLERANCE = 1e-6  # SCIP's feasibility tolerance: that much its bound may be too high


@dataclass(frozen=True, slots=True, eq=False)
class Variables:
    """pick[k][i]: layer k takes configuration i. count[k][i][c][g]: see above, c over the classes of its option.

    load[k][g]: issue time of layer k on each core of group g. time[k], row[k], start[k], finish[k] as in cost.py.
    """

    offer: Offer
    unit_ns: float
    model: mip.Model
    pick: list[list[mip.Variable]]
    count: list[list[list[list[mip.Variable]]]]
    load: list[list[mip.Variable]]
    time: list[mip.Variable]
    row: list[mip.Variable]
    start: list[mip.Variable]
    finish: list[mip.Variable]
    objective: mip.Variable


Family = Callable[[Variables], None]


@dataclass(frozen=True, slots=True)
class Ilp:
    """Branch and bound within `nodes_per_s` nodes per second of the time limit."""

    budget_s: float = setting(0.0, "work for so many seconds of an idle core; 0: for as many as the time limit, or 10")
    nodes_per_s: int = setting(NODES_PER_S, "nodes of the search tree per second of that")
    log: bool = setting(False, "true: print SCIP's search log")
    name: str = field(default="ilp", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float | None, seed: int) -> Outcome:
        """A plan never worse than the warm start's. OPTIMAL only if the plan, packing included, attains a bound."""
        limit_s = DEFAULT_S if time_limit_s is None else time_limit_s
        clock, budget_s = Clock(limit_s), self.budget_s or limit_s
        if shortfall(problem) is not None:
            return no_plan(problem, clock.spent_s)
        bound_ns, known = warm_start(problem, budget_s, seed)
        if known is None:
            return no_plan(problem, clock.spent_s)
        if not problem.layers or known.objective_ns <= bound_ns * (1 + OPTIMALITY):
            return certified(known, bound_ns, clock.spent_s, ("the warm start attains its bound: not searched",))
        offer, complete = make_offer(problem, known.plan, known.objective_ns)
        v = build(offer, known.objective_ns)
        hint(v, known.plan)
        left_s = max(0.1, limit_s - clock.spent_s)
        solver = self._solver(left_s, math.ceil(self.nodes_per_s * budget_s), seed)
        status = interruptible_solve(solver, v.model)
        best: Priced | None = known
        if status in (mip.SolveStatus.OPTIMAL, mip.SolveStatus.FEASIBLE):
            best = better(best, found(v, solver))
        if complete and status in (mip.SolveStatus.OPTIMAL, mip.SolveStatus.FEASIBLE):
            bound_ns = max(bound_ns, solver.best_objective_bound * v.unit_ns * (1 - TOLERANCE))
        assert best is not None
        note = (
            f"SCIP: {status.name.lower()} for {'all' if complete else 'selected'} configurations on "
            f"{len(offer.group_cores)} groups of cores"
        )
        outcome = certified(best, bound_ns, clock.spent_s, (note,))
        return replace(outcome, time_limited=bool(solver.wall_time >= 0.98 * left_s))

    def _solver(self, left_s: float, nodes: int, seed: int) -> mip.Solver:
        solver = mip.Solver("scip")
        solver.set_time_limit_in_seconds(left_s)
        solver.set_solver_specific_parameters(
            f"limits/totalnodes = {nodes}\nlimits/gap = 0\nrandomization/randomseedshift = {seed}\n"
        )
        solver.enable_output(self.log)
        return solver


def interruptible_solve(solver: mip.Solver, model: mip.Model) -> mip.SolveStatus:
    """Solve in a thread of its own, so that Ctrl-C stops the search at once instead of waiting for its time limit."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        search = executor.submit(solver.solve, model)
        try:
            return search.result()
        except KeyboardInterrupt:
            solver.stop_search()
            raise


def weighted(variables: Sequence[mip.Variable], weights: Sequence[float]) -> mip.LinearExpr:
    """Their sum, each times its weight."""
    total = mip.LinearExpr.weighted_sum(list(variables), [float(w) for w in weights])
    assert isinstance(total, mip.LinearExpr)
    return total


def _option(offer: Offer, layer: int, configuration: Configuration) -> LayerOption:
    return offer.problem.layers[layer].options[configuration.option]


def declare(offer: Offer, reference_ns: float) -> Variables:
    """All variables, no constraints; `reference_ns` is the unit of time."""
    model, problem = mip.Model(), offer.problem
    groups, layers = range(len(offer.group_cores)), range(len(problem.layers))
    inf = math.inf

    def counts(k: int, c: Configuration) -> list[list[mip.Variable]]:
        classes = offer.classes_of(k, c.option)
        return [[model.new_int_var(0, problem.crossbars_per_core // a.crossbars, "") for _ in groups] for a in classes]

    def times() -> list[mip.Variable]:
        return [model.new_num_var(0, inf, "") for _ in layers]

    return Variables(
        offer,
        max(reference_ns, 1e-3),
        model,
        [[model.new_bool_var("") for _ in offered] for offered in offer.configurations],
        [[counts(k, c) for c in offered] for k, offered in enumerate(offer.configurations)],
        [[model.new_num_var(0, inf, "") for _ in groups] for _ in layers],
        times(),
        times(),
        times(),
        times(),
        model.new_num_var(0, inf, "objective"),
    )


def one_configuration_each(v: Variables) -> None:
    """Every layer takes exactly one of its offered configurations."""
    for offered in v.pick:
        v.model.add(weighted(offered, [1.0] * len(offered)) == 1)


def array_groups_are_placed(v: Variables) -> None:
    """The patterns have room for all array groups of the configurations taken, and for no others."""
    for k, offered in enumerate(v.offer.configurations):
        for i, configuration in enumerate(offered):
            classes = v.offer.classes_of(k, configuration.option)
            for alike, counts in zip(classes, v.count[k][i], strict=True):
                places = weighted(counts, v.offer.group_cores)
                v.model.add(places >= configuration.replication * len(alike.members) * v.pick[k][i])
                for n in counts:
                    v.model.add(n <= v.offer.problem.crossbars_per_core // alike.crossbars * v.pick[k][i])


def core_capacity(v: Variables) -> None:
    """A core's pattern takes no more crossbars than it has."""
    for g in range(len(v.offer.group_cores)):
        counts: list[mip.Variable] = []
        sizes: list[float] = []
        for k, offered in enumerate(v.offer.configurations):
            for i, configuration in enumerate(offered):
                classes = v.offer.classes_of(k, configuration.option)
                counts += [row[g] for row in v.count[k][i]]
                sizes += [alike.crossbars for alike in classes]
        v.model.add(weighted(counts, sizes) <= v.offer.problem.crossbars_per_core)


def issue_time_of_patterns(v: Variables) -> None:
    """A layer's load on a core is that of its array groups there, each firing at least its even share, rounded down."""
    for k, offered in enumerate(v.offer.configurations):
        for g in range(len(v.offer.group_cores)):
            counts: list[mip.Variable] = []
            times: list[float] = []
            for i, configuration in enumerate(offered):
                blocks = _option(v.offer, k, configuration).firings // configuration.replication
                classes = v.offer.classes_of(k, configuration.option)
                counts += [row[g] for row in v.count[k][i]]
                times += [blocks * alike.firing_ns / v.unit_ns for alike in classes]
            v.model.add(v.load[k][g] >= weighted(counts, times))


def all_work_is_done(v: Variables) -> None:
    """Over all cores, a layer's load is its whole work, and the objective covers the even share of all, and loading."""
    problem = v.offer.problem
    works: list[float] = []
    picks: list[mip.Variable] = []
    for k, offered in enumerate(v.offer.configurations):
        work = [_option(v.offer, k, c).work_ns / v.unit_ns for c in offered]
        done = weighted(v.load[k], v.offer.group_cores)
        v.model.add(done >= weighted(v.pick[k], work))
        works, picks = works + work, picks + v.pick[k]
    slots = problem.cores * problem.rob_size
    work_of_all = weighted(picks, works)
    v.model.add(slots * v.objective - work_of_all >= problem.vector_work_ns / v.unit_ns)
    v.model.add(v.objective >= problem.load_ns / v.unit_ns)


def cores_bound_the_objective(v: Variables) -> None:
    """The objective covers the busiest core."""
    for g in range(len(v.offer.group_cores)):
        v.model.add(
            v.offer.problem.rob_size * v.objective >= weighted([loads[g] for loads in v.load], [1.0] * len(v.load))
        )


def layers_take_time(v: Variables) -> None:
    """A layer takes as long as its busiest core, and as its busiest array group, which fires block after block."""
    for k, offered in enumerate(v.offer.configurations):
        for load in v.load[k]:
            v.model.add(v.offer.problem.rob_size * v.time[k] >= load)
        options = [_option(v.offer, k, c) for c in offered]
        busiest = [
            -(-o.firings // c.replication) * float(firing_ns(o).max()) / v.unit_ns
            for o, c in zip(options, offered, strict=True)
        ]
        v.model.add(v.time[k] >= weighted(v.pick[k], busiest))
        v.model.add(v.objective >= v.time[k])


def layers_wait_for_their_producers(v: Variables) -> None:
    """Element pipeline: the latency of pimcomp.plan.cost.chain_ns."""
    problem = v.offer.problem
    if problem.pipeline is not Pipeline.ELEMENT:
        return
    for k, layer in enumerate(problem.layers):
        block = [
            float(firing_ns(_option(v.offer, k, c)).max()) / problem.rob_size / v.unit_ns
            for c in v.offer.configurations[k]
        ]
        v.model.add(layer.out_height * v.row[k] >= v.time[k])
        v.model.add(v.row[k] >= weighted(v.pick[k], block))
        v.model.add(v.finish[k] >= v.start[k] + v.time[k])
        v.model.add(v.objective >= v.finish[k])
        if not layer.depends:
            v.model.add(v.finish[k] >= v.row[k] + problem.load_ns / v.unit_ns)
        for d in layer.depends:
            ready = v.finish[d] if layer.fully_connected else v.start[d] + first_rows(problem.layers[d]) * v.row[d]
            v.model.add(v.start[k] >= ready)
            v.model.add(v.finish[k] >= v.finish[d] + v.row[k])


FAMILIES: tuple[Family, ...] = (
    one_configuration_each,
    array_groups_are_placed,
    core_capacity,
    issue_time_of_patterns,
    all_work_is_done,
    cores_bound_the_objective,
    layers_take_time,
    layers_wait_for_their_producers,
)


def build(offer: Offer, reference_ns: float, families: tuple[Family, ...] = FAMILIES) -> Variables:
    """The model with its objective."""
    v = declare(offer, reference_ns)
    for add in families:
        add(v)
    v.model.minimize(v.objective)
    return v


def hint(v: Variables, plan: Plan) -> None:
    """Suggest a plan: its configurations, and its patterns."""
    patterns = patterns_of(v.offer, plan)
    for k, offered in enumerate(v.offer.configurations):
        mine = Configuration(plan.option[k], plan.replication[k])
        for i, configuration in enumerate(offered):
            v.model.add_hint(v.pick[k][i], configuration == mine)
            if patterns is None:
                continue
            numbers = [n for n, a in enumerate(v.offer.classes) if (a.layer, a.option) == (k, configuration.option)]
            for number, counts in zip(numbers, v.count[k][i], strict=True):
                for n, count in zip(patterns[number], counts, strict=True):
                    v.model.add_hint(count, n if configuration == mine else 0)


def found(v: Variables, solver: mip.Solver) -> Priced | None:
    """The plan of the solver's solution."""
    picked, count = [], [[0] * len(v.offer.group_cores) for _ in v.offer.classes]
    for k, offered in enumerate(v.offer.configurations):
        i = max(range(len(offered)), key=lambda i, k=k: solver.value(v.pick[k][i]))  # type: ignore[misc]
        picked.append(offered[i])
        numbers = [n for n, a in enumerate(v.offer.classes) if (a.layer, a.option) == (k, offered[i].option)]
        for number, counts in zip(numbers, v.count[k][i], strict=True):
            count[number] = [round(solver.value(n)) for n in counts]
    return realised(v.offer, picked, count)
