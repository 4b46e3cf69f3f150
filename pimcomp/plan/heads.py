"""What lets many cores work at a transformer together: maps of single heads, gathered keys, long activations apart, and
wide layers in blocks.

Messages carry whole pixels, and a layer's results lie on the head cores of its replicas. Were one head's queries, keys
and values not maps of their own, everyone would get those of all heads; were its keys not gathered, everyone would get
them token by token. And a layer of many inputs and outputs would be added up by one core, for all tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pimcomp.ir.graph import ActivationKind, Eltwise, Graph, Node, Product, Standalone, Turn, View, on_crossbars, whole
from pimcomp.plan.partition import conv_of
from pimcomp.plan.segments import Span, unused

LONG = {ActivationKind.ERF, ActivationKind.GELU}  # a dozen instructions for every piece of a pixel
# Layers over tokens with more inputs than ROWS are better in blocks of up to CHANNELS outputs (bert_base, 768 inputs,
# on pimcomp_default if memory were not short: 43 ms in blocks of 768, 33 ms of 384 and of 256).
ROWS, CHANNELS = 512, 384


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
    node, made = graph.nodes[index], list(graph.nodes[:index])
    taken = {other.name for other in graph.nodes} | {output.name for output in graph.outputs}
    place, first = np.empty(node.channels, np.int32), np.empty(node.channels, np.int32)
    for outputs, inputs in blocks:
        for number, span in enumerate(inputs):
            part = _block(node, outputs, span, last=len(inputs) == 1, first=number == 0)
            made.append(replace(part, name=unused(part.name, taken)))
            if number:
                name = unused(_named(node, outputs, (inputs[0][0], span[1])), taken)
                operands = (whole(len(made) - 2, part.channels), whole(len(made) - 1, part.channels))
                activation = node.activation if number == len(inputs) - 1 else None
                made.append(replace(part, name=name, operation=Eltwise("add"), inputs=operands, activation=activation))
        place[slice(*outputs)], first[slice(*outputs)] = len(made) - 1, np.arange(outputs[1] - outputs[0])
    more = len(made) - 1 - index

    def moved(view: View) -> View:
        own = view.sources == index
        sources = np.where(view.sources > index, view.sources + more, view.sources)
        sources[own] = place[view.channels[own]]
        channels = view.channels.copy()
        channels[own] = first[view.channels[own]]
        return View(sources, channels)

    behind = (replace(n, inputs=tuple(moved(view) for view in n.inputs)) for n in graph.nodes[index + 1 :])
    outputs_moved = tuple(replace(output, view=moved(output.view)) for output in graph.outputs)
    return replace(graph, nodes=(*made, *behind), outputs=outputs_moved)


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
