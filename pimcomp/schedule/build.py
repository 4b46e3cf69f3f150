"""From sites to work: tasks, what they read, and the partial sums that travel between the cores of a site."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pimcomp.ir.array_group import Partition
from pimcomp.ir.graph import Conv, Graph, Input, on_crossbars
from pimcomp.ir.plan import Plan
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.schedule.build_scatter import scatter_site
from pimcomp.schedule.build_vector import vector_nodes, vector_tasks
from pimcomp.schedule.constants import Constants
from pimcomp.schedule.emission.conv import ConvTasks, JoinTasks, Templates
from pimcomp.schedule.emission.scatter import Contributions, ScatterTasks
from pimcomp.schedule.emission.vector import VectorNodes, VectorTasks
from pimcomp.schedule.sites import NodeSites, Segments
from pimcomp.schedule.templates import ConvTemplate, conv_template
from pimcomp.schedule.work import CONST, CONV, FLAT_JOIN, JOIN, LOAD, STORE, Accesses, LongArray


@dataclass(frozen=True, slots=True, eq=False)
class GroupTable:
    """Array groups by core: `start` int64[cores + 1]; per weighted layer `local[k]` int64[replication, groups], the
    number within its core; `layer`, `group`: of each array group in core order.
    """

    start: LongArray
    local: tuple[LongArray, ...]
    layer: LongArray
    group: LongArray


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Everything one image needs, before transfers between row buffers are known.

    Per task: kind, node, core, row, columns [start, stop) of which [keep, stop) are its own, and the segment whose
    result it writes (out_segment, -1: none). final_task: task that completes each segment.
    reads: accesses to row buffers (those with row < -1 are absent rows: valid is False).
    Partial-sum buffers are numbered from 0: `sum_core`, `sum_bytes`; sum_transfers int64[n, 5]: (source sum,
    destination sum, producer task, consumer task, bytes). local_edges: (conv task, join task). constant_pairs: (core,
    node) per constant buffer; constant_of: its number per task or -1.
    """

    kind: LongArray
    node: LongArray
    core: LongArray
    row: LongArray
    start: LongArray
    keep: LongArray
    stop: LongArray
    final_task: LongArray
    out_segment: LongArray
    reads: Accesses
    valid: npt.NDArray[np.bool_]
    sum_core: LongArray
    sum_bytes: LongArray
    sum_transfers: LongArray
    local_edges: LongArray
    constant_pairs: LongArray
    constant_of: LongArray
    conv: ConvTasks
    join: JoinTasks
    vector: VectorTasks
    scatter: ScatterTasks
    contributions: Contributions
    vector_nodes: VectorNodes
    templates: Templates
    group_table: LongArray
    part_sums: LongArray


@dataclass(slots=True)
class _Columns:
    """Grows named columns by blocks of equal length; scalars stand for a block of equal values."""

    blocks: dict[str, list[object]] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    rows: int = 0

    def add(self, count: int, values: dict[str, object]) -> npt.NDArray[np.int64]:
        """Append `count` rows; returns their numbers."""
        for name, value in values.items():
            self.blocks.setdefault(name, []).append(value)
        self.counts.append(count)
        numbers = np.arange(self.rows, self.rows + count)
        self.rows += count
        return numbers

    def get(self, name: str) -> npt.NDArray[np.int64]:
        """The whole column."""
        if not self.rows:
            return np.zeros(0, np.int64)
        column, at = np.empty(self.rows, np.int64), 0
        for count, value in zip(self.counts, self.blocks[name], strict=True):
            column[at : at + count] = np.asarray(value)
            at += count
        return column


def _chunks(s: Segments, columns: int) -> tuple[Segments, LongArray, LongArray]:
    """Segments cut into pieces of up to `columns`: the pieces, the segment of each, and each segment's last piece."""
    counts = np.maximum(-(-(s.stop - s.start) // columns), 1)
    segment = np.repeat(np.arange(len(counts)), counts)
    last = np.cumsum(counts) - 1
    piece = np.arange(len(segment)) - np.repeat(last - counts + 1, counts)
    start = s.start[segment] + piece * columns
    stop = np.minimum(start + columns, s.stop[segment])
    return Segments(s.row[segment], start, stop, s.owner[segment], s.site[segment]), segment, last


def number_groups(plan: Plan, cores: int) -> GroupTable:
    """Number array groups within their cores, in the order of layers, replicas and groups."""
    flat = [c.ravel().astype(np.int64) for c in plan.core_of]
    core = np.concatenate(flat) if flat else np.zeros(0, np.int64)
    layer = np.concatenate([np.full(c.size, k) for k, c in enumerate(plan.core_of)]) if flat else core
    group = np.concatenate([np.tile(np.arange(c.shape[1]), c.shape[0]) for c in plan.core_of]) if flat else core
    order = np.argsort(core, kind="stable")
    start = np.searchsorted(core[order], np.arange(cores + 1))
    local = np.empty(len(core), dtype=np.int64)
    local[order] = np.arange(len(core)) - start[core[order]]
    cuts = np.cumsum([0, *[c.size for c in plan.core_of]])
    shaped = tuple(local[a:b].reshape(c.shape) for a, b, c in zip(cuts, cuts[1:], plan.core_of, strict=False))
    return GroupTable(start, shaped, layer[order], group[order])


class WorkBuilder:
    """Collects the work of all nodes in graph order; `result` freezes it."""

    def __init__(
        self,
        graph: Graph,
        partition: Partition,
        placed: tuple[NodeSites, ...],
        constants: Constants,
        groups: GroupTable,
        element_bytes: int,
        options: ScheduleOptions,
        scratch_bytes: int,
    ) -> None:
        self.graph, self.placed, self.constants, self.groups, self.eb = graph, placed, constants, groups, element_bytes
        self.options, self.scratch_bytes = options, scratch_bytes
        self.layer_of = {node: k for k, node in enumerate(partition.nodes)}
        self.tasks, self.reads = _Columns(), _Columns()
        self.conv, self.join, self.vector = _Columns(), _Columns(), _Columns()
        self.scatter, self.contributions = _Columns(), _Columns()
        self.sums, self.sum_transfers, self.edges, self.parts = _Columns(), _Columns(), _Columns(), _Columns()
        self.conv_totals: list[npt.NDArray[np.int64]] = []
        self.templates: list[ConvTemplate] = []
        self.template_node: list[int] = []
        self.template_ids: dict[tuple[int, tuple[int, ...]], int] = {}
        self.group_table: list[npt.NDArray[np.int64]] = []
        self.group_entries = 0
        self.segment_start = np.cumsum([0, *[len(p.segments.row) for p in placed]])
        self.final_task = np.zeros(self.segment_start[-1], dtype=np.int64)
        self.vector_node_rows: dict[int, tuple[int, list[tuple[int, ...]]]] = {}

    def build(self) -> Work:
        """Visit all nodes and outputs."""
        for index, node in enumerate(self.graph.nodes):
            segments = self.placed[index].segments
            numbers = np.arange(self.segment_start[index], self.segment_start[index + 1])
            if on_crossbars(node.operation):
                self._conv(index, segments, numbers)
            elif isinstance(node.operation, Input):
                self.final_task[numbers] = self.add_tasks(LOAD, index, segments, segments.owner, out=numbers)
            else:
                vector_tasks(self, index, segments, numbers)
        for source in self.graph.stored():
            segments = self.placed[source].segments
            task = self.add_tasks(STORE, source, segments, segments.owner)
            self.add_reads(task, segments.owner, source, segments.row, segments.start, segments.stop)
        return self._result()

    def add_tasks(
        self, kind: int, node: int, s: Segments, core: object, start: object = None, out: object = -1
    ) -> npt.NDArray[np.int64]:
        """Tasks for segments; returns their numbers."""
        return self.tasks.add(
            len(s.row),
            {
                "kind": kind,
                "node": node,
                "core": core,
                "out_segment": out,
                "row": s.row,
                "start": s.start if start is None else start,
                "keep": s.start,
                "stop": s.stop,
            },
        )

    def add_reads(
        self, task: object, core: object, tensor: object, row: object, low: object, high: object, valid: object = True
    ) -> npt.NDArray[np.int64]:
        """Reads of row-buffer columns; returns their numbers. Invalid ones name rows that do not exist."""
        count = len(np.atleast_1d(np.asarray(task)))
        return self.reads.add(
            count, {"task": task, "core": core, "tensor": tensor, "row": row, "low": low, "high": high, "valid": valid}
        )

    def _conv(self, index: int, segments: Segments, numbers: npt.NDArray[np.int64]) -> None:
        placed = self.placed[index]
        order = np.argsort(segments.site, kind="stable")
        cuts = np.searchsorted(segments.site[order], np.arange(len(placed.sites) + 1))
        for s, site in enumerate(placed.sites):
            chosen = order[cuts[s] : cuts[s + 1]]
            if len(chosen):
                names = [name for name in Segments.__slots__]
                part = Segments(*(getattr(segments, name)[chosen] for name in names))
                self._site(index, site.cores, site.replicas, part, numbers[chosen])

    def _site(
        self, index: int, cores: np.ndarray, replicas: np.ndarray, s: Segments, numbers: npt.NDArray[np.int64]
    ) -> None:
        """Tasks of one site: every member core fires its array groups; partial sums are added towards the head."""
        matrix = self.placed[index].matrix
        assert matrix is not None
        if matrix.unfolding.scatter:
            scatter_site(self, index, cores, replicas, s, numbers)
            return
        block = matrix.unfolding.block
        members = [int(cores[0]), *[int(c) for c in np.unique(cores) if c != cores[0]]]
        start = np.maximum(np.minimum(s.start, s.stop - block), 0)
        size = (s.stop - start) * self.graph.nodes[index].channels * self.eb
        chunks, segment, last = _chunks(s, self.options.task_blocks * block)
        chunk_start = np.maximum(np.minimum(chunks.start, chunks.stop - block), 0)
        out = numbers[segment] if len(members) == 1 else -1
        fired = []
        for core in members:
            task = self.add_tasks(CONV, index, chunks, core, chunk_start, out)
            fired.append(task[last])
            self._fire(index, core, cores, replicas, chunks, chunk_start, start[segment], task)
            follows = np.flatnonzero(segment[1:] == segment[:-1])
            self.edges.add(len(follows), {"from": task[follows], "to": task[follows + 1]})
        if len(members) == 1:
            self.final_task[numbers] = fired[0]
            self.conv_totals.append(np.full(len(segment), -1, dtype=np.int64))
            return
        totals = [self.sums.add(len(start), {"core": core, "bytes": size}) for core in members]
        self.conv_totals.extend(total[segment] for total in totals)
        self.add_up(index, members, s, start, numbers, fired, totals)

    def add_up(
        self,
        index: int,
        members: list[int],
        s: Segments,
        start: np.ndarray,
        numbers: npt.NDArray[np.int64],
        fired: list[npt.NDArray[np.int64]],
        totals: list[npt.NDArray[np.int64]],
    ) -> None:
        """Joins of a site's partial sums. Per member: `fired` last task and `totals` buffer of every segment."""
        size = (s.stop - start) * self.graph.nodes[index].channels * self.eb
        parent = [0 if len(members) <= FLAT_JOIN else (i - 1) // 2 for i in range(len(members))]
        children = [[j for j in range(1, len(members)) if parent[j] == i] for i in range(len(members))]
        done = list(fired)
        for i in reversed(range(len(members))):
            if not children[i]:
                continue
            task = self.add_tasks(JOIN, index, s, members[i], start, numbers if i == 0 else -1)
            self.edges.add(len(start), {"from": fired[i], "to": task})
            parts = []
            for j in children[i]:
                part = self.sums.add(len(start), {"core": members[i], "bytes": size})
                self.sum_transfers.add(
                    len(start), {"src": totals[j], "dst": part, "from": done[j], "to": task, "bytes": size}
                )
                parts.append(part)
            first = self.parts.add(len(start) * len(parts), {"sum": np.stack(parts, axis=1).ravel()})
            self.join.add(
                len(start),
                {
                    "task": task,
                    "node": index,
                    "start": start,
                    "keep": s.start,
                    "stop": s.stop,
                    "total": totals[i],
                    "out": 0 if i == 0 else -1,
                    "parts": first[:: len(parts)],
                    "parts_each": len(parts),
                },
            )
            done[i] = task
        self.final_task[numbers] = done[0]

    def _fire(
        self,
        index: int,
        core: int,
        cores: np.ndarray,
        replicas: np.ndarray,
        s: Segments,
        start: np.ndarray,
        origin: np.ndarray,
        task: np.ndarray,
    ) -> None:
        """One member core of a site: its template, its reads and its array-group numbers."""
        placed, conv = self.placed[index], self.graph.nodes[index].operation
        assert placed.matrix is not None
        assert isinstance(conv, Conv)
        number, template = self.template(index, np.flatnonzero(cores == core))
        slots = template.slots.astype(np.int64)
        base_row = s.row * conv.window.stride[0] - conv.window.pads[0]
        base_column = start * conv.window.stride[1] - conv.window.pads[1]
        last_column = (s.stop - template.block) * conv.window.stride[1] - conv.window.pads[1]
        heights = np.array([self.graph.nodes[t].height for t in slots[:, 0]])
        reads = self.add_reads(
            np.repeat(task, len(slots)),
            core,
            np.tile(slots[:, 0], len(task)),
            np.clip(base_row[:, None] + slots[:, 1], -1, heights).ravel(),
            (base_column[:, None] + slots[:, 2]).ravel(),
            (last_column[:, None] + slots[:, 3] + 1).ravel(),
        )
        self.conv.add(
            len(task),
            {
                "task": task,
                "template": number,
                "node": index,
                "origin": origin,
                "start": start,
                "keep": s.start,
                "stop": s.stop,
                "reads": reads[:: len(slots)],
                "group_table": self.number_table(index, replicas, template),
                "replicas": len(replicas),
                "turn": s.row + s.start // template.block,
            },
        )

    def template(self, index: int, groups: np.ndarray) -> tuple[int, ConvTemplate]:
        """The template of a subset of a layer's array groups, and its number."""
        matrix = self.placed[index].matrix
        assert matrix is not None
        held = tuple(int(g) for g in groups)
        if (index, held) not in self.template_ids:
            self.template_ids[index, held] = len(self.templates)
            self.templates.append(conv_template(self.graph, matrix, held, self.eb))
            self.template_node.append(index)
        number = self.template_ids[index, held]
        return number, self.templates[number]

    def number_table(self, index: int, replicas: np.ndarray, template: ConvTemplate) -> int:
        """Register the core-local numbers of a template's array groups, replica-major; returns where they begin."""
        table = self.groups.local[self.layer_of[index]][np.ix_(replicas, template.groups[:, 0])]
        first = self.group_entries
        self.group_table.append(table.ravel())
        self.group_entries += table.size
        return first

    def _result(self) -> Work:
        """Add constant loads and freeze everything."""
        kind, node, core = self.tasks.get("kind"), self.tasks.get("node"), self.tasks.get("core")
        has_constants = np.array([len(v) > 0 for v in self.constants.vectors])
        finishes = self.tasks.get("out_segment") >= 0
        c = {name: self.contributions.get(name) for name in ("task", "tap", "segment", "total", "first", "last")}
        finishes[c["task"][(c["last"] > 0) & (c["segment"] >= 0)]] = True
        uses = finishes & has_constants[node] & (kind != LOAD)
        pairs, inverse = np.unique(np.stack([core[uses], node[uses]], axis=1), axis=0, return_inverse=True)
        zeros = np.zeros(len(pairs), dtype=np.int64)
        self.tasks.add(
            len(pairs),
            {
                "kind": CONST,
                "node": pairs[:, 1],
                "core": pairs[:, 0],
                "row": zeros,
                "start": zeros,
                "keep": zeros,
                "stop": zeros,
                "out_segment": zeros - 1,
            },
        )
        constant_of = np.full(self.tasks.rows, -1, dtype=np.int64)
        constant_of[np.flatnonzero(uses)] = inverse.ravel()
        r = self.reads
        t = {name: self.tasks.get(name) for name in ("kind", "node", "core", "row", "start", "keep", "stop")}
        conv = {name: self.conv.get(name) for name in ConvTasks._fields if name not in ("out", "constants", "total")}
        conv["total"] = np.concatenate([*self.conv_totals, np.zeros(0, np.int64)])
        join = {name: self.join.get(name) for name in JoinTasks._fields if name != "constants"}
        vector = {name: self.vector.get(name) for name in VectorTasks._fields if name not in ("out", "constants")}
        conv_constants, join_constants = constant_of[conv["task"]], constant_of[join["task"]]
        none = np.full(len(conv["task"]), -1, dtype=np.int64)
        return Work(
            t["kind"],
            t["node"],
            t["core"],
            t["row"],
            t["start"],
            t["keep"],
            t["stop"],
            final_task=self.final_task,
            out_segment=self.tasks.get("out_segment"),
            reads=Accesses(*(r.get(name) for name in ("task", "core", "tensor", "row", "low", "high"))),
            valid=r.get("valid").astype(bool),
            sum_core=self.sums.get("core"),
            sum_bytes=self.sums.get("bytes"),
            sum_transfers=np.stack([self.sum_transfers.get(n) for n in ("src", "dst", "from", "to", "bytes")], axis=1),
            local_edges=np.stack([self.edges.get("from"), self.edges.get("to")], axis=1),
            constant_pairs=pairs,
            constant_of=constant_of,
            conv=ConvTasks(**conv, out=none, constants=conv_constants),
            join=JoinTasks(**join, constants=join_constants),
            vector=VectorTasks(**vector, out=constant_of[vector["task"]], constants=constant_of[vector["task"]]),
            scatter=ScatterTasks(
                **{name: self.scatter.get(name) for name in ScatterTasks._fields if name != "constants"},
                constants=constant_of[self.scatter.get("task")],
            ),
            contributions=Contributions(**c),
            vector_nodes=vector_nodes(self),
            templates=self._templates(),
            group_table=np.concatenate([*self.group_table, np.zeros(0, np.int64)]),
            part_sums=self.parts.get("sum"),
        )

    def _templates(self) -> Templates:
        graph = self.graph
        convs = [graph.nodes[n].operation for n in self.template_node]

        def starts(lengths: list[int]) -> npt.NDArray[np.int64]:
            return np.cumsum([0, *lengths]).astype(np.int64)

        ts = self.templates
        empty = np.zeros((0, 4), np.int64)
        return Templates(
            slot_start=starts([len(t.slots) for t in ts]),
            kernel=np.array([c.window.kernel for c in convs if isinstance(c, Conv)], dtype=np.int64).reshape(-1, 2),
            scatter=np.array([t.scatter for t in ts], dtype=np.int64),
            slot_bytes=np.array(
                [graph.nodes[int(source)].channels * self.eb for t in ts for source in t.slots[:, 0]], dtype=np.int64
            ),
            piece_start=starts([len(t.pieces) for t in ts]),
            pieces=np.concatenate([empty, *[t.pieces for t in ts]]),
            group_start=starts([len(t.groups) for t in ts]),
            groups=np.concatenate([np.zeros((0, 6), np.int64), *[t.groups for t in ts]]),
            span_start=starts([len(t.spans) for t in ts]),
            spans=np.concatenate([np.zeros((0, 2), np.int32), *[t.spans for t in ts]]),
            staging_bytes=np.array([t.staging_bytes for t in ts], dtype=np.int64),
            block=np.array([t.block for t in ts], dtype=np.int64),
            columns=np.array([t.columns for t in ts], dtype=np.int64),
            stride=np.array([c.window.stride[1] for c in convs if isinstance(c, Conv)], dtype=np.int64),
            pad=np.array([c.window.pads[1] for c in convs if isinstance(c, Conv)], dtype=np.int64),
        )
