"""Depthwise layers on the vector unit: which of them it computes faster than crossbars do.

A depthwise channel meets only its own kernel_h x kernel_w weights, so that a crossbar of 128 rows holds no more than 14
channels of a 3 x 3 kernel and one MVM yields as many results. The vector unit multiplies and adds whole pixels instead
(`Conv.vector`), with weights that it holds in local memory like a bias.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Unfoldings
from pimcomp.ir.graph import Conv, Graph, Node
from pimcomp.plan.partition import useful_unfoldings
from pimcomp.plan.problem import PLANNED_OVERHEAD_CYCLES, layer_options
from pimcomp.plan.unfoldings import unfoldings_of

# Contiguous runs of channels that a pixel may be gathered from: each is an instruction of its own.
MOST_RUNS = 4


Unfold = Callable[[Graph, int, Arch], Unfoldings]


def unfold_layer(graph: Graph, index: int, arch: Arch) -> Unfoldings:
    """The useful unfoldings of one layer; they depend on the shape of crossbars and how many share a core."""
    return unfoldings_of(graph, useful_unfoldings(graph, index, arch))


def use_vector_unit(graph: Graph, arch: Arch, unfold: Unfold = unfold_layer) -> Graph:
    """The graph with every depthwise layer marked that takes less issue time on the vector unit of this chip."""
    nodes = tuple(
        replace(node, operation=replace(node.operation, vector=True))
        if isinstance(node.operation, Conv) and _is_depthwise(node) and _vector_wins(graph, index, arch, unfold)
        else node
        for index, node in enumerate(graph.nodes)
    )
    return replace(graph, nodes=nodes)


def _is_depthwise(node: Node) -> bool:
    conv, view = node.operation, node.inputs[0]
    assert isinstance(conv, Conv)
    return 1 < conv.groups == node.channels == len(view.channels)


def _vector_wins(graph: Graph, index: int, arch: Arch, unfold: Unfold) -> bool:
    """Whether all pixels' products and sums take less time than the MVMs of the best unfolding and what goes with
    them."""
    node = graph.nodes[index]
    conv = node.operation
    assert isinstance(conv, Conv)
    runs = len(node.inputs[0].runs[1])
    if runs > MOST_RUNS:
        return False
    instruction_ns = arch.vector_ns(-(-node.channels // runs), 2) + PLANNED_OVERHEAD_CYCLES * arch.core_period_ns
    vector_ns = node.height * node.width * 2 * math.prod(conv.window.kernel) * runs * instruction_ns
    crossbar_ns = min(option.work_ns for option in layer_options(arch, unfold(graph, index, arch)))
    return vector_ns < crossbar_ns
