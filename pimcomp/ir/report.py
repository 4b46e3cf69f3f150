"""Predicted figures of one program, in the units of the reports."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.brief import brief


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Timing:
    """What the simulator would report for one pass (`latency_ns`) and in steady state, per round of images.

    Per core, float64[cores]: finish_ns when its last instruction retires, busy_ns its own work without waiting.
    """

    latency_ns: float
    period_ns_per_round: float
    finish_ns: npt.NDArray[np.float64]
    busy_ns: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of one pass, by contributor, in pJ; total includes static power over `latency_ns`."""

    total_pj: float
    mvm_pj: float
    local_memory_pj: float
    global_memory_pj: float
    vector_pj: float
    noc_pj: float
    static_pj: float
    front_end_pj: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEnergy:
    """Energy of one pass that the instructions of one graph node cause, by contributor, in pJ.

    node: index in the graph, -1 (layer "") for instructions of no node. layer: the node's name.
    """

    node: int
    layer: str
    mvm_pj: float
    local_memory_pj: float
    global_memory_pj: float
    vector_pj: float
    noc_pj: float
    front_end_pj: float

    @property
    def dynamic_pj(self) -> float:
        """All of it; static power belongs to no layer."""
        return (
            self.mvm_pj
            + self.local_memory_pj
            + self.global_memory_pj
            + self.vector_pj
            + self.noc_pj
            + self.front_end_pj
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lower bounds of one image and what they are made of, in ns."""

    latency_ns: float
    period_ns: float
    load_ns: float
    work_ns: float
    shortest_chain_ns: float
    longest_chain_ns: float
