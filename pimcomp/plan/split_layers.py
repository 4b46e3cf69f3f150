"""A layer larger than the chip becomes layers that fit: its weights cut into blocks, whose results are added and put
side by side.

A block has some of the output channels and some of the input channels. Blocks of the same outputs give partial results
that are added one after the other, so that never more than two of them are needed at a time; the first has the bias,
the last sum the activation. Blocks of different outputs lie side by side in the views of what reads the layer.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Graph, IntArray
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.cores_needed import cores_needed
from pimcomp.plan.levers import fits
from pimcomp.plan.partition import conv_of
from pimcomp.plan.rewriting.heads import in_blocks, spans
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.plan.segments import segment


class Block(NamedTuple):
    """The most output and input channels that a block has."""

    outputs: int
    inputs: int


def split_layers(graph: Graph, arch: Arch, options: ScheduleOptions, price: Callable[[Graph], float | None]) -> Graph:
    """The graph with every layer that does not fit the chip by itself as layers that do; the same graph if all fit.

    price: of one block and its sum, as a graph of its own; None if it does not fit. Of all blocks that fit and lie in
    no larger one that does, those win whose price times their number is least. A layer of which no block fits stays as
    it is.
    """
    for index in reversed(graph.weighted()):
        conv = conv_of(graph.nodes[index])
        if conv.groups > 1 and not _alone_fits(graph, index, arch, options):
            graph = _split_groups(graph, index, arch, options)
    for index in reversed(graph.weighted()):
        if not _alone_fits(graph, index, arch, options):
            blocks = blocks_that_fit(conv_of(graph.nodes[index]), arch)
            choices = [_split_and_price(graph, index, block, price) for block in blocks]
            graph = min(choices, key=lambda choice: choice[1], default=(graph, 0.0))[0]
    return graph


def _alone_fits(graph: Graph, index: int, arch: Arch, options: ScheduleOptions) -> bool:
    return fits(rewrite(segment(graph, index, index + 1), arch, options), arch)


def _split_groups(graph: Graph, index: int, arch: Arch, options: ScheduleOptions) -> Graph:
    """A layer with groups as layers of as many of them as fit, or of one."""
    conv = conv_of(graph.nodes[index])
    outputs, inputs = len(conv.weights) // conv.groups, conv.weights.shape[1]
    for parts in range(2, conv.groups + 1):
        most = -(-conv.groups // parts)
        bounds = spans(conv.groups, most)
        blocks = [((a * outputs, b * outputs), [(a * inputs, b * inputs)]) for a, b in bounds]
        divided = in_blocks(graph, index, blocks)
        if most == 1 or _alone_fits(divided, index + len(bounds) - 1, arch, options):  # the last is a largest one
            return divided
    return graph


def _split_and_price(
    graph: Graph, index: int, block: Block, price: Callable[[Graph], float | None]
) -> tuple[Graph, float]:
    conv = conv_of(graph.nodes[index])
    outputs, inputs = (spans(size, most) for size, most in zip(conv.weights.shape[:2], block, strict=True))
    divided = in_blocks(graph, index, [(span, inputs) for span in outputs])
    # the last block of the first outputs is a largest one
    stop = index + 2 * len(inputs) - 1
    cost = price(segment(divided, max(index, stop - 2), stop))
    return divided, math.inf if cost is None else len(outputs) * len(inputs) * cost


def blocks_that_fit(conv: Conv, arch: Arch) -> list[Block]:
    """The largest blocks of a layer without groups that fit, from wide ones to high ones.

    For each number of crossbars above each other as many output channels as there can be: array groups are those of
    the partition, as high as a crossbar and no wider than a core.
    """
    outputs, inputs = conv.weights.shape[:2]
    taps, columns = math.prod(conv.window.kernel), int(arch.weight_cols_at(conv.precision.weight_bits))
    found: list[Block] = []
    wide, channels = -(-outputs // columns), 0
    for high in range(1, arch.crossbars + 1):
        while wide and cores_needed(_group_sizes(high, wide, arch), arch.crossbars_per_core) > arch.total_cores:
            wide -= 1
        if not wide or channels == inputs:
            break
        channels = min(inputs, high * arch.crossbar_rows // taps)
        block = Block(min(outputs, wide * columns), channels)
        if found and found[-1].outputs == block.outputs:
            found.pop()  # it lies in this one
        if channels:
            found.append(block)
    return found


def _group_sizes(high: int, wide: int, arch: Arch) -> IntArray:
    """Crossbars of each array group, where `wide` crossbars lie side by side and `high` above each other."""
    full, rest = divmod(wide, arch.crossbars_per_core)
    return np.array(([arch.crossbars_per_core] * full + [rest] * (rest > 0)) * high, np.int32)
