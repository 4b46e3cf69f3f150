"""What lets many cores work at a transformer together: maps of single heads, gathered keys, long activations apart.

Messages carry whole pixels, and a layer's results lie on the head cores of its replicas. Were one head's queries, keys
and values not maps of their own, everyone would get those of all heads; were its keys not gathered, everyone would get
them token by token.
"""

from dataclasses import replace

import numpy as np

from pimcomp.ir.graph import ActivationKind, Graph, Node, Product, Standalone, Turn, View, on_crossbars, whole

LONG = {ActivationKind.ERF, ActivationKind.GELU}  # a dozen instructions for every piece of a pixel


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
