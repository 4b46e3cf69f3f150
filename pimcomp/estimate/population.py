"""The estimate of many plans: one pass over each, all in one kernel."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.estimate.layout import Assignment, Shares, place
from pimcomp.estimate.streaming import BUCKETS_PER_LOAD, busiest_ns, stream, strips_of
from pimcomp.estimate.tables import Chip, Network
from pimcomp.estimate.work import work_of
from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import LongArray

FIRST_NS, SERVED_NS, PEAK_BYTES, DYNAMIC_PJ, CORES, BUSIEST_NS = range(6)


class Population(NamedTuple):
    """Plans of one problem: option, replication int64[plans, layers]; the cores of all array groups one after the
    other, and where each layer's begin (int64[plans, layers + 1])."""

    option: LongArray
    replication: LongArray
    core_of: LongArray
    core_start: LongArray


class Rules(NamedTuple):
    """What the scheduler does with any plan: cores that load the input, and how nodes are shared out."""

    loaders: int
    shares: Shares


@kernel
def population(net: Network, chip: Chip, plans: Population, rules: Rules) -> npt.NDArray[np.float64]:
    """float64[plans, 6]: time of an image with the chip to itself, its time at the global memory, peak bytes, dynamic
    energy per image, cores, busiest core's ns."""
    out = np.zeros((len(plans.option), 6))
    for p in range(len(plans.option)):
        first, last = plans.core_start[p, 0], plans.core_start[p, -1]
        starts = plans.core_start[p] - first
        plan = Assignment(plans.option[p], plans.replication[p], plans.core_of[first:last], starts)
        layout = place(net, chip.cores, plan, rules.loaders, rules.shares)
        work = work_of(net, chip, plan, layout)
        strips = strips_of(net, layout)
        busiest = busiest_ns(net, layout, work, chip.cores)
        bucket_ns = max(busiest, 1.0) / BUCKETS_PER_LOAD
        out[p, FIRST_NS], out[p, SERVED_NS], out[p, PEAK_BYTES] = stream(
            net, chip.cores, layout, work, strips, bucket_ns
        )
        out[p, DYNAMIC_PJ], out[p, CORES], out[p, BUSIEST_NS] = work.dynamic_pj, work.cores, busiest
    return out
