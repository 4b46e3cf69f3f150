"""All of a pass's attribution, from its instruction times."""

from dataclasses import dataclass

import numpy as np

from pimcomp.attribution.core_use import core_uses
from pimcomp.attribution.critical_path import Path, critical_path
from pimcomp.attribution.links import Links, link
from pimcomp.attribution.waits import Wait, WaitSpans, largest_waits, wait_spans
from pimcomp.ir.arch import Arch
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray
from pimcomp.timeline.instruction_times import Times, instruction_times
from pimcomp.timeline.work import Instructions, UnitWork, work_of

LISTED_WAITS = 20


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Attribution:
    """One pass taken apart; all times in ps.

    path_by_node: int64[nodes + 1, critical_path.UNITS], the critical path by graph node and unit, its last row for
    instructions without a node; path_by_core: int64[cores, UNITS]. Both add up to the latency. core_use: int64[cores,
    core_use.USES], every row adds up to the latency. waits: the longest, by pair.
    """

    work: UnitWork
    times: Times
    links: Links
    path: Path
    spans: WaitSpans
    path_by_node: LongArray
    path_by_core: LongArray
    core_use: LongArray
    waits: tuple[Wait, ...]

    @property
    def latency_ps(self) -> int:
        """One pass."""
        return self.times.latency_ps


def attribute(stream: Instructions, arch: Arch, node: IntArray, nodes: int) -> Attribution:
    """Replay one pass and take it apart. node: int32[instructions], graph node below `nodes` or -1.

    Raises DeadlockError when a core waits forever.
    """
    work = work_of(stream, arch)
    times = instruction_times(stream, work, arch)
    links = link(stream, work, times)
    path = critical_path(stream, work, arch, times, links)
    spans = wait_spans(stream, work, times, links)
    return Attribution(
        work=work,
        times=times,
        links=links,
        path=path,
        spans=spans,
        path_by_node=path.by_unit(np.where(node < 0, nodes, node), nodes + 1),
        path_by_core=path.by_unit(links.core, stream.cores),
        core_use=core_uses(stream, work, times, links),
        waits=largest_waits(spans, links, node, LISTED_WAITS),
    )
