"""What lets many cores work together: of a transformer, maps of single heads, gathered keys, long activations apart,
and wide layers in blocks; of a network whose fully connected layers crowd the chip, narrow layers.

Messages carry whole pixels, and a layer's results lie on the head cores of its replicas. Were one head's queries, keys
and values not maps of their own, everyone would get those of all heads; were its keys not gathered, everyone would get
them token by token. And a layer of many inputs and outputs would be added up by one core, for all tokens.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import (
    ActivationKind,
    Conv,
    Eltwise,
    Graph,
    IntArray,
    Node,
    Pool,
    Product,
    Standalone,
    Turn,
    View,
    on_crossbars,
    whole,
)
from pimcomp.plan.partition import conv_of
from pimcomp.plan.segments import Span, unused

LONG = {ActivationKind.ERF, ActivationKind.GELU}  # a dozen instructions for every piece of a pixel
# Layers over tokens with more inputs than ROWS are better in blocks of up to CHANNELS outputs (bert_base, 768 inputs,
# on pimcomp_default if memory were not short: 43 ms in blocks of 768, 33 ms of 384 and of 256).
ROWS, CHANNELS = 512, 384
CROWDED = 0.5  # share of the crossbars that fully connected layers hold, above which all layers become narrow
# The widest array groups of narrow layers, as shares of a core: of fully connected layers, which fill what the others
# leave, and of those that scatter.
NARROW_FULL, NARROW = 1 / 16, 1 / 4


def spread_out(graph: Graph) -> Graph:
    """The same function with more nodes: a copy of every part of a map that a `Product` or a `Turn` reads alone, which
    all who read the same channels share; a copy of what a product reads as its operand 1, and long activations of
    layers over tokens as nodes of their own."""
    nodes: list[Node] = []
    place: list[int] = []
    copies: dict[tuple[int, int, int, bool], int] = {}

    def moved(view: View) -> View:
        return View(np.array(place, np.int32)[view.sources], view.channels)

    def copied(view: View, *, gathered: bool) -> View:
        if view.runs.shape[1] != 1:
            return view
        _, source, first, channels = view.runs[:, 0].tolist()
        wide, key = nodes[source], (source, first, channels, gathered)
        if isinstance(wide.operation, Turn) if gathered else channels == wide.channels:
            return view
        if key not in copies:
            name = f"{wide.name}.gathered" if gathered else f"{wide.name}[{first}:{first + channels}]"
            copies[key] = len(nodes)
            nodes.append(
                replace(wide, name=name, operation=Standalone(), inputs=(view,), channels=channels, activation=None)
            )
        return whole(copies[key], channels)

    for node in graph.nodes:
        inputs = [moved(view) for view in node.inputs]
        if isinstance(node.operation, Product | Turn):
            inputs = [copied(view, gathered=False) for view in inputs]
            inputs[1:] = [copied(view, gathered=True) for view in inputs[1:]]
        made = replace(node, inputs=tuple(inputs))
        long = node.activation is not None and node.activation.kind in LONG
        if long and on_crossbars(node.operation) and node.height == 1 < node.width:
            nodes.append(replace(made, name=f"{node.name}.sums", activation=None))
            made = replace(made, operation=Standalone(), inputs=(whole(len(nodes) - 1, node.channels),))
        place.append(len(nodes))
        nodes.append(made)
    outputs = tuple(replace(output, view=moved(output.view)) for output in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def narrow_layers(graph: Graph) -> Graph:
    """The graph with every layer over tokens that has more than ROWS inputs as layers of at most CHANNELS outputs, side
    by side: their partial sums come from many cores, and one would add them up for all tokens."""
    for index in reversed(graph.weighted()):
        node, conv = graph.nodes[index], conv_of(graph.nodes[index])
        tokens, rows = node.height == 1 < node.width, math.prod(conv.weights.shape[1:])
        if tokens and conv.groups == 1 and rows > ROWS and node.channels > CHANNELS:
            inputs = [(0, len(node.inputs[0].channels))]
            graph = in_blocks(graph, index, [(span, inputs) for span in spans(node.channels, CHANNELS)])
    return graph


def spans(size: int, most: int) -> list[Span]:
    """Parts of about equal size, none larger than `most`; the last is a largest one."""
    count = -(-size // most)
    return list(pairwise(size * k // count for k in range(count + 1)))


def in_blocks(graph: Graph, index: int, blocks: Sequence[tuple[Span, Sequence[Span]]]) -> Graph:
    """The graph with a layer in blocks: per span of outputs the spans of the inputs whose results are added.

    A block is named as its layer with its outputs and inputs; a sum with all the inputs that are in it.
    """
    node, made = graph.nodes[index], list[Node]()
    taken = {other.name for other in graph.nodes} | {output.name for output in graph.outputs}
    place, first = np.empty((2, node.channels), np.int32)
    for outputs, inputs in blocks:
        for number, span in enumerate(inputs):
            part = _block(node, outputs, span, last=len(inputs) == 1, first=number == 0)
            made.append(replace(part, name=unused(part.name, taken)))
            if number:
                name = unused(_named(node, outputs, (inputs[0][0], span[1])), taken)
                ahead = index + len(made)
                operands = (whole(ahead - 2, part.channels), whole(ahead - 1, part.channels))
                activation = node.activation if number == len(inputs) - 1 else None
                made.append(replace(part, name=name, operation=Eltwise("add"), inputs=operands, activation=activation))
        place[slice(*outputs)], first[slice(*outputs)] = index + len(made) - 1, np.arange(outputs[1] - outputs[0])
    return instead(graph, index, made, place, first)


def instead(graph: Graph, index: int, made: Sequence[Node], place: IntArray, first: IntArray) -> Graph:
    """The graph with nodes in place of one. place, first: per channel of its result the node and channel it is now."""
    more = len(made) - 1

    def moved(view: View) -> View:
        own = view.sources == index
        sources = np.where(view.sources > index, view.sources + more, view.sources)
        sources[own] = place[view.channels[own]]
        channels = view.channels.copy()
        channels[own] = first[view.channels[own]]
        return View(sources, channels)

    behind = (replace(n, inputs=tuple(moved(view) for view in n.inputs)) for n in graph.nodes[index + 1 :])
    outputs_moved = tuple(replace(output, view=moved(output.view)) for output in graph.outputs)
    return replace(graph, nodes=(*graph.nodes[:index], *made, *behind), outputs=outputs_moved)


def cut_where_crowded(graph: Graph, arch: Arch) -> Graph:
    """The graph with wide layers side by side as narrow ones, where fully connected layers hold most of the chip; else
    the same graph.

    A fully connected layer fires once, but its array groups leave whole cores for nothing else; and an array group that
    scatters takes most of a core. Then the layers that work share few cores, and no replica finds room (vgg16 on
    pimcomp_default: the busiest core works 24 ms of 37, the mean one 3). A narrow layer's results are a part of the
    channels; what pools several parts is divided as they are.
    """
    layers = [(index, conv_of(graph.nodes[index])) for index in graph.weighted()]
    full = np.array([_is_full(graph.nodes[index]) for index, _ in layers], bool)
    crossbars = np.array([_crossbars(conv, arch) for _, conv in layers], np.int64)
    if full.all() or crossbars[full].sum() < CROWDED * arch.crossbars or crossbars.sum() > arch.crossbars:
        return graph
    spans: dict[int, list[Span]] = {}
    for index, conv in layers:
        node, columns = graph.nodes[index], int(arch.weight_cols_at(conv.precision.weight_bits))
        share = NARROW_FULL if _is_full(node) else NARROW / math.prod(conv.window.kernel)
        most = max(1, int(arch.crossbars_per_core * share)) * columns
        if conv.groups == 1 and node.channels > most:
            spans[index] = list(pairwise((*range(0, node.channels, most), node.channels)))
    return _side_by_side(graph, spans)


def cut_as(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph with layers side by side as in the one whose nodes have these names."""
    spans: dict[str, list[Span]] = {}
    for found in filter(None, (re.fullmatch(r"(.*)\[(\d+):(\d+), 0:\d+\]", name) for name in names)):
        spans.setdefault(found[1], []).append((int(found[2]), int(found[3])))
    return _side_by_side(graph, {i: spans[name] for i in graph.weighted() if (name := graph.nodes[i].name) in spans})


def _side_by_side(graph: Graph, spans: Mapping[int, Sequence[Span]]) -> Graph:
    """The graph with a layer per span of outputs in place of some layers, and what pools several of them divided."""
    for index in sorted(spans, reverse=True):
        inputs = (0, conv_of(graph.nodes[index]).weights.shape[1])
        graph = in_blocks(graph, index, [(span, [inputs]) for span in spans[index]])
    for index in reversed(range(len(graph.nodes) if spans else 0)):
        node = graph.nodes[index]
        if isinstance(node.operation, Pool) and len(node.inputs[0].nodes) > 1:
            graph = _apart(graph, index)
    return graph


def _is_full(node: Node) -> bool:
    """Whether a layer fires once."""
    return node.height * node.width == 1


def _crossbars(conv: Conv, arch: Arch) -> int:
    """Of one replica, about."""
    outputs, inputs = len(conv.weights), math.prod(conv.weights.shape[1:])
    return -(-inputs // arch.crossbar_rows) * -(-outputs // int(arch.weight_cols_at(conv.precision.weight_bits)))


def _apart(graph: Graph, index: int) -> Graph:
    """The graph with a node that looks at single channels as one per run of them."""
    node, view = graph.nodes[index], graph.nodes[index].inputs[0]
    taken, made = {other.name for other in graph.nodes}, list[Node]()
    place, first = np.empty((2, node.channels), np.int32)
    for begin, _, _, number in view.runs.T.tolist():
        part, place[begin : begin + number] = slice(begin, begin + number), index + len(made)
        first[part] = np.arange(number)
        name = unused(f"{node.name}[{begin}:{begin + number}]", taken)
        operand = View(view.sources[part], view.channels[part])
        made.append(replace(node, name=name, inputs=(operand,), channels=number))
    return instead(graph, index, made, place, first)


def _block(node: Node, outputs: Span, inputs: Span, *, first: bool, last: bool) -> Node:
    """Some filters of a layer over some of its inputs. first: the one with the bias; last: with the activation."""
    conv, view, channels = conv_of(node), node.inputs[0], outputs[1] - outputs[0]
    weights = conv.weights[slice(*outputs)]
    if conv.groups == 1:
        weights = weights[:, slice(*inputs)]
    groups = (inputs[1] - inputs[0]) // weights.shape[1]
    bias = conv.bias[slice(*outputs)] if conv.bias is not None and first else None
    return replace(
        node,
        name=_named(node, outputs, inputs),
        operation=replace(conv, weights=weights, bias=bias, groups=groups),
        inputs=(View(view.sources[slice(*inputs)], view.channels[slice(*inputs)]),),
        channels=channels,
        activation=node.activation if last else None,
    )


def _named(node: Node, outputs: Span, inputs: Span) -> str:
    return f"{node.name}[{outputs[0]}:{outputs[1]}, {inputs[0]}:{inputs[1]}]"
