"""Plans in, figures out: latency, period, energy, crossbars, local memory and area of whole populations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.estimate.calibration import SCALE
from pimcomp.estimate.instruction_costs import Ranges
from pimcomp.estimate.layout import Shares
from pimcomp.estimate.population import (
    BUSIEST_NS,
    CORES,
    DYNAMIC_PJ,
    FIRST_NS,
    PEAK_BYTES,
    SERVED_NS,
    Population,
    Rules,
    population,
)
from pimcomp.estimate.tables import Chip, Network, chip_table, network_of, priced
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Pipeline, Plan
from pimcomp.ir.schedule_options import ScheduleOptions

FloatVector = npt.NDArray[np.float64]


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Estimate:
    """Figures of a population: arrays of one value per plan, as the timeline reports them for the compiled program.

    alone_ns: of one image, if no other is there. latency_ns: of one image; where rounds overlap, so many whole ones as
    the first image takes by itself. period_ns, energy_pj: per image (a round takes `images`). busiest_ns: issue time of
    the busiest core per image. local_memory_bytes: what the busiest core holds if work runs ahead as far as it can;
    beyond the chip's memory the scheduler holds it back, which the times do not contain. crossbars and area_mm2 are the
    chip's.
    """

    images: int
    alone_ns: FloatVector
    latency_ns: FloatVector
    period_ns: FloatVector
    energy_pj: FloatVector
    busiest_ns: FloatVector
    local_memory_bytes: FloatVector
    crossbars_used: npt.NDArray[np.int64]
    cores_used: npt.NDArray[np.int64]
    crossbars: int
    area_mm2: float

    def objective_ns(self, pipeline: Pipeline) -> FloatVector:
        """What the pipeline is judged by."""
        return self.latency_ns if pipeline is Pipeline.ELEMENT else self.period_ns


def population_of(plans: Sequence[Plan]) -> Population:
    """The arrays of plans of one problem; at least one plan."""
    flat = [cores.ravel() for plan in plans for cores in plan.core_of]
    sizes = np.array([len(cores) for cores in flat], dtype=np.int64).reshape(len(plans), -1)
    ends = np.cumsum(sizes).reshape(sizes.shape)
    first = np.concatenate([[0], ends[:-1, -1]]) if sizes.shape[1] else np.zeros(len(plans), np.int64)
    return Population(
        np.array([plan.option for plan in plans], dtype=np.int64),
        np.array([plan.replication for plan in plans], dtype=np.int64),
        np.concatenate([*flat, np.zeros(0, np.int64)]).astype(np.int64),
        np.concatenate([first[:, None], ends], axis=1),
    )


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """A network on a chip, prepared for estimates: make it once, ask often."""

    arch: Arch
    network: Network
    chip: Chip

    @staticmethod
    def of(
        graph: Graph, arch: Arch, partition: Partition, network: Network | None = None, ranges: Ranges | None = None
    ) -> "Estimator":
        """Prepare the graph that was partitioned (after `pimcomp.plan.rewriting.rewrite`).

        network: its `network_of`, where that is at hand from another chip with the same partition. ranges: of the data
        (`proof/calibrate.py`), where they are known.
        """
        network = network_of(graph, partition, ranges or {}) if network is None else network
        return Estimator(arch, priced(network, arch, partition.flat), chip_table(arch))

    def estimate(
        self,
        plans: Sequence[Plan] | Population,
        pipeline: Pipeline,
        options: ScheduleOptions = ScheduleOptions(),  # noqa: B008  frozen
        scale: float | None = None,
    ) -> Estimate:
        """Figures of plans that respect the chip's capacities (not checked here; see `proof/static.py`).

        Of the options only `LOADERS`, `GATHERERS`, `window_columns` and `images_per_round` are looked at. scale: in
        place of the calibrated one.
        """
        plans = plans if isinstance(plans, Population) else population_of(plans)
        one = pipeline is Pipeline.ELEMENT
        images = 1 if one else options.images_per_round
        rules = Rules(options.LOADERS, Shares(options.window_columns, options.GATHERERS))
        raw = population(self.network, self.chip, plans, rules)
        alone_ns = raw[:, FIRST_NS]
        # Rounds overlap where local memory has room for work that runs ahead.
        overlap = (pipeline is Pipeline.BATCH) & (raw[:, PEAK_BYTES] <= self.arch.local_memory_bytes)
        raw_ns = np.where(overlap, np.maximum(raw[:, BUSIEST_NS], raw[:, SERVED_NS]), alone_ns)
        image_ns = raw_ns * (SCALE[pipeline] if scale is None else scale)
        rounds = np.maximum(np.ceil(alone_ns / (raw_ns * images)), 1)  # until an image's results show
        static_mw = raw[:, CORES] * self.chip.core_static_mw + self.chip.chip_static_mw
        return Estimate(
            images=images,
            alone_ns=alone_ns * (SCALE[pipeline] if scale is None else scale),
            latency_ns=image_ns * images * rounds,
            period_ns=image_ns,
            energy_pj=raw[:, DYNAMIC_PJ] + static_mw * image_ns,
            busiest_ns=raw[:, BUSIEST_NS],
            local_memory_bytes=raw[:, PEAK_BYTES],
            crossbars_used=self._crossbars(plans),
            cores_used=raw[:, CORES].astype(np.int64),
            crossbars=self.arch.crossbars,
            area_mm2=self.arch.area_mm2,
        )

    def _crossbars(self, plans: Population) -> npt.NDArray[np.int64]:
        chosen = self.network.option_start[:-1] + plans.option
        return np.asarray((self.network.option_crossbars[chosen] * plans.replication).sum(axis=1), dtype=np.int64)
