"""What a design looks like from inside: which layer has what, and what every core holds and does."""

from dataclasses import dataclass, field

import numpy as np

from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled
from pimcomp.plan.partition import conv_of
from pimcomp.timeline.energy import mvm_stages_pj


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """One weighted layer of a plan.

    unfolding: output positions (block) or input pixels (scatter) per MVM. firings: MVMs of each array group of the
    busiest replica for one image. cores: how many hold a part of it.
    """

    name: str
    unfolding: str
    replication: int
    firings: int
    crossbars: int
    cores: int


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A network's layers in their order, and what every core does.

    core_crossbars: it holds. core_busy: its share of the latency at work. core_layer: with most of its crossbars, -1 if
    it holds none. mesh: (rows, columns) of one chip. area_mm2, energy_pj: of the chip and of one image, by component.
    accuracy_by: what decides it, in words. lossless: whether an MVM gives exact products of integers.
    """

    network: str
    mesh: tuple[int, int]
    chips: int
    crossbars_per_core: int
    layers: tuple[LayerUse, ...]
    core_crossbars: tuple[int, ...]
    core_busy: tuple[float, ...]
    core_layer: tuple[int, ...]
    accuracy_by: dict[str, str] = field(default_factory=dict)
    lossless: bool = False
    area_mm2: dict[str, float] = field(default_factory=dict)
    energy_pj: dict[str, float] = field(default_factory=dict)


def inside_of(compiled: Compiled, network: str) -> Inside:
    """A compile from inside."""
    plan, problem, timing, arch = compiled.plan, compiled.problem, compiled.timing, compiled.arch
    held = np.zeros((problem.cores, len(problem.layers)), np.int64)
    layers = []
    for k, layer in enumerate(problem.layers):
        option, replication = layer.options[plan.option[k]], plan.replication[k]
        np.add.at(held[:, k], plan.core_of[k], np.broadcast_to(option.ag_crossbars, plan.core_of[k].shape))
        unfolding = option.unfolding
        layers.append(
            LayerUse(
                name=layer.name,
                unfolding=f"scatter {unfolding.scatter}" if unfolding.scatter else f"block {unfolding.block}",
                replication=replication,
                firings=-(-option.firings // replication),
                crossbars=replication * option.crossbars,
                cores=len(np.unique(plan.core_of[k])),
            )
        )
    busy = timing.busy_ns / timing.latency_ns
    return Inside(
        network=network,
        mesh=arch.mesh,
        chips=arch.chips,
        crossbars_per_core=arch.crossbars_per_core,
        layers=tuple(layers),
        core_crossbars=tuple(map(int, held.sum(axis=1))),
        core_busy=tuple(round(float(share), 3) for share in busy),
        core_layer=tuple(int(row.argmax()) if row.any() else -1 for row in held),
        accuracy_by=_accuracy_by(compiled),
        lossless=arch.is_lossless,
        area_mm2=arch.area_by_mm2,
        energy_pj=_energy_by(compiled),
    )


def _accuracy_by(compiled: Compiled) -> dict[str, str]:
    """What the accuracy of a network on its chip rests on."""
    arch, graph = compiled.arch, compiled.graph
    given = [conv_of(graph.nodes[node]).precision for node in graph.weighted()]
    weights = _range({own.weight_bits or arch.weight_bits for own in given})
    activations = _range({own.activation_bits or arch.activation_bits for own in given})
    needed = f"of {arch.adc_bits_needed} needed by {arch.dac_count} rows at a time"
    wrong = f"noise {100 * arch.cell_noise:g} %, {100 * arch.stuck_cells:g} % stuck"
    return {
        "weights": f"{weights}, {arch.cell_bits} per cell",
        "activations": f"{activations}, {arch.dac_bits} at a time",
        "converters": "ideal" if arch.adc_mode == "ideal" else f"{arch.adc_resolution} bits {needed}",
        "cells": wrong if arch.cell_noise or arch.stuck_cells else "as written",
    }


def _range(bits: set[int]) -> str:
    return f"{min(bits)} bits" if len(bits) == 1 else f"{min(bits)} to {max(bits)} bits by layer"


def _energy_by(compiled: Compiled) -> dict[str, float]:
    """Energy of one image by component: that of the MVMs by the stages of a read."""
    parts, stages = compiled.energy_by_pj, mvm_stages_pj(compiled.arch)
    mvm_pj, read_pj = parts.pop("mvm"), sum(stages.values())
    reads = {name: mvm_pj * stage / read_pj for name, stage in stages.items() if stage}
    return {name: pj for name, pj in (reads | parts).items() if pj}
