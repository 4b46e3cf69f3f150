"""Neighbouring output rows of a layer as channels of one row: more windows share what an MVM reads.

A block of windows shares columns of its input; windows of neighbouring rows share rows, too. Four rows of a 7 x 7 layer
of stride 2 take 13 input rows where each alone takes 7. So the layer becomes one of as many kernels again, shifted
down, and a `Pick` deals its channels out to rows. That pays where a window takes few array groups, which is where an
image comes in; layers with many channels fill MVMs by themselves, and would only occupy more crossbars.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Graph, Loaded, Node, Pick, View, Window, on_crossbars
from pimcomp.plan.partition import conv_of
from pimcomp.plan.problem import PLANNED_OVERHEAD_CYCLES, layer_options
from pimcomp.plan.rewriting.heads import instead
from pimcomp.plan.rewriting.vector_layers import Unfold

MOST_ROWS = 4
# Of a window, in crossbar heights: with more (alexnet, caffenet) sharing saves nothing, or loses.
MOST_TAPS = 2
LEAST_SAVING = 0.1  # of a layer's issue time
MOST_FILLED = 0.5  # share of the chip that the network takes once: where replicas are few, crossbars count, not MVMs
ROOM = 64  # a stacked layer takes at most this fraction of the chip's crossbars

_NAME = re.compile(r"(.*) \(rows by (\d+)\)")


def stack_rows(graph: Graph, rows: Mapping[str, int]) -> Graph:
    """The graph with so many output rows of the named layers computed as one."""
    for index in reversed(graph.weighted()):
        node = graph.nodes[index]
        if (many := rows.get(node.name, 1)) > 1:
            parts = np.arange(many * node.channels, dtype=np.int32).reshape(many, -1)
            dealt = replace(
                node,
                name=f"{node.name} (rows by {many})",
                operation=Pick(tuple(row // many for row in range(node.height)), tuple(range(node.width))),
                inputs=tuple(View(np.full_like(part, index), part) for part in parts),
                activation=None,
            )
            tall = stacked(node, many, graph.shape_of(node.inputs[0])[1])
            graph = instead(graph, index, (tall, dealt), np.full_like(parts[0], index + 1), parts[0])
    return graph


def rows_stacked(names: Collection[str]) -> dict[str, int]:
    """The rows that a graph with these names of nodes was stacked by."""
    return {found[1]: int(found[2]) for name in names if (found := _NAME.fullmatch(name))}


def stacked(node: Node, rows: int, source_height: int) -> Node:
    """A layer that computes so many output rows of another as channels of one, the top row first; below the last row
    it computes what nobody reads."""
    conv = conv_of(node)
    (tall, wide), (down, across), (top, left, _, right) = conv.window.kernel, conv.window.stride, conv.window.pads
    height, taller = -(-node.height // rows), tall + (rows - 1) * down
    weights = np.zeros((rows, *conv.weights.shape[:2], taller, wide), np.float32)
    for row in range(rows):
        weights[row, :, :, row * down : row * down + tall] = conv.weights
    below = (height - 1) * rows * down + taller - top - source_height
    window = Window(kernel=(taller, wide), stride=(rows * down, across), pads=(top, left, below, right))
    bias = None if conv.bias is None else np.tile(conv.bias, rows)
    return replace(
        node,
        operation=replace(conv, weights=weights.reshape(-1, *weights.shape[2:]), bias=bias, window=window),
        channels=rows * node.channels,
        height=height,
    )


def rows_that_pay(graph: Graph, arch: Arch, unfold: Unfold) -> dict[str, int]:
    """By how many rows layers had best be stacked on this chip, by the issue time of their best unfoldings that need no
    more crossbars than the best one of the layer as it is."""
    found: dict[str, int] = {}
    weights = sum(node.operation.weights.size for node in graph.nodes if isinstance(node.operation, Conv))
    if weights > MOST_FILLED * arch.crossbars * arch.crossbar_rows * arch.weight_cols:
        return found
    for index, node in enumerate(graph.nodes):
        if on_crossbars(node.operation) and _may_pay(graph, node, arch):
            plain = min(layer_options(arch, unfold(graph, index, arch)), key=lambda option: option.work_ns)
            times = {
                rows: _time_ns(graph, index, rows, arch, unfold, plain.crossbars) for rows in range(2, MOST_ROWS + 1)
            }
            best = min(times, key=lambda rows: times[rows])
            if times[best] < (1 - LEAST_SAVING) * plain.work_ns:
                found[node.name] = best
    return found


def _may_pay(graph: Graph, node: Node, arch: Arch) -> bool:
    if not all(isinstance(graph.nodes[source].operation, Loaded) for source in node.inputs[0].nodes):
        return False
    conv = conv_of(node)
    tall, down = conv.window.kernel[0], conv.window.stride[0]
    small = conv.weights[0].size <= MOST_TAPS * arch.crossbar_rows
    return small and conv.groups == 1 and conv.window.dilation[0] == 1 and tall > down and node.height > MOST_ROWS


def _time_ns(graph: Graph, index: int, rows: int, arch: Arch, unfold: Unfold, most: int) -> float:
    """Issue time of one image in the best unfolding with up to `most` crossbars, and of dealing the rows out; infinite
    where there is none, or the least takes too much room."""
    node = graph.nodes[index]
    tall = stacked(node, rows, graph.shape_of(node.inputs[0])[1])
    graph = replace(graph, nodes=(*graph.nodes[:index], tall, *graph.nodes[index + 1 :]))
    options = layer_options(arch, unfold(graph, index, arch))
    if min(option.crossbars for option in options) * ROOM > arch.crossbars:
        return math.inf
    pixel = np.array([node.channels * arch.element_bytes])
    dealt_ns = float((arch.local_read_ns(pixel) + arch.local_write_ns(pixel))[0])
    dealt_ns += PLANNED_OVERHEAD_CYCLES * arch.core_period_ns
    least_ns = min((option.work_ns for option in options if option.crossbars <= most), default=math.inf)
    return least_ns + node.height * node.width * dealt_ns
