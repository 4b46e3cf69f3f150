"""The joint model of replication, unfolding and core mapping: integer counts of array groups per group of alike cores.

What is offered, and how cores are grouped so that integer counts suffice: exact/patterns.py.
Times are in units of `unit_ns`. For CP-SAT they are integers and what is known is rounded down, so that rounding never
lifts a bound.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ortools.linear_solver.python import model_builder as mip

from pimcomp.ir.plan import LayerOption, Pipeline, Plan
from pimcomp.plan.cost import firing_ns, first_rows
from solvers.exact.packing import Priced
from solvers.exact.patterns import Configuration, Offer, patterns_of, realised

UNITS = 2_000_000  # per reference time: so fine that rounding stays below packing.OPTIMALITY


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Variables:
    """pick[k][i]: layer k takes configuration i. count[c][g]: array groups of class c on each core of group g.

    load[k][g]: issue time of layer k on each core of group g. time[k]: of the layer's busiest core or array group;
    row[k]: of one of its rows; start, finish: when it works (element pipeline). objective: period or latency.
    whole: times are integers.
    """

    offer: Offer
    unit_ns: float
    whole: bool
    model: mip.Model
    pick: list[list[mip.Variable]]
    count: list[list[mip.Variable]]
    load: list[list[mip.Variable]]
    time: list[mip.Variable]
    row: list[mip.Variable]
    start: list[mip.Variable]
    finish: list[mip.Variable]
    objective: mip.Variable

    def units(self, time_ns: float) -> float:
        """A time in units, rounded down if times are integers."""
        return math.floor(time_ns / self.unit_ns) if self.whole else time_ns / self.unit_ns

    def options(self, k: int) -> list[LayerOption]:
        """The option of each configuration that is offered for layer k."""
        return [self.offer.problem.layers[k].options[c.option] for c in self.offer.configurations[k]]


Family = Callable[[Variables], None]


def weighted(variables: Sequence[mip.Variable], weights: Sequence[float]) -> mip.LinearExpr:
    """Their sum, each times its weight."""
    total = mip.LinearExpr.weighted_sum(list(variables), [float(w) for w in weights])
    assert isinstance(total, mip.LinearExpr)
    return total


def total(variables: Sequence[mip.Variable]) -> mip.LinearExpr:
    """Their sum."""
    return weighted(variables, [1.0] * len(variables))


def declare(offer: Offer, reference_ns: float, horizon_ns: float, *, whole: bool) -> Variables:
    """All variables, no constraints. reference_ns: a plan's objective; horizon_ns: the largest that is searched."""
    model, problem = mip.Model(), offer.problem
    unit_ns = max(reference_ns, 1e-3) / UNITS
    horizon = math.floor(horizon_ns / unit_ns) + 1
    groups, layers = range(len(offer.group_cores)), range(len(problem.layers))

    def time(top: int = horizon) -> mip.Variable:
        return model.new_int_var(0, top, "") if whole else model.new_num_var(0, top, "")

    return Variables(
        offer=offer,
        unit_ns=unit_ns,
        whole=whole,
        model=model,
        pick=[[model.new_bool_var("") for _ in offered] for offered in offer.configurations],
        count=[
            [model.new_int_var(0, problem.crossbars_per_core // alike.crossbars, "") for _ in groups]
            for alike in offer.classes
        ],
        load=[[time(horizon * problem.rob_size) for _ in groups] for _ in layers],
        time=[time() for _ in layers],
        row=[time() for _ in layers],
        start=[time() for _ in layers],
        finish=[time() for _ in layers],
        objective=time(),
    )


def one_configuration_each(v: Variables) -> None:
    """Every layer takes exactly one of its offered configurations."""
    for offered in v.pick:
        v.model.add(total(offered) == 1)


def array_groups_are_placed(v: Variables) -> None:
    """The patterns have room for all array groups of the configurations taken."""
    for alike, counts in zip(v.offer.classes, v.count, strict=True):
        offered = zip(v.offer.configurations[alike.layer], v.pick[alike.layer], strict=True)
        mine = [(picked, c.replication * len(alike.members)) for c, picked in offered if c.option == alike.option]
        v.model.add(weighted(counts, v.offer.group_cores) >= weighted(*zip(*mine, strict=True)))


def core_capacity(v: Variables) -> None:
    """A core's pattern takes no more crossbars than it has."""
    sizes = [alike.crossbars for alike in v.offer.classes]
    for g in range(len(v.offer.group_cores)):
        v.model.add(weighted([counts[g] for counts in v.count], sizes) <= v.offer.problem.crossbars_per_core)


def issue_time_of_patterns(v: Variables) -> None:
    """A layer's load on a core is that of its array groups there, each firing at least its even share, rounded down."""
    for k, offered in enumerate(v.offer.configurations):
        for configuration, option, picked in zip(offered, v.options(k), v.pick[k], strict=True):
            numbers = v.offer.numbers_of(k, configuration.option)
            blocks = option.firings // configuration.replication
            times = [v.units(blocks * v.offer.classes[n].firing_ns) for n in numbers]
            for g, load in enumerate(v.load[k]):
                issue = weighted([v.count[n][g] for n in numbers], times)
                v.model.add_enforced(load - issue >= 0, picked, True)


def all_work_is_done(v: Variables) -> None:
    """Over all cores, a layer's load is its whole work, and the objective covers the even share of all, and loading."""
    problem = v.offer.problem
    works = [[v.units(option.work_ns) for option in v.options(k)] for k in range(len(v.pick))]
    for load, picks, work in zip(v.load, v.pick, works, strict=True):
        v.model.add(weighted(load, v.offer.group_cores) >= weighted(picks, work))
    all_work = weighted([p for picks in v.pick for p in picks], [w for work in works for w in work])
    slots = problem.cores * problem.rob_size
    v.model.add(slots * v.objective - all_work >= v.units(problem.vector_work_ns))
    v.model.add(v.objective >= v.units(problem.load_ns))


def cores_bound_the_objective(v: Variables) -> None:
    """The objective covers the busiest core."""
    for g in range(len(v.offer.group_cores)):
        v.model.add(v.offer.problem.rob_size * v.objective >= total([loads[g] for loads in v.load]))


def layers_take_time(v: Variables) -> None:
    """A layer takes as long as its busiest core, and as its busiest array group, which fires block after block."""
    for k, offered in enumerate(v.offer.configurations):
        for load in v.load[k]:
            v.model.add(v.offer.problem.rob_size * v.time[k] >= load)
        busiest = [
            v.units(-(-option.firings // c.replication) * float(firing_ns(option).max()))
            for option, c in zip(v.options(k), offered, strict=True)
        ]
        v.model.add(v.time[k] >= weighted(v.pick[k], busiest))
        v.model.add(v.objective >= v.time[k])


def layers_wait_for_their_producers(v: Variables) -> None:
    """Element pipeline: the latency of pimcomp.plan.cost.chain_ns."""
    problem = v.offer.problem
    if problem.pipeline is not Pipeline.ELEMENT:
        return
    for k, layer in enumerate(problem.layers):
        block = [v.units(float(firing_ns(option).max()) / problem.rob_size) for option in v.options(k)]
        v.model.add(layer.out_height * v.row[k] >= v.time[k])
        v.model.add(v.row[k] >= weighted(v.pick[k], block))
        v.model.add(v.finish[k] >= v.start[k] + v.time[k])
        v.model.add(v.objective >= v.finish[k])
        if not layer.depends:
            v.model.add(v.finish[k] >= v.row[k] + v.units(problem.load_ns))
        for d in layer.depends:
            ready = v.finish[d] if layer.fully_connected else v.start[d] + first_rows(problem.layers[d]) * v.row[d]
            v.model.add(v.start[k] >= ready)
            v.model.add(v.finish[k] >= v.finish[d] + v.row[k])


def alike_cores_are_ordered(v: Variables) -> None:
    """Groups of the same size are interchangeable: the first is the busiest. Cuts symmetric solutions only."""
    sizes = v.offer.group_cores
    for g in range(1, len(sizes)):
        if sizes[g] == sizes[g - 1] and v.load:
            v.model.add(total([loads[g] for loads in v.load]) <= total([loads[g - 1] for loads in v.load]))


FAMILIES: tuple[Family, ...] = (
    one_configuration_each,
    array_groups_are_placed,
    core_capacity,
    issue_time_of_patterns,
    all_work_is_done,
    cores_bound_the_objective,
    layers_take_time,
    layers_wait_for_their_producers,
    alike_cores_are_ordered,
)


def build(
    offer: Offer, reference_ns: float, horizon_ns: float, *, whole: bool, families: tuple[Family, ...] = FAMILIES
) -> Variables:
    """The model with its objective."""
    v = declare(offer, reference_ns, horizon_ns, whole=whole)
    for add in families:
        add(v)
    v.model.minimize(v.objective)
    return v


def hint(v: Variables, plan: Plan) -> None:
    """Suggest a plan: its configurations, and its patterns."""
    for k, offered in enumerate(v.offer.configurations):
        mine = Configuration(plan.option[k], plan.replication[k])
        for configuration, picked in zip(offered, v.pick[k], strict=True):
            v.model.add_hint(picked, configuration == mine)
    patterns = patterns_of(v.offer, plan)
    for row, counts in zip(patterns or [], v.count if patterns else [], strict=True):
        for n, count in zip(row, counts, strict=True):
            v.model.add_hint(count, n)


def found(v: Variables, solver: mip.Solver) -> Priced | None:
    """The plan of the solver's solution."""
    picked = []
    for offered, picks in zip(v.offer.configurations, v.pick, strict=True):
        taken = [float(solver.value(pick)) for pick in picks]
        picked.append(offered[taken.index(max(taken))])
    return realised(v.offer, picked, [[round(solver.value(n)) for n in row] for row in v.count])
