"""Predicted figures of one program, in the units of the reports."""

from dataclasses import dataclass
from typing import NamedTuple

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


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Figures:
    """What a program takes: one meaning of these names in every file and command (docs/file-formats.md).

    timing, energy: of one pass, in which images_per_round images pass; the properties are of one image.
    output_round_delay: rounds after which a round's outputs appear. energy_not_counted: contributors without figures in
    the chip's description.
    """

    timing: Timing
    energy: Energy
    images_per_round: int = 1
    output_round_delay: int = 0
    energy_not_counted: tuple[str, ...] = ()

    @property
    def latency_ns(self) -> float:
        """From an image's first input byte to its last output byte: one pass, and the rounds until its outputs show."""
        return self.timing.latency_ns + self.output_round_delay * self.timing.period_ns_per_round

    @property
    def period_ns(self) -> float:
        """Time per image in steady state."""
        return self.timing.period_ns_per_round / self.images_per_round

    @property
    def throughput_per_s(self) -> float:
        """Images per second in steady state; 0 for a program that takes no time."""
        per_round_ns = self.timing.period_ns_per_round
        return self.images_per_round * 1e9 / per_round_ns if per_round_ns else 0.0

    @property
    def energy_pj(self) -> float:
        """Energy per image, static power over one pass included."""
        return self.energy.total_pj / self.images_per_round

    @property
    def energy_by_pj(self) -> dict[str, float]:
        """The same by contributor."""
        names = (name for name in self.energy.__dataclass_fields__ if name != "total_pj")
        return {name.removesuffix("_pj"): float(getattr(self.energy, name)) / self.images_per_round for name in names}

    @property
    def avg_power_mw(self) -> float:
        """Average power over one pass (1 pJ/ns = 1 mW)."""
        return self.energy.total_pj / self.timing.latency_ns if self.timing.latency_ns else 0.0


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


class OrderBounds(NamedTuple):
    """What no order of a program's own actions can beat, wherever their buffers lie: the latency of one image, and the
    time per image. Actions: what the program computes, sends, loads and stores where; what spilling adds is left out.
    """

    latency_ns: float
    period_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lower bounds of one image and what they are made of, in ns."""

    latency_ns: float
    period_ns: float
    load_ns: float
    work_ns: float
    shortest_chain_ns: float
    longest_chain_ns: float
