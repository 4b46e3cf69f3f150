"""The joint model of replication, unfolding and core mapping for CP-SAT: integer counts per group of alike cores.

What is offered, and how cores are grouped so that integer counts suffice: exact/patterns.py.
Times are integers in units of `unit_ns`, rounded down, so that rounding never lifts a bound.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ortools.sat.python import cp_model

from pimcomp.ir.plan import Pipeline
from pimcomp.plan.cost import firing_ns, first_rows
from solvers.exact.patterns import Offer


@dataclass(frozen=True, slots=True, eq=False)
class Variables:
    """pick[k][i]: layer k takes configuration i. count[c][g]: array groups of class c on each core of group g.

    load[k][g]: issue time of layer k on each core of group g. time[k]: of the layer's busiest core or array group.
    row[k]: of one of its rows.
    objective: period or latency. start, finish: per layer, element pipeline only.
    """

    offer: Offer
    model: cp_model.CpModel
    pick: list[list[cp_model.IntVar]]
    count: list[list[cp_model.IntVar]]
    load: list[list[cp_model.IntVar]]
    time: list[cp_model.IntVar]
    row: list[cp_model.IntVar]
    start: list[cp_model.IntVar]
    finish: list[cp_model.IntVar]
    objective: cp_model.IntVar


Family = Callable[[Variables], None]


def declare(offer: Offer, horizon_ns: float) -> Variables:
    """All variables, no constraints. `horizon_ns`: an objective that some plan attains."""
    problem, model = offer.problem, cp_model.CpModel()
    horizon = offer.units(horizon_ns) + 1
    cores = range(len(offer.group_cores))
    pick = [
        [model.new_bool_var(f"pick[{layer.name},{c.option},{c.replication}]") for c in offered]
        for layer, offered in zip(problem.layers, offer.configurations, strict=True)
    ]
    count = [
        [
            model.new_int_var(0, problem.crossbars_per_core // c.crossbars, f"count[{c.layer},{c.option},{g}]")
            for g in cores
        ]
        for c in offer.classes
    ]
    names = [layer.name for layer in problem.layers]
    load_top = horizon * problem.rob_size
    return Variables(
        offer,
        model,
        pick,
        count,
        [[model.new_int_var(0, load_top, f"load[{name},{g}]") for g in cores] for name in names],
        [model.new_int_var(0, horizon, f"time[{name}]") for name in names],
        [model.new_int_var(0, horizon, f"row[{name}]") for name in names],
        [model.new_int_var(0, horizon, f"start[{name}]") for name in names],
        [model.new_int_var(0, horizon, f"finish[{name}]") for name in names],
        model.new_int_var(0, horizon, "objective"),
    )


def one_configuration_each(v: Variables) -> None:
    """Every layer takes exactly one of its offered configurations."""
    for offered in v.pick:
        v.model.add_exactly_one(offered)


def array_groups_are_placed(v: Variables) -> None:
    """The patterns have room for all array groups of the configurations taken."""
    for alike, counts in zip(v.offer.classes, v.count, strict=True):
        places = sum(n * size for n, size in zip(counts, v.offer.group_cores, strict=True))
        for configuration, picked in zip(v.offer.configurations[alike.layer], v.pick[alike.layer], strict=True):
            if configuration.option == alike.option:
                v.model.add(places >= configuration.replication * len(alike.members)).only_enforce_if(picked)


def core_capacity(v: Variables) -> None:
    """A core's pattern takes no more crossbars than it has."""
    for g in range(len(v.offer.group_cores)):
        used = sum(alike.crossbars * counts[g] for alike, counts in zip(v.offer.classes, v.count, strict=True))
        v.model.add(used <= v.offer.problem.crossbars_per_core)


def issue_time_of_patterns(v: Variables) -> None:
    """A layer's load on a core is that of its array groups there, each firing at least its even share, rounded down."""
    for k, layer in enumerate(v.offer.problem.layers):
        for configuration, picked in zip(v.offer.configurations[k], v.pick[k], strict=True):
            blocks = layer.options[configuration.option].firings // configuration.replication
            for g in range(len(v.offer.group_cores)):
                issue = sum(
                    v.offer.units(blocks * alike.firing_ns) * counts[g]
                    for alike, counts in zip(v.offer.classes, v.count, strict=True)
                    if (alike.layer, alike.option) == (k, configuration.option)
                )
                v.model.add(v.load[k][g] >= issue).only_enforce_if(picked)


def all_work_is_done(v: Variables) -> None:
    """Over all cores, a layer's load is its whole work, and the objective covers the even share of all, and loading."""
    problem, works = v.offer.problem, []
    for k, layer in enumerate(problem.layers):
        work = sum(
            v.offer.units(layer.options[c.option].work_ns) * picked
            for c, picked in zip(v.offer.configurations[k], v.pick[k], strict=True)
        )
        v.model.add(sum(n * size for n, size in zip(v.load[k], v.offer.group_cores, strict=True)) >= work)
        works.append(work)
    slots = problem.cores * problem.rob_size
    v.model.add(slots * v.objective >= sum(works) + v.offer.units(problem.vector_work_ns))
    v.model.add(v.objective >= v.offer.units(problem.load_ns))


def cores_bound_the_objective(v: Variables) -> None:
    """The objective covers the busiest core."""
    for g in range(len(v.offer.group_cores)):
        v.model.add(v.offer.problem.rob_size * v.objective >= sum(loads[g] for loads in v.load))


def layers_take_time(v: Variables) -> None:
    """A layer takes as long as its busiest core, and as its busiest array group, which fires block after block."""
    for k, layer in enumerate(v.offer.problem.layers):
        for load in v.load[k]:
            v.model.add(v.offer.problem.rob_size * v.time[k] >= load)
        for c, picked in zip(v.offer.configurations[k], v.pick[k], strict=True):
            option = layer.options[c.option]
            busiest = -(-option.firings // c.replication) * float(firing_ns(option).max())
            v.model.add(v.time[k] >= v.offer.units(busiest)).only_enforce_if(picked)
        v.model.add(v.objective >= v.time[k])


def layers_wait_for_their_producers(v: Variables) -> None:
    """Element pipeline: the latency of pimcomp.plan.cost.chain_ns."""
    if v.offer.problem.pipeline is not Pipeline.ELEMENT:
        return
    layers = v.offer.problem.layers
    for k, layer in enumerate(layers):
        v.model.add(layer.out_height * v.row[k] >= v.time[k])
        for c, picked in zip(v.offer.configurations[k], v.pick[k], strict=True):
            block = float(firing_ns(layer.options[c.option]).max()) / v.offer.problem.rob_size
            v.model.add(v.row[k] >= v.offer.units(block)).only_enforce_if(picked)
        v.model.add(v.finish[k] >= v.start[k] + v.time[k])
        if not layer.depends:
            v.model.add(v.finish[k] >= v.row[k] + v.offer.units(v.offer.problem.load_ns))
        v.model.add(v.objective >= v.finish[k])
        for d in layer.depends:
            if layer.fully_connected:
                v.model.add(v.start[k] >= v.finish[d])
            else:
                v.model.add(v.start[k] >= v.start[d] + first_rows(layers[d]) * v.row[d])
            v.model.add(v.finish[k] >= v.finish[d] + v.row[k])


def alike_cores_are_ordered(v: Variables) -> None:
    """Groups of the same size are interchangeable: the first is the busiest. Cuts symmetric solutions only."""
    sizes = v.offer.group_cores
    for g in range(1, len(sizes)):
        if sizes[g] == sizes[g - 1]:
            v.model.add(sum(loads[g] for loads in v.load) <= sum(loads[g - 1] for loads in v.load))


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


def build(offer: Offer, horizon_ns: float, families: tuple[Family, ...] = FAMILIES) -> Variables:
    """The model with its objective."""
    v = declare(offer, horizon_ns)
    for add in families:
        add(v)
    v.model.minimize(v.objective)
    return v
