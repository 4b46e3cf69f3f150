"""What the execution of a candidate's program showed, and what its plan looks like inside."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreUse:
    """One core: crossbars it holds, its share of the latency at work, its layer with the most crossbars (-1: none)."""

    crossbars: int
    busy: float
    layer: int


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The verdict on a candidate's program for one network, and where its plan puts what.

    error: largest difference from onnxruntime, as a share of the output's range; None if there is nothing to compare.
    mesh: (rows, columns) of one chip.
    executed: whether there is a verdict; if not, `reason` says what prevented it, and passed is false.
    """

    network: str
    passed: bool
    images: int
    error: float | None
    reason: str
    layers: tuple[LayerUse, ...]
    cores: tuple[CoreUse, ...]
    mesh: tuple[int, int]
    chips: int
    crossbars_per_core: int
    executed: bool = True

    @property
    def wrong(self) -> bool:
        """Whether the program ran and something was not right."""
        return self.executed and not self.passed

    @property
    def verdict(self) -> str:
        """One line for tables."""
        if not self.executed:
            return f"not executed: {self.reason}"
        if not self.passed:
            return f"mismatch: {self.reason}"
        return f"verified: {self.images} images, every output equals onnxruntime"

    def to_json(self) -> dict[str, object]:
        """Plain values for the study."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Proof":
        """The inverse of `to_json`."""
        return Proof(
            **{
                **data,
                "layers": tuple(LayerUse(**layer) for layer in data["layers"]),
                "cores": tuple(CoreUse(**core) for core in data["cores"]),
                "mesh": tuple(data["mesh"]),
            }
        )


def layers_of(compiled: Compiled) -> tuple[LayerUse, ...]:
    """The layers of a compile, in network order."""
    plan, uses = compiled.plan, []
    for k, layer in enumerate(compiled.problem.layers):
        option, replication = layer.options[plan.option[k]], plan.replication[k]
        unfolding = option.unfolding
        uses.append(
            LayerUse(
                name=layer.name,
                unfolding=f"scatter {unfolding.scatter}" if unfolding.scatter else f"block {unfolding.block}",
                replication=replication,
                firings=-(-option.firings // replication),
                crossbars=replication * option.crossbars,
                cores=len(np.unique(plan.core_of[k])),
            )
        )
    return tuple(uses)


def cores_of(compiled: Compiled) -> tuple[CoreUse, ...]:
    """The cores of a compile, by number."""
    plan, problem, timing = compiled.plan, compiled.problem, compiled.timing
    held = np.zeros((problem.cores, len(problem.layers)), np.int64)
    for k, layer in enumerate(problem.layers):
        sizes = layer.options[plan.option[k]].ag_crossbars
        np.add.at(held[:, k], plan.core_of[k], np.broadcast_to(sizes, plan.core_of[k].shape))
    busy = timing.busy_ns / timing.latency_ns
    return tuple(
        CoreUse(crossbars=int(row.sum()), busy=round(float(busy[c]), 4), layer=int(row.argmax()) if row.any() else -1)
        for c, row in enumerate(held)
    )
