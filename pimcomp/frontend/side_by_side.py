"""Several networks as one: a graph of parts that do not meet, whose names begin with their network's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.ir.graph import Graph, Node, Output, View


def own_labels(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once: a second "net" is "net-2"."""
    labels: list[str] = []
    for name in names:
        label, number = name, 1
        while label in labels:
            number += 1
            label = f"{name}-{number}"
        labels.append(label)
    return tuple(labels)


def prefix_of(label: str) -> str:
    """What the names of nodes, inputs and outputs of a network begin with beside others; labels have no slash."""
    return f"{label}/"


def joined_graph(graphs: Mapping[str, Graph]) -> Graph:
    """All graphs in one, node after node; their keys are what their names begin with from now on (`prefix_of`)."""
    nodes: list[Node] = []
    outputs: list[Output] = []
    for prefix, graph in graphs.items():
        first = np.int32(len(nodes))
        nodes += [
            replace(node, name=prefix + node.name, inputs=tuple(_behind(view, first) for view in node.inputs))
            for node in graph.nodes
        ]
        outputs += [replace(o, name=prefix + o.name, view=_behind(o.view, first)) for o in graph.outputs]
    notes = tuple(f"{prefix} {note}" for prefix, graph in graphs.items() for note in graph.notes)
    name = " + ".join(prefix[:-1] for prefix in graphs)
    return Graph(name=name, nodes=tuple(nodes), outputs=tuple(outputs), notes=notes)


def joined_network(labels: Sequence[str], networks: Sequence[LoadedNetwork]) -> LoadedNetwork:
    """All networks as one, for whom ONNX Runtime executes each by itself (`LoadedNetwork.parts`)."""
    parts = dict(zip(map(prefix_of, labels), networks, strict=True))
    graph = joined_graph({prefix: network.graph for prefix, network in parts.items()})
    return LoadedNetwork(graph, lambda: b"", graph.name, tuple(parts.items()))


def _behind(view: View, first: np.int32) -> View:
    """The view, where the nodes it reads are numbered from `first` on."""
    return View(view.sources + first, view.channels)
