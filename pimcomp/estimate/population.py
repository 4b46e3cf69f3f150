"""The estimate of many plans: one pass over each, all in one kernel."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.estimate.layout import Assignment, place
from pimcomp.estimate.streaming import BUCKETS_PER_LOAD, busiest_ns, stream, strips_of
from pimcomp.estimate.tables import Chip, Network
from pimcomp.estimate.work import work_of
from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import LongArray

IMAGE_NS, FIRST_NS, PEAK_BYTES, DYNAMIC_PJ, CORES, BUSIEST_NS = range(6)


class Population(NamedTuple):
    """Plans of one problem: option, replication int64[plans, layers]; the cores of all array groups one after the
    other, and where each layer's begin (int64[plans, layers + 1])."""

    option: LongArray
    replication: LongArray
    core_of: LongArray
    core_start: LongArray


class Rules(NamedTuple):
    """What the scheduler does with any plan: cores that load the input, columns of a shared node that one core should
    compute at most. images: that are followed; the first has the cores to itself, the others show what one more costs.
    most_strips: how coarsely rows are looked at."""

    images: int
    loaders: int
    window_columns: int
    most_strips: int


@kernel
def population(net: Network, chip: Chip, plans: Population, rules: Rules) -> npt.NDArray[np.float64]:
    """float64[plans, 6]: time of one image or of one more, of the first image, peak bytes, dynamic energy per image,
    cores, busiest core's ns."""
    out, images = np.zeros((len(plans.option), 6)), rules.images
    for p in range(len(plans.option)):
        first, last = plans.core_start[p, 0], plans.core_start[p, -1]
        starts = plans.core_start[p] - first
        plan = Assignment(plans.option[p], plans.replication[p], plans.core_of[first:last], starts)
        layout = place(net, chip.cores, plan, rules.loaders, rules.window_columns)
        work = work_of(net, chip, plan, layout)
        strips = strips_of(net, layout, rules.most_strips)
        busiest = busiest_ns(net, layout, work, chip.cores)
        bucket_ns = max(busiest * images, 1.0) / BUCKETS_PER_LOAD
        ends, peak = stream(net, chip.cores, layout, work, strips, images, bucket_ns)
        out[p, IMAGE_NS] = ends[0] if images == 1 else max(ends[-1] - ends[-2], busiest)
        out[p, FIRST_NS], out[p, PEAK_BYTES] = ends[0], peak
        out[p, DYNAMIC_PJ], out[p, CORES], out[p, BUSIEST_NS] = work.dynamic_pj, work.cores, busiest
    return out
