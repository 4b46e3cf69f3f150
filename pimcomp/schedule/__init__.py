"""From a Plan to instruction streams: who computes what, when, and where it lies in memory."""

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import LayerMatrix, Partition
from pimcomp.ir.graph import FloatArray, Graph, Input
from pimcomp.ir.plan import Pipeline, Plan
from pimcomp.ir.program import Checkpoints, LongArray, Program
from pimcomp.partition import weights_of
from pimcomp.registers import assign_registers
from pimcomp.schedule.assemble import Assembled, assemble
from pimcomp.schedule.build import GroupTable, Work, WorkBuilder, number_groups
from pimcomp.schedule.connect import Flow, GlobalLayout, connect
from pimcomp.schedule.constants import Constants, collect_constants
from pimcomp.schedule.durations import GroupShapes
from pimcomp.schedule.options import ScheduleOptions
from pimcomp.schedule.rows import needed_rows, pull_order
from pimcomp.schedule.sites import NodeSites, place_work

__all__ = ["ScheduleOptions", "schedule"]

ALIGNMENT_BYTES = 64  # of tensors in global memory: full beats on every configuration we ship


def schedule(
    graph: Graph,
    arch: Arch,
    partition: Partition,
    plan: Plan,
    pipeline: Pipeline,
    options: ScheduleOptions,
    lrn_ranges: dict[int, float],
) -> Program:
    """Instruction streams of a plan.

    element: one image. batch: `options.images_per_round` images ordered together, so that cores idle for one image
    work for another. lrn_ranges: largest sum of squares per LRN node (see `constants.fit_lrn`).

    Raises CapacityError when local memory cannot hold what must be alive together.
    """
    eb = arch.element_bytes
    wanted = options.images_per_round if pipeline is Pipeline.BATCH else 1
    needed = needed_rows(graph)
    placed = place_work(graph, partition, plan, options, needed)
    constants = collect_constants(graph, eb, lrn_ranges)
    groups = number_groups(plan, arch.total_cores)
    work = WorkBuilder(graph, partition, placed, constants, groups, eb, options).build()
    layout = _global_layout(graph, constants, eb)
    flow = connect(graph, work, placed, pull_order(graph, needed), constants, layout, eb, arch.total_cores)
    matrices, matrix_of, shapes = _matrices(graph, partition, plan, groups)
    assembled = assemble(flow, shapes, layout, arch, options, wanted)
    images = assembled.images
    constant_addresses, constant_values = _constant_image(constants, layout, eb)
    return Program(
        cores=arch.total_cores,
        element_bytes=eb,
        table=assembled.table,
        core_start=assembled.core_start,
        registers=assign_registers(assembled.table, assembled.core_start),
        group_start=groups.start,
        group_crossbars=shapes.crossbars.astype(np.int32),
        group_matrix=matrix_of.astype(np.int32),
        group_node=np.array(partition.nodes, dtype=np.int32)[groups.layer],
        matrices=matrices,
        constant_addresses=constant_addresses,
        constant_values=constant_values,
        inputs=_input_addresses(graph, layout, eb, images),
        outputs=_output_addresses(graph, layout, eb, images),
        clip_values=constants.clip_values,
        local_peak_bytes=assembled.peak_bytes,
        checkpoints=_checkpoints(work, flow, placed, assembled, graph, images, eb),
        node_names=tuple(node.name for node in graph.nodes),
        images_per_round=images,
    )


def _matrices(
    graph: Graph, partition: Partition, plan: Plan, groups: GroupTable
) -> tuple[tuple[FloatArray, ...], LongArray, GroupShapes]:
    """Weight matrices (shared by replicas), which of them each array group holds, and all groups' shapes."""
    chosen: list[LayerMatrix] = [options[o] for options, o in zip(partition.options, plan.option, strict=True)]
    first = np.cumsum([0, *[len(matrix.groups) for matrix in chosen]])
    matrices = tuple(weights_of(graph, matrix, group) for matrix in chosen for group in matrix.groups)
    matrix_of = first[groups.layer] + groups.group
    sizes = np.array([m.shape for m in matrices], dtype=np.int64).reshape(-1, 2)
    crossbars = np.array([group.crossbars for matrix in chosen for group in matrix.groups], dtype=np.int64)
    shapes = GroupShapes(groups.start, sizes[matrix_of, 0], sizes[matrix_of, 1], crossbars[matrix_of])
    return matrices, matrix_of, shapes


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
    for source in sorted({int(s) for output in graph.outputs for s in np.unique(output.view.sources)}):
        stored[source] = take(int(row_bytes[source]) * graph.nodes[source].height)
    return GlobalLayout(constant_at, stored, loaded, row_bytes, top - begin)


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


def _checkpoints(
    work: Work, flow: Flow, placed: tuple[NodeSites, ...], assembled: Assembled, graph: Graph, images: int, eb: int
) -> Checkpoints:
    """Every segment of every feature map, right after the task that completes it."""
    task = work.final_task
    segments = [p.segments for p in placed]
    node = np.repeat(np.arange(len(placed)), [len(s.row) for s in segments])
    channels = np.array([n.channels for n in graph.nodes], dtype=np.int64)
    out = flow.segment_buffer
    start = np.concatenate([s.start for s in segments])
    stop = np.concatenate([s.stop for s in segments])
    offset = (start - flow.buffers.low[out]) * channels[node] * eb
    count = len(task)
    return Checkpoints(
        after=assembled.last_row[:, task].ravel(),
        node=np.tile(node, images).astype(np.int32),
        image=np.repeat(np.arange(images), count).astype(np.int32),
        row=np.tile(np.concatenate([s.row for s in segments]), images).astype(np.int32),
        col_start=np.tile(start, images).astype(np.int32),
        col_stop=np.tile(stop, images).astype(np.int32),
        address=(assembled.address[:, out] + offset).ravel(),
    )
