"""Ranges that the polynomial form of LRN must cover, from running the network on seeded images."""

import numpy as np

from pimcomp.ir.graph import Graph, Input, Lrn, View, image_shape
from pimcomp.proof.reference import intermediate_maps

IMAGES = 4
# Other images than the calibration's may exceed its largest sum of squares; a polynomial fitted on twice the range
# costs at most one degree more.
MARGIN = 2.0


def lrn_ranges(graph: Graph, seed: int) -> dict[int, float]:
    """Per LRN node: the largest sum of squares over its window of channels that its fit must cover.

    Calibration images are standard normal, as are the images of `pimdse verify`. Networks without LRN run nothing.
    """
    wanted = {index: node for index, node in enumerate(graph.nodes) if isinstance(node.operation, Lrn)}
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
    return {
        index: MARGIN * _largest_sum(_gather(maps, node.inputs[0]), node.operation.size)
        for index, node in wanted.items()
        if isinstance(node.operation, Lrn)
    }


def _gather(maps: dict[int, np.ndarray], view: View) -> np.ndarray:
    """float[images, channels, height, width] of a view."""
    return np.stack([maps[int(s)][:, c] for s, c in zip(view.sources, view.channels, strict=True)], axis=1)


def _largest_sum(x: np.ndarray, size: int) -> float:
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (size // 2, size // 2), (0, 0), (0, 0)))
    total = np.cumsum(squares, axis=1)
    return float((total[:, size:] - total[:, :-size]).max(initial=0.0)) if total.shape[1] > size else float(total.max())
