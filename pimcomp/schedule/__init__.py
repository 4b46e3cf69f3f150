"""From a Plan to instruction streams: who computes what, when, and where it lies in memory."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pimcomp.errors import CapacityError
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import LayerMatrix, Partition
from pimcomp.ir.graph import FloatArray, Graph, Input
from pimcomp.ir.plan import Pipeline, Plan, Trial
from pimcomp.ir.program import Checkpoints, LongArray, Program
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.isa.registers import assign_registers
from pimcomp.plan.partition import weights_of
from pimcomp.plan.rows import needed_rows, pull_order
from pimcomp.schedule.assemble import Assembled, assemble
from pimcomp.schedule.build import GroupTable, WorkBuilder, number_groups
from pimcomp.schedule.connect import Flow, GlobalLayout, connect
from pimcomp.schedule.constants import Constants, collect_constants
from pimcomp.schedule.critical import critical_share, layer_of_node
from pimcomp.schedule.durations import GroupShapes
from pimcomp.schedule.order import Placed, least_memory, place_actions, place_with_spills
from pimcomp.schedule.sites import NodeSites, place_work
from pimcomp.schedule.work import ALIGNMENT_BYTES

__all__ = ["ScheduleOptions", "Scheduler", "schedule"]

SPILLING_COST = 4  # how much longer it takes to order a program that spills, in units of the search's budget
NO_PROGRAM = 100_000  # the same for a plan that has no program
TRIAL_IMAGES = 2  # of a batch program that are ordered to judge a plan
GATHERED, GATHERED_NARROW = 1 / 2, 1 / 8  # shares of local memory in which an average over a whole map gathers it


class Scheduler:
    """Makes programs of plans of one network on one chip, or tells what they would take.

    element: one image. batch: `options.images_per_round` images ordered together, so that cores idle for one image
    work for another. lrn_ranges: largest sum of squares per LRN node (see `constants.fit_lrn`).
    """

    def __init__(
        self,
        graph: Graph,
        arch: Arch,
        partition: Partition,
        pipeline: Pipeline,
        options: ScheduleOptions,
        lrn_ranges: dict[int, float],
    ) -> None:
        self.graph, self.arch, self.partition, self.options = graph, arch, partition, options
        self.images = options.images_per_round if pipeline is Pipeline.BATCH else 1
        self.needed = needed_rows(graph)
        self.pull = pull_order(graph, self.needed)
        self.constants = collect_constants(graph, arch.element_bytes, lrn_ranges)
        self.layout = _global_layout(graph, self.constants, arch.element_bytes)
        self.layer_of_node = layer_of_node(graph, partition)

    def program(self, plan: Plan) -> Program:
        """Instruction streams of a plan.

        Raises CapacityError when local memory cannot hold the operands of one instruction.
        """
        graph, arch, eb = self.graph, self.arch, self.arch.element_bytes
        sites, groups, shapes, flow, placed = self._ordered(plan, self.options, self.images)
        assembled = assemble(flow, placed, self.layout, arch)
        matrices, matrix_of = _matrices(graph, self.partition, plan, groups)
        images = assembled.images
        constant_addresses, constant_values = _constant_image(self.constants, self.layout, eb)
        return Program(
            cores=arch.total_cores,
            element_bytes=eb,
            table=assembled.table,
            core_start=assembled.core_start,
            registers=assign_registers(assembled.table, assembled.core_start),
            group_start=groups.start,
            group_crossbars=shapes.crossbars.astype(np.int32),
            group_matrix=matrix_of.astype(np.int32),
            group_node=np.array(self.partition.nodes, dtype=np.int32)[groups.layer],
            matrices=matrices,
            constant_addresses=constant_addresses,
            constant_values=constant_values,
            inputs=_input_addresses(graph, self.layout, eb, images),
            outputs=_output_addresses(graph, self.layout, eb, images),
            clip_values=self.constants.clip_values,
            local_peak_bytes=assembled.peak_bytes,
            checkpoints=_checkpoints(sites, flow, assembled, placed),
            node_names=tuple(node.name for node in graph.nodes),
            images_per_round=images,
            spilled_bytes=placed.spilled.bytes if placed.spilled is not None else 0,
        )

    def trial(self, plan: Plan) -> Trial:
        """What the program of a plan would take, by the list scheduler's estimate; it is not emitted."""
        single = replace(self.options, orders=1)
        try:
            _, _, _, flow, placed = self._ordered(plan, single, min(self.images, TRIAL_IMAGES))
        except CapacityError:
            layers = len(self.partition.nodes)
            return Trial(time_ns=math.inf, actions=NO_PROGRAM, share=np.zeros(layers))
        share = critical_share(flow, placed, self.layer_of_node, len(self.partition.nodes))
        actions = len(placed.actions.core) * (1 if placed.spilled is None else SPILLING_COST)
        return Trial(time_ns=placed.image_ns, actions=actions, share=share)

    def _ordered(self, plan: Plan, options: ScheduleOptions, images: int) -> "_Ordered":
        """The order of a plan's actions, in which buffers wait in global memory if local memory is too small."""
        groups = number_groups(plan, self.arch.total_cores)
        shapes = group_shapes(self.partition, plan, groups)
        sites, flow = self._flow(plan, groups, self.arch, narrow=False)
        placed = place_actions(flow, shapes, self.arch, options, images)
        if placed is not None and placed.eager:
            return _Ordered(sites, groups, shapes, flow, placed)
        free = self.layout.first_image + self.layout.image_bytes * images
        cut_sites, cut = self._flow(plan, groups, self.arch, narrow=True)
        spilling = place_with_spills(cut, shapes, self.arch, options, images, free)
        if spilling is not None and (placed is None or spilling.image_ns < placed.image_ns):
            return _Ordered(cut_sites, groups, shapes, cut, spilling)
        if placed is None:
            raise self._too_small(plan, groups, shapes)
        return _Ordered(sites, groups, shapes, flow, placed)

    def _too_small(self, plan: Plan, groups: GroupTable, shapes: GroupShapes) -> CapacityError:
        """Local memory cannot hold the operands of one instruction. The lever is a size that can: segments grow with
        the memory, so the bytes that are needed in this one may not do."""
        arch = self.arch
        while True:
            _, flow = self._flow(plan, groups, arch, narrow=True)
            needed, core = least_memory(flow, shapes, arch)
            if needed <= arch.local_memory_bytes:
                name, enough = f"bytes of local memory on core {core}", arch.local_memory_bytes
                levers = [f"local_memory.bytes: {enough}"]
                return CapacityError(name, enough, self.arch.local_memory_bytes, levers, arch.name)
            arch = replace(arch, local_memory_bytes=needed)

    def _flow(self, plan: Plan, groups: GroupTable, arch: Arch, *, narrow: bool) -> tuple[tuple[NodeSites, ...], Flow]:
        """narrow: segments, hence sums and messages, are cut to a small share of local memory."""
        graph, eb, cores = self.graph, arch.element_bytes, arch.total_cores
        sites = place_work(graph, arch, self.partition, plan, self.options, self.needed, narrow=narrow)
        scratch = int((GATHERED_NARROW if narrow else GATHERED) * arch.local_memory_bytes)
        work = WorkBuilder(graph, self.partition, sites, self.constants, groups, eb, self.options, scratch).build()
        return sites, connect(graph, work, sites, self.pull, self.constants, self.layout, eb, cores)


class _Ordered(NamedTuple):
    """Who computes what, and when."""

    sites: tuple[NodeSites, ...]
    groups: GroupTable
    shapes: GroupShapes
    flow: Flow
    placed: Placed


def schedule(
    graph: Graph,
    arch: Arch,
    partition: Partition,
    plan: Plan,
    pipeline: Pipeline,
    options: ScheduleOptions,
    lrn_ranges: dict[int, float],
) -> Program:
    """The program of one plan; see `Scheduler`."""
    return Scheduler(graph, arch, partition, pipeline, options, lrn_ranges).program(plan)


def group_shapes(partition: Partition, plan: Plan, groups: GroupTable) -> GroupShapes:
    """Rows, columns and crossbars of every array group in core order."""
    chosen = [options[o] for options, o in zip(partition.options, plan.option, strict=True)]
    first = np.cumsum([0, *[len(matrix.groups) for matrix in chosen]])
    place = first[groups.layer] + groups.group
    flat = [group for matrix in chosen for group in matrix.groups]
    columns = ([g.row_stop - g.row_start for g in flat], [g.columns for g in flat], [g.crossbars for g in flat])
    return GroupShapes(groups.start, *(np.array(c, dtype=np.int64)[place] for c in columns))


def _matrices(
    graph: Graph, partition: Partition, plan: Plan, groups: GroupTable
) -> tuple[tuple[FloatArray, ...], LongArray]:
    """Weight matrices (shared by replicas), and which of them each array group holds."""
    chosen: list[LayerMatrix] = [options[o] for options, o in zip(partition.options, plan.option, strict=True)]
    first = np.cumsum([0, *[len(matrix.groups) for matrix in chosen]])
    matrices = tuple(weights_of(graph, matrix, group) for matrix in chosen for group in matrix.groups)
    return matrices, first[groups.layer] + groups.group


def _global_layout(graph: Graph, constants: Constants, eb: int) -> GlobalLayout:
    """Constants first, then input and output maps of image 0, 1, ..."""
    count = len(graph.nodes)
    constant_at, stored, loaded = (np.full(count, -1, dtype=np.int64) for _ in range(3))
    row_bytes = np.array([n.width * n.channels * eb for n in graph.nodes], dtype=np.int64)
    top = 0

    def take(size: int) -> int:
        nonlocal top
        address = top
        top += -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        return address

    for index, vector in enumerate(constants.vectors):
        if len(vector):
            constant_at[index] = take(len(vector) * eb)
    begin = top
    for index, node in enumerate(graph.nodes):
        if isinstance(node.operation, Input):
            loaded[index] = take(int(row_bytes[index]) * node.height)
    for source in graph.stored():
        stored[source] = take(int(row_bytes[source]) * graph.nodes[source].height)
    return GlobalLayout(constant_at, stored, loaded, row_bytes, begin, top - begin)


def _constant_image(constants: Constants, layout: GlobalLayout, eb: int) -> tuple[LongArray, FloatArray]:
    """Byte address and value of every constant element in global memory."""
    addresses, values = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for start, vector in zip(layout.constants, constants.vectors, strict=True):
        if start >= 0:
            addresses.append(start + np.arange(len(vector), dtype=np.int64) * eb)
            values.append(vector)
    return np.concatenate(addresses), np.concatenate(values)


def _per_image(addresses: LongArray, images: int, image_bytes: int) -> LongArray:
    if images == 1:
        return addresses
    return np.stack([addresses + image * image_bytes for image in range(images)])


def _arrange(chw: LongArray, layout: str, shape: tuple[int, ...]) -> LongArray:
    """(channel, row, column) order to the ONNX tensor's order and shape."""
    ordered = chw.transpose(1, 2, 0) if layout == "NHWC" else chw
    return np.ascontiguousarray(ordered).reshape(shape)


def _input_addresses(graph: Graph, layout: GlobalLayout, eb: int, images: int) -> dict[str, LongArray]:
    result = {}
    for index, node in enumerate(graph.nodes):
        if isinstance(node.operation, Input):
            c, y, x = np.ogrid[: node.channels, : node.height, : node.width]
            chw = layout.loaded[index] + ((y * node.width + x) * node.channels + c) * eb
            onnx = _arrange(chw, node.operation.layout, node.operation.onnx_shape)
            result[node.name] = _per_image(onnx, images, layout.image_bytes)
    return result


def _output_addresses(graph: Graph, layout: GlobalLayout, eb: int, images: int) -> dict[str, LongArray]:
    result = {}
    channels = np.array([n.channels for n in graph.nodes])
    for output in graph.outputs:
        source, channel = output.view.sources.astype(np.int64), output.view.channels.astype(np.int64)
        node = graph.nodes[int(source[0])]
        y, x = np.ogrid[: node.height, : node.width]
        pixel = (y * node.width + x)[None]
        chw = (
            layout.stored[source][:, None, None]
            + (pixel * channels[source][:, None, None] + channel[:, None, None]) * eb
        )
        result[output.name] = _per_image(_arrange(chw, output.layout, output.onnx_shape), images, layout.image_bytes)
    return result


def _checkpoints(sites: tuple[NodeSites, ...], flow: Flow, assembled: Assembled, placed: Placed) -> Checkpoints:
    """Every segment of every feature map that is in memory as a whole right after the task that completes it."""
    segments = [p.segments for p in sites]
    node = np.repeat(np.arange(len(sites)), [len(s.row) for s in segments])
    row, start, stop = (np.concatenate([getattr(s, name) for s in segments]) for name in ("row", "start", "stop"))
    address = assembled.address[:, flow.segment_buffer] + flow.segment_bytes[:, 0]
    if placed.spilled is not None:
        moved = placed.spilled.spilling[flow.core[flow.segment_task]]
        address = np.where(moved, placed.spilled.complete, address)
    image, seen = np.nonzero(address >= 0)
    return Checkpoints(
        after=assembled.last_row[image, flow.segment_task[seen]],
        node=node[seen].astype(np.int32),
        image=image.astype(np.int32),
        row=row[seen].astype(np.int32),
        col_start=start[seen].astype(np.int32),
        col_stop=stop[seen].astype(np.int32),
        address=address[image, seen],
    )
