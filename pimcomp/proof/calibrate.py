"""Ranges that the polynomial of an LRN and the root of a normalisation must cover, from running the network on seeded
images."""

import numpy as np

from pimcomp.errors import InvariantError
from pimcomp.ir.graph import Graph, Input, Lrn, Node, Normalise, View
from pimcomp.ir.image_shape import image_shape
from pimcomp.proof.reference import intermediate_maps

IMAGES = 4
# Other images than the calibration's may exceed its range: a polynomial fitted on twice the largest sum of squares
# costs at most one degree more, a root of sixteen times the mean square four steps of its iteration.
LRN_MARGIN, NORMALISE_MARGIN = 2.0, 16.0


def data_ranges(graph: Graph, seed: int) -> dict[int, float]:
    """Per LRN node the largest sum of squares over its window of channels that its fit must cover; per normalisation
    the largest mean square of a pixel.

    Calibration images are standard normal, as are the images of `pimdse verify`. Networks without either run nothing.
    """
    wanted = {i: node for i, node in enumerate(graph.nodes) if isinstance(node.operation, Lrn | Normalise)}
    if not wanted:
        return {}
    rng = np.random.default_rng(seed)
    inputs = {
        node.name: rng.standard_normal((IMAGES, *image_shape(node.operation.onnx_shape))).astype(np.float32)
        for node in graph.nodes
        if isinstance(node.operation, Input)
    }
    sources = sorted({source for node in wanted.values() for source in node.inputs[0].nodes})
    maps = intermediate_maps(graph, inputs, sources)
    return {index: _range(node, _gather(maps, node.inputs[0])) for index, node in wanted.items()}


def _range(node: Node, x: np.ndarray) -> float:
    match operation := node.operation:
        case Lrn():
            return LRN_MARGIN * _largest_sum(x, operation.size)
        case Normalise():
            squares = (x - x.mean(axis=1, keepdims=True) * operation.centred).astype(np.float64) ** 2
            return float(squares.mean(axis=1).max()) * NORMALISE_MARGIN
        case _:
            raise InvariantError(f"{node.name}: {type(operation).__name__} has no range")


def _gather(maps: dict[int, np.ndarray], view: View) -> np.ndarray:
    """float[images, channels, height, width] of a view."""
    return np.stack([maps[int(s)][:, c] for s, c in zip(view.sources, view.channels, strict=True)], axis=1)


def _largest_sum(x: np.ndarray, size: int) -> float:
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (size // 2, size // 2), (0, 0), (0, 0)))
    total = np.cumsum(squares, axis=1)
    return float((total[:, size:] - total[:, :-size]).max(initial=0.0)) if total.shape[1] > size else float(total.max())
