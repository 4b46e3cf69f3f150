"""Work as it is collected, node by node: what is added gets its number at once."""

import numpy as np
import numpy.typing as npt

from pimcomp.ir.array_group import LayerMatrix, Partition
from pimcomp.ir.graph import Conv, Graph
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.schedule.building.groups import GroupTable
from pimcomp.schedule.emission.conv import ConvTasks, JoinTasks
from pimcomp.schedule.emission.scatter import Contributions, ScatterTasks
from pimcomp.schedule.emission.templates import GROUP, ConvTemplate, conv_template
from pimcomp.schedule.emission.vector import VectorTasks
from pimcomp.schedule.sites import NodeSites, Segments, Site
from pimcomp.schedule.work import Accesses, Edges, LongArray, PartSums, Stack, Sums, SumTransfers, Tasks, same


class Ledger:
    """All columns so far. final_task: completes each segment.

    Templates of equal subsets of a layer's array groups are one.
    """

    def __init__(
        self,
        graph: Graph,
        partition: Partition,
        placed: tuple[NodeSites, ...],
        groups: GroupTable,
        element_bytes: int,
        options: ScheduleOptions,
    ) -> None:
        self.graph, self.placed, self.groups, self.element_bytes = graph, placed, groups, element_bytes
        self.options = options
        self.layer_of = {node: k for k, node in enumerate(partition.nodes)}
        self.tasks, self.reads, self.edges = Stack(Tasks), Stack(Accesses), Stack(Edges)
        self.conv, self.join, self.vector = Stack(ConvTasks), Stack(JoinTasks), Stack(VectorTasks)
        self.scatter, self.contributions = Stack(ScatterTasks), Stack(Contributions)
        self.sums, self.sum_transfers, self.part_sums = Stack(Sums), Stack(SumTransfers), Stack(PartSums)
        self.templates: list[ConvTemplate] = []
        self.template_nodes: list[int] = []
        self.template_ids: dict[tuple[int, tuple[int, ...]], int] = {}
        self.group_numbers: list[LongArray] = []
        self.group_count = 0
        self.segment_start = np.cumsum([0, *[len(p.segments.row) for p in placed]])
        self.final_task = np.zeros(self.segment_start[-1], dtype=np.int64)

    def add_tasks(
        self,
        kind: int,
        node: int,
        s: Segments,
        core: LongArray,
        start: LongArray | None = None,
        out: LongArray | None = None,
    ) -> LongArray:
        """Tasks for segments; returns their numbers."""
        begin, result = s.start if start is None else start, same(-1, core) if out is None else out
        return self.tasks.add(Tasks(same(kind, core), same(node, core), core, s.row, begin, s.start, s.stop, result))

    def matrix(self, node: int) -> tuple[LayerMatrix, Conv]:
        """The unfolding of a weighted node, and its operation."""
        matrix, conv = self.placed[node].matrix, self.graph.nodes[node].operation
        assert matrix is not None
        assert isinstance(conv, Conv)
        return matrix, conv

    def template(self, node: int, site: Site, core: int) -> tuple[int, ConvTemplate, int]:
        """The template of what a core of a site holds: its number, itself, and where the numbers of its array groups
        begin, replica-major."""
        held = tuple(np.flatnonzero(site.cores == core).tolist())
        if (node, held) not in self.template_ids:
            self.template_ids[node, held] = len(self.templates)
            self.templates.append(conv_template(self.graph, self.matrix(node)[0], held, self.element_bytes))
            self.template_nodes.append(node)
        number = self.template_ids[node, held]
        template, first = self.templates[number], self.group_count
        table = self.groups.local[self.layer_of[node]][np.ix_(site.replicas, template.groups[:, GROUP])]
        self.group_numbers.append(table.ravel())
        self.group_count += table.size
        return number, template, first


def members_of(site: Site) -> list[int]:
    """The cores of a site, its head first."""
    return [site.head, *[int(c) for c in np.unique(site.cores) if c != site.head]]


def chain(task: LongArray, follows: npt.NDArray[np.bool_] | None = None) -> Edges:
    """Tasks that come one after the other; follows: which of the second and later ones do, by default all."""
    chosen = slice(None) if follows is None else follows
    return Edges(task[:-1][chosen], task[1:][chosen])
