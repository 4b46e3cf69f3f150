"""Bits of single layers, as few as a loss of accuracy allows: the search behind `pimdse precision`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from pimcomp.errors import ConfigError
from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Unfolding
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.precision import Precision
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.partition import unfold
from pimcomp.plan.precision import LEAST_BITS, activation_bits_of, check_weight_bits, with_precision
from pimcomp.plan.rewriting.merge_siblings import sibling_families
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.proof.trained import LabelledImages
from solvers import get_solver
from spaces.accuracy import crossbars_of, execute_on
from spaces.evaluate import planned
from spaces.space import Point

Bits = tuple[Precision, ...]  # of every layer, in graph order
Unit = tuple[int, ...]  # layers with equal bits: siblings are one matrix on the crossbars, any other is alone
Kind = str  # a field of `Precision`
_ROUNDING = 1e-9
_LEAST_SAVING = 1e-3  # of an estimate, that a step is worth measuring for
_STRIDES = 4  # steps from all bits of an activation to the fewest, at least
_POINT = Point(parameters=(), solver="stream", pipeline=Pipeline.ELEMENT)


class Goal(StrEnum):
    """What there shall be less of: crossbars of one copy, or energy or latency of an image as estimated of a plan."""

    CROSSBARS = "crossbars"
    ENERGY = "energy"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowedLayer:
    """A layer, or siblings as one: its bits now, and crossbars of one copy, before and after.

    accuracy_alone: of the network where only this one has a step fewer bits of that kind; of kinds where that saves
    anything.
    """

    name: str
    weight_bits: int
    activation_bits: int
    crossbars_before: int
    crossbars: int
    accuracy_alone: dict[Kind, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What was found: bits by layer, of weights of all layers before; the goal's figure (crossbars, pJ or ns),
    crossbars of one copy and accuracy, before and after.

    Accuracy is top-1 in percent, or without test images the outputs' signal to noise in dB. measurements: how often the
    network was executed.
    """

    precision: dict[str, Precision]
    bits_before: int
    layers: tuple[NarrowedLayer, ...]
    goal: Goal
    goal_before: float
    goal_after: float
    crossbars_before: int
    crossbars: int
    accuracy_before: float
    accuracy: float
    measurements: int


class _Trials:
    """A network with other bits: its figures and accuracy, each found once. Siblings are merged as in programs."""

    def __init__(
        self,
        network: LoadedNetwork,
        known: LabelledImages | None,
        arch: Arch,
        goal: Goal,
        observe: Callable[[str, object], None],
    ) -> None:
        graph = network.graph
        self.names = tuple(graph.nodes[node].name for node in graph.weighted())
        self.number, self._arch, self.goal = 0, arch, goal
        executed, solver = crossbars_of(arch, narrow=True), get_solver(_POINT.solver)

        def graph_of(bits: Bits) -> Graph:
            return with_precision(graph, dict(zip(self.names, bits, strict=True)), arch)

        @cache
        def crossbars(bits: Bits) -> dict[str, int]:
            merged = rewrite(graph_of(bits), arch, ScheduleOptions())
            matrices = (unfold(merged, node, arch, Unfolding(1)) for node in merged.weighted())
            return {merged.nodes[m.node].name: sum(group.crossbars for group in m.groups) for m in matrices}

        @cache
        def cost(bits: Bits) -> float:
            if goal is Goal.CROSSBARS:
                return self.total(bits)
            figures = planned(graph_of(bits))(arch, _POINT, solver)
            return figures.energy_pj if goal is Goal.ENERGY else figures.latency_ns

        @cache
        def accuracy(bits: Bits) -> float:
            found = execute_on(replace(network, graph=graph_of(bits)), known, executed)
            self.number += 1
            observe(f"measurement {self.number}: {goal} {cost(bits):,.0f}, accuracy {found:.2f}", found)
            return found

        self.crossbars, self.cost, self.accuracy = crossbars, cost, accuracy

    def total(self, bits: Bits) -> int:
        """Crossbars of one copy of the network."""
        return sum(self.crossbars(bits).values())

    def step(self, bits: Bits, unit: Unit, kind: Kind) -> Bits | None:
        """The most bits for a unit with which the network is nearer to the goal."""
        least = 0.0 if self.goal is Goal.CROSSBARS else _LEAST_SAVING
        for narrower in self._narrower(bits[unit[0]], kind):
            changed = _with(bits, unit, narrower)
            if self.cost(changed) < (1 - least) * self.cost(bits):
                return changed
        return None

    def _narrower(self, own: Precision, kind: Kind) -> list[Precision]:
        if kind == "weight_bits":
            cell = self._arch.cell_bits
            fewer = range((own.weight_bits - 1) // cell * cell, LEAST_BITS - 1, -cell)
            return [own._replace(weight_bits=bits) for bits in fewer]
        allowed = activation_bits_of(self._arch)
        place = allowed.index(own.activation_bits)
        nearest = max(place - max(len(allowed) // _STRIDES, 1), 0)
        fewer = allowed[nearest::-1] if place else range(0)
        return [own._replace(activation_bits=bits) for bits in fewer]


def narrow(
    network: LoadedNetwork,
    known: LabelledImages | None,
    arch: Arch,
    *,
    max_loss: float,
    goal: Goal = Goal.CROSSBARS,
    start_bits: int | None = None,
    observe: Callable[[str, object], None] = lambda stage, result: None,
) -> Narrowed:
    """Narrow weights and activations of layers step by step, as long as the network loses at most max_loss of its
    accuracy.

    A round measures every layer with a step fewer bits of either kind than now and takes these steps in the order of
    accuracy lost per saving; a step that costs too much, with all those taken before, is undone, and its layer keeps
    these bits. Steps are those that bring the network nearer to its goal.
    max_loss: points of top-1, or dB. start_bits: of all layers' weights at first; None: the chip's.

    Raises ConfigError where there is nothing to narrow, CapacityError where energy or latency are the goal and the chip
    does not hold the network.
    """
    if not (math.isfinite(max_loss) and max_loss >= 0):
        raise ConfigError("--max-loss", f"expected a number from 0 on, found {max_loss}")
    if start_bits is not None:
        check_weight_bits("--bits", start_bits, arch)
    trials, units = _Trials(network, known, arch, goal, observe), _units(network.graph)
    start: Bits = (Precision(start_bits or arch.weight_bits, arch.activation_bits),) * len(trials.names)
    kinds = [(unit, kind) for unit in units for kind in Precision._fields]
    first = {key: step for key in kinds if (step := trials.step(start, *key))}
    if not first:
        raise ConfigError(
            network.graph.name,
            f"no layer saves {goal} on {arch.name} with fewer than {start[0].weight_bits} bits per weight "
            f"and {arch.activation_bits} per activation ({trials.total(start)} crossbars, {arch.cell_bits} bits per "
            "cell): nothing to narrow",
        )
    least, now, steps = trials.accuracy(start) - max_loss - _ROUNDING, start, first
    while steps:
        lost = {
            key: (trials.accuracy(now) - trials.accuracy(step)) / (trials.cost(now) - trials.cost(step))
            for key, step in steps.items()
        }
        taken = []
        for unit, kind in sorted(steps, key=lost.__getitem__):
            alone, own = steps[unit, kind], now[unit[0]]
            narrower = _with(now, unit, own._replace(**{kind: getattr(alone[unit[0]], kind)}))
            if trials.accuracy(alone) >= least and trials.accuracy(narrower) >= least:
                now = narrower
                taken.append((unit, kind))
        steps = {key: step for key in taken if (step := trials.step(now, *key))}
    return _narrowed(trials, units, start, first, now)


def _units(graph: Graph) -> list[Unit]:
    """All layers, siblings together, in the order of the graph."""
    position = {node: k for k, node in enumerate(graph.weighted())}
    family = {node: family for family in sibling_families(graph) for node in family}
    return list(dict.fromkeys(tuple(position[n] for n in family.get(node, (node,))) for node in position))


def _with(bits: Bits, unit: Unit, narrower: Precision) -> Bits:
    return tuple(narrower if k in unit else b for k, b in enumerate(bits))


def _narrowed(
    trials: _Trials, units: list[Unit], start: Bits, first: dict[tuple[Unit, Kind], Bits], now: Bits
) -> Narrowed:
    before, after = trials.crossbars(start), trials.crossbars(now)
    layers = []
    for unit in units:
        name = " + ".join(trials.names[k] for k in unit)
        alone = {kind: trials.accuracy(step) for (own, kind), step in first.items() if own == unit}
        layers.append(
            NarrowedLayer(
                name=name, **now[unit[0]]._asdict(), crossbars_before=before.get(name, 0),
                crossbars=after.get(name, 0), accuracy_alone=alone,
            )
        )  # fmt: skip
    whole = start[0].activation_bits
    found = [own._replace(activation_bits=own.activation_bits % whole) for own in now]  # 0: the chip's
    return Narrowed(
        precision=dict(zip(trials.names, found, strict=True)),
        bits_before=start[0].weight_bits,
        layers=tuple(layers),
        goal=trials.goal,
        goal_before=trials.cost(start),
        goal_after=trials.cost(now),
        crossbars_before=trials.total(start),
        crossbars=trials.total(now),
        accuracy_before=trials.accuracy(start),
        accuracy=trials.accuracy(now),
        measurements=trials.number,
    )
