"""Graph pass: a zero border made by Pad becomes the padding of the convolution or pooling that reads it."""

from collections.abc import Sequence
from dataclasses import replace

from pimcomp.frontend.lower.window_geometry import misses_map
from pimcomp.frontend.rewrite.rewire import resolve, rewire
from pimcomp.ir.graph import ActivationKind, Conv, Crop, Graph, Node, Pick, Pool, View, Window

Border = tuple[int, int, int, int]  # top, left, bottom, right


def merge_padding(graph: Graph) -> Graph:
    """The same function with fewer borders computed; a `Crop` that nothing reads any more is left to `drop_dead`.

    Where the border stays: in front of an average that would have to count it differently from its own padding, and of
    a maximum over values that may be negative.
    """
    nodes: list[Node | None] = list(graph.nodes)
    for index, node in enumerate(graph.nodes):
        if not isinstance(node.operation, Conv | Pool):
            continue
        read = node.inputs[0].nodes
        borders = {_border(graph, source) for source in read}
        border = next(iter(borders))
        if len(borders) != 1 or border is None:
            continue
        inner = resolve(node.inputs[0], {source: graph.nodes[source].inputs[0] for source in read})
        operation = _padded(graph, node, border, inner)
        if operation is not None:
            nodes[index] = replace(node, operation=operation, inputs=(inner,))
    return rewire(graph, nodes, {})


def _border(graph: Graph, index: int) -> Border | None:
    """The zeros a node puts around its input, None if it does anything else."""
    node = graph.nodes[index]
    if not isinstance(node.operation, Crop) or node.activation is not None:
        return None
    inner = graph.nodes[node.inputs[0].sources[0]]
    top, left = -node.operation.top, -node.operation.left
    border = (top, left, node.height - inner.height - top, node.width - inner.width - left)
    return border if min(border) >= 0 else None


def _padded(graph: Graph, node: Node, border: Border, inner: View) -> Conv | Pool | None:
    """The operation with the border in its own padding, None where that would change the result."""
    operation = node.operation
    if isinstance(operation, Conv):
        return replace(operation, window=_wider(operation.window, border))
    if not isinstance(operation, Pool):
        return None
    wider = replace(operation, window=_wider(operation.window, border))
    first = graph.nodes[inner.sources[0]]
    if misses_map(wider.window, (first.height, first.width), (node.height, node.width)):
        return None
    if operation.method == "max":
        return wider if _never_negative(graph, inner.nodes) else None
    top, left, bottom, right = operation.window.pads
    own_padding = any((top, left, bottom - operation.overhang[0], right - operation.overhang[1]))
    if own_padding and not operation.count_padding:
        return None
    return replace(wider, count_padding=True)


def _wider(window: Window, border: Border) -> Window:
    top, left, bottom, right = (own + more for own, more in zip(window.pads, border, strict=True))
    return replace(window, pads=(top, left, bottom, right))


def _never_negative(graph: Graph, indices: Sequence[int]) -> bool:
    """Whether zeros cannot exceed the maximum: everything that is read has passed a ReLU or the like."""
    waiting, seen = list(indices), set(indices)
    while waiting:
        node = graph.nodes[waiting.pop()]
        activation = node.activation
        if activation is None:
            if not isinstance(node.operation, Pool | Crop | Pick):
                return False
            further = set(node.inputs[0].nodes) - seen  # it selects: what it reads decides
            waiting += further
            seen |= further
        elif activation.kind is ActivationKind.CLIP:
            if activation.low < 0:
                return False
        elif activation.kind not in (ActivationKind.RELU, ActivationKind.SIGMOID, ActivationKind.HARD_SIGMOID):
            return False
    return True
