"""The estimate of many plans: one pass over each, all in one kernel."""

import numpy as np

from pimcomp.estimate.layout import place
from pimcomp.estimate.streaming import BUCKETS_PER_LOAD, busiest_ns, stream, strips_of
from pimcomp.estimate.work import work_of
from pimcomp.foundation.kernels import kernel

# Images that are followed strip by strip. The first one has the cores to itself, the second shows what one more costs.
FOLLOWED_IMAGES = 2

MAKESPAN_NS, PEAK_BYTES, DYNAMIC_PJ, CORES, BUSIEST_NS = range(5)


@kernel
def population(net, chip, option, replication, core_of, core_start, images, loaders, window_columns, most_strips):
    """float64[plans, 5]: makespan of `images` images, peak bytes, dynamic energy per image, cores, busiest core's ns.

    option, replication: int64[plans, layers]. core_of: all plans' cores, core_start int64[plans, layers + 1] into it.
    """
    out = np.zeros((len(option), 5))
    for p in range(len(option)):
        cores = core_of[core_start[p, 0] : core_start[p, -1]]
        starts = core_start[p] - core_start[p, 0]
        layout = place(net, chip.cores, option[p], replication[p], cores, starts, loaders, window_columns)
        work = work_of(net, chip, option[p], cores, starts, layout)
        strips = strips_of(net, layout, most_strips)
        busiest = busiest_ns(layout, work, chip.cores)
        followed = min(images, FOLLOWED_IMAGES)
        bucket_ns = max(busiest * followed, 1.0) / BUCKETS_PER_LOAD
        ends, peak = stream(net, chip.cores, layout, work, strips, followed, bucket_ns)
        out[p, MAKESPAN_NS], out[p, PEAK_BYTES] = _all_images_ns(ends, images, busiest), peak
        out[p, DYNAMIC_PJ], out[p, CORES], out[p, BUSIEST_NS] = work.dynamic_pj, work.cores, busiest
    return out


@kernel
def _all_images_ns(ends, images, busiest):
    """Makespan of `images` images from the ends of those that were followed: each further one costs as the last did."""
    makespan = ends.max()
    if images > len(ends):
        makespan += (images - len(ends)) * max(ends[-1] - ends[-2], busiest)
    return makespan
