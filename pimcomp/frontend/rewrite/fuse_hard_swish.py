"""Graph pass: recognise x * clamp(x + 3, 0, 6) / 6 and x * HardSigmoid(x), as exporters spell HardSwish out."""

import math
from dataclasses import dataclass, replace

import numpy as np

from pimcomp.frontend.rewrite.rewire import as_scale, rewire
from pimcomp.ir.graph import Activation, ActivationKind, Eltwise, Graph, Node, Standalone, View

TOLERANCE = 1e-6  # a factor of 1/6 in float32


@dataclass(frozen=True, slots=True)
class _Gate:
    """factor * clamp(x / 6 + 0.5, 0, 1) for the channels x of `view`."""

    view: View
    factor: float


def fuse_hard_swish(graph: Graph) -> Graph:
    """The same function with a `Standalone` HardSwish per such product; what it replaces is left to `drop_dead`."""
    gates = _gates(graph)
    read_by = graph.readers()
    nodes: list[Node | None] = list(graph.nodes)
    moved: dict[int, View] = {}
    swish = Activation(kind=ActivationKind.HARD_SWISH)
    for index, node in enumerate(graph.nodes):
        found = _gated(node, gates) if node.activation is None else None
        if found is None:
            continue
        x, factor = found
        if not math.isclose(factor, 1, rel_tol=TOLERANCE):
            divider = _divider(graph, read_by[index], factor)
            if divider is None:
                continue
            moved[divider] = graph.nodes[divider].inputs[0]
            nodes[divider] = None
        nodes[index] = replace(node, operation=Standalone(), inputs=(x,), activation=swish)
    return rewire(graph, nodes, moved)


def _divider(graph: Graph, read_by: set[int], factor: float) -> int | None:
    """The one reader, if all it does is to divide by `factor`, else None."""
    index = next(iter(read_by)) if len(read_by) == 1 else -1
    if index < 0 or graph.nodes[index].activation is not None:
        return None
    scale = _uniform(graph.nodes[index])
    divides = scale is not None and scale[1] == 0 and math.isclose(scale[0] * factor, 1, rel_tol=TOLERANCE)
    return index if divides else None


def _gates(graph: Graph) -> dict[int, _Gate]:
    """The nodes that compute a gate."""
    gates: dict[int, _Gate] = {}
    for index, node in enumerate(graph.nodes):
        activation, scale = node.activation, _uniform(node)
        if isinstance(node.operation, Standalone) and activation is not None:
            slope, offset, factor = activation.alpha, activation.beta, 1.0
            if activation.kind is not ActivationKind.HARD_SIGMOID:
                continue
        elif scale is not None and activation is not None and activation.kind is ActivationKind.CLIP:
            factor = activation.high
            if activation.low != 0 or not math.isfinite(factor) or factor <= 0:
                continue
            slope, offset = scale[0] / factor, scale[1] / factor
        elif scale is not None and activation is None and scale[1] == 0:
            inner = _whole(node.inputs[0], gates)
            if inner is not None:
                gates[index] = _Gate(inner.view, inner.factor * scale[0])
            continue
        else:
            continue
        if math.isclose(slope, 1 / 6, rel_tol=TOLERANCE) and math.isclose(offset, 0.5, rel_tol=TOLERANCE):
            gates[index] = _Gate(node.inputs[0], factor)
    return gates


def _uniform(node: Node) -> tuple[float, float] | None:
    """(factor, shift) of a node that scales all channels alike, else None."""
    scale = as_scale(node)
    if scale is None or np.ptp(scale.weights) != 0 or (scale.bias is not None and np.ptp(scale.bias) != 0):
        return None
    return float(scale.weights.flat[0]), 0.0 if scale.bias is None else float(scale.bias[0])


def _whole(view: View, gates: dict[int, _Gate]) -> _Gate | None:
    """The gate of which a view holds all channels in order, else None."""
    gate = gates.get(int(view.sources[0]))
    channels = np.arange(len(view.channels))
    if gate is None or len(gate.view.channels) != len(channels) or np.any(view.sources != view.sources[0]):
        return None
    return gate if np.array_equal(view.channels, channels) else None


def _gated(node: Node, gates: dict[int, _Gate]) -> tuple[View, float] | None:
    """(x, factor) if the node multiplies x with its own gate, else None."""
    if node.operation != Eltwise("mul") or len(node.inputs) != 2:
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        gate = _whole(other, gates)
        if gate is not None and _equal(gate.view, x):
            return x, gate.factor
    return None


def _equal(left: View, right: View) -> bool:
    return np.array_equal(left.sources, right.sources) and np.array_equal(left.channels, right.channels)
