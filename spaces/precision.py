"""Bits of single layers' weights, as few as a loss of accuracy allows: the search behind `pimdse precision`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from pimcomp.errors import ConfigError
from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Unfolding
from pimcomp.ir.graph import Graph
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.merge_siblings import sibling_families
from pimcomp.plan.partition import unfold
from pimcomp.plan.precision import LEAST_BITS, check_weight_bits, with_precision
from pimcomp.plan.rewrite import rewrite
from pimcomp.proof.trained import LabelledImages
from spaces.accuracy import crossbars_of, execute_on

Bits = tuple[int, ...]  # of the weights of every layer, in graph order
Unit = tuple[int, ...]  # layers with equal bits: siblings are one matrix on the crossbars, any other is alone
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowedLayer:
    """A layer, or siblings as one: bits of a weight now, and crossbars of one copy, before and after.

    accuracy_alone: of the network where only this one is a step narrower; None where no step saves crossbars.
    """

    name: str
    bits: int
    crossbars_before: int
    crossbars: int
    accuracy_alone: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What was found: weight bits by layer, of all layers before; crossbars of one copy and accuracy, before and after.

    Accuracy is top-1 in percent, or without test images the outputs' signal to noise in dB. measurements: how often the
    network was executed.
    """

    weight_bits: dict[str, int]
    bits_before: int
    layers: tuple[NarrowedLayer, ...]
    crossbars_before: int
    crossbars: int
    accuracy_before: float
    accuracy: float
    measurements: int


class _Trials:
    """A network with other bits: its crossbars and accuracy, each found once. Siblings are merged as in programs."""

    def __init__(
        self, network: LoadedNetwork, known: LabelledImages | None, arch: Arch, observe: Callable[[str, object], None]
    ) -> None:
        graph = network.graph
        self.names = tuple(graph.nodes[node].name for node in graph.weighted())
        self.number = 0
        executed = crossbars_of(arch, narrow=True)

        def graph_of(bits: Bits) -> Graph:
            return with_precision(graph, dict(zip(self.names, bits, strict=True)), arch)

        @cache
        def crossbars(bits: Bits) -> dict[str, int]:
            merged = rewrite(graph_of(bits), arch, ScheduleOptions())
            matrices = (unfold(merged, node, arch, Unfolding(1)) for node in merged.weighted())
            return {merged.nodes[m.node].name: sum(group.crossbars for group in m.groups) for m in matrices}

        @cache
        def accuracy(bits: Bits) -> float:
            found = execute_on(replace(network, graph=graph_of(bits)), known, executed)
            self.number += 1
            observe(f"measurement {self.number}: {self.total(bits):,} crossbars, {found:.2f}", found)
            return found

        self.crossbars, self.accuracy = crossbars, accuracy

    def total(self, bits: Bits) -> int:
        """Crossbars of one copy of the network."""
        return sum(self.crossbars(bits).values())

    def step(self, bits: Bits, unit: Unit, cell_bits: int) -> Bits | None:
        """The most bits for a unit with which the network takes fewer crossbars."""
        for narrower in range((bits[unit[0]] - 1) // cell_bits * cell_bits, LEAST_BITS - 1, -cell_bits):
            changed = _with(bits, unit, narrower)
            if self.total(changed) < self.total(bits):
                return changed
        return None


def narrow(
    network: LoadedNetwork,
    known: LabelledImages | None,
    arch: Arch,
    *,
    max_loss: float,
    start_bits: int | None = None,
    observe: Callable[[str, object], None] = lambda stage, result: None,
) -> Narrowed:
    """Narrow layers step by step, by whole cells, as long as the network loses at most max_loss of its accuracy.

    A round measures every layer one step narrower than now and takes these steps in the order of accuracy lost per
    crossbar saved; a step that costs too much, with all those taken before, is undone, and its layer stays as it is.
    max_loss: points of top-1, or dB. start_bits: of all layers at first; None: the chip's.

    Raises ConfigError where there is nothing to narrow.
    """
    if not (math.isfinite(max_loss) and max_loss >= 0):
        raise ConfigError("--max-loss", f"expected a number from 0 on, found {max_loss}")
    if start_bits is not None:
        check_weight_bits("--bits", start_bits, arch)
    trials, units = _Trials(network, known, arch, observe), _units(network.graph)
    start: Bits = (start_bits or arch.weight_bits,) * len(trials.names)
    first = {unit: step for unit in units if (step := trials.step(start, unit, arch.cell_bits))}
    if not first:
        raise ConfigError(
            network.graph.name,
            f"no layer takes fewer crossbars of {arch.name} with fewer than {start_bits or arch.weight_bits} bits per "
            f"weight ({trials.total(start)} crossbars, {arch.cell_bits} bits per cell): nothing to narrow",
        )
    least, now, steps = trials.accuracy(start) - max_loss - _ROUNDING, start, first
    while steps:
        lost = {
            unit: (trials.accuracy(now) - trials.accuracy(step)) / (trials.total(now) - trials.total(step))
            for unit, step in steps.items()
        }
        taken = []
        for unit in sorted(steps, key=lost.__getitem__):
            narrower = _with(now, unit, steps[unit][unit[0]])
            if trials.accuracy(steps[unit]) >= least and trials.accuracy(narrower) >= least:
                now = narrower
                taken.append(unit)
        steps = {unit: step for unit in taken if (step := trials.step(now, unit, arch.cell_bits))}
    return _narrowed(trials, units, start, first, now)


def _units(graph: Graph) -> list[Unit]:
    """All layers, siblings together, in the order of the graph."""
    position = {node: k for k, node in enumerate(graph.weighted())}
    family = {node: family for family in sibling_families(graph) for node in family}
    return list(dict.fromkeys(tuple(position[n] for n in family.get(node, (node,))) for node in position))


def _with(bits: Bits, unit: Unit, narrower: int) -> Bits:
    return tuple(narrower if k in unit else b for k, b in enumerate(bits))


def _narrowed(trials: _Trials, units: list[Unit], start: Bits, first: dict[Unit, Bits], now: Bits) -> Narrowed:
    before, after = trials.crossbars(start), trials.crossbars(now)
    layers = []
    for unit in units:
        name = " + ".join(trials.names[k] for k in unit)
        alone = trials.accuracy(first[unit]) if unit in first else None
        layers.append(
            NarrowedLayer(
                name=name, bits=now[unit[0]], crossbars_before=before.get(name, 0), crossbars=after.get(name, 0),
                accuracy_alone=alone,
            )
        )  # fmt: skip
    return Narrowed(
        weight_bits=dict(zip(trials.names, now, strict=True)),
        bits_before=start[0],
        layers=tuple(layers),
        crossbars_before=trials.total(start),
        crossbars=trials.total(now),
        accuracy_before=trials.accuracy(start),
        accuracy=trials.accuracy(now),
        measurements=trials.number,
    )
