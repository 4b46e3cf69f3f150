"""What lies where in global memory: constants, then input and output maps of one image after the other."""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.graph import Fixed, FloatArray, Graph, Input
from pimcomp.schedule.constants import Constants
from pimcomp.schedule.work import ALIGNMENT_BYTES, LongArray


@dataclass(frozen=True, slots=True, eq=False)
class GlobalLayout:
    """Byte addresses in global memory: where each node's constants, loaded map and stored map begin (-1: none).

    first_image: where the maps of image 0 begin. image_bytes: input and
    output of one image; the next image's follow.
    """

    constants: LongArray
    stored: LongArray
    loaded: LongArray
    first_image: int
    image_bytes: int


def global_layout(graph: Graph, constants: Constants, eb: int) -> GlobalLayout:
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
    for index, node in enumerate(graph.nodes):
        if isinstance(node.operation, Fixed):
            loaded[index] = take(int(row_bytes[index]) * node.height)
    begin = top
    for index, node in enumerate(graph.nodes):
        if isinstance(node.operation, Input):
            loaded[index] = take(int(row_bytes[index]) * node.height)
    for source in graph.stored():
        stored[source] = take(int(row_bytes[source]) * graph.nodes[source].height)
    return GlobalLayout(constant_at, stored, loaded, begin, top - begin)


def constant_image(graph: Graph, constants: Constants, layout: GlobalLayout, eb: int) -> tuple[LongArray, FloatArray]:
    """Byte address and value of every constant element in global memory."""
    parts = list(zip(layout.constants.tolist(), constants.vectors, strict=True))
    for start, node in zip(layout.loaded.tolist(), graph.nodes, strict=True):
        if isinstance(node.operation, Fixed):
            parts.append((start, node.operation.values.transpose(1, 2, 0).ravel()))
    addresses, values = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for start, vector in parts:
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


def input_addresses(graph: Graph, layout: GlobalLayout, eb: int, images: int) -> dict[str, LongArray]:
    """Where every element of the inputs is loaded from: shaped as in ONNX, with a leading axis of images if several."""
    result = {}
    for index, node in enumerate(graph.nodes):
        if isinstance(node.operation, Input):
            c, y, x = np.ogrid[: node.channels, : node.height, : node.width]
            chw = layout.loaded[index] + ((y * node.width + x) * node.channels + c) * eb
            onnx = _arrange(chw, node.operation.layout, node.operation.onnx_shape)
            result[node.name] = _per_image(onnx, images, layout.image_bytes)
    return result


def output_addresses(graph: Graph, layout: GlobalLayout, eb: int, images: int) -> dict[str, LongArray]:
    """Where every element of the outputs is stored, as in `input_addresses`."""
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
