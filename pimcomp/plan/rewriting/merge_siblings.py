"""Convolutions that read the same map become one: every input vector enters the crossbars once for all of them.

The branches of an inception or fire module, or a residual block's 3 x 3 layer and its 1 x 1 shortcut, differ in their
weights only. Side by side in one matrix they share staging, MVMs, messages and bias additions; a smaller kernel is
placed inside the largest one, where it leaves columns that the partition drops.
"""

from dataclasses import replace

import numpy as np

from pimcomp.ir.graph import Conv, FloatArray, Graph, Node, View, Window
from pimcomp.ir.precision import Precision


def merge_siblings(graph: Graph) -> Graph:
    """The graph with every family of siblings as one node, named after all of them, at the place of the first.

    Siblings have the same input view, stride, dilation, output size and activation, no groups, and kernels that lie
    within the largest of theirs. Views of a sibling's channels become views of its part of the whole.
    """
    families = sibling_families(graph)
    if not families:
        return graph
    leader = {member: family[0] for family in families for member in family}
    nodes: list[Node] = []
    place = np.zeros(len(graph.nodes), dtype=np.int32)  # where each node's result is now: node, and first channel
    first = np.zeros(len(graph.nodes), dtype=np.int32)

    def moved(view: View) -> View:
        return View(place[view.sources], view.channels + first[view.sources])

    for index, node in enumerate(graph.nodes):
        if leader.get(index, index) != index:
            continue
        family = next((f for f in families if f[0] == index), (index,))
        merged = node if len(family) == 1 else _merged([graph.nodes[i] for i in family])
        starts = np.cumsum([0, *(graph.nodes[i].channels for i in family)])
        nodes.append(replace(merged, inputs=tuple(moved(view) for view in merged.inputs)))
        for member, start in zip(family, starts[:-1], strict=True):
            place[member], first[member] = len(nodes) - 1, start
    outputs = tuple(replace(output, view=moved(output.view)) for output in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def sibling_families(graph: Graph) -> list[tuple[int, ...]]:
    """Groups of two or more siblings, each in graph order."""
    found: dict[tuple[object, ...], list[int]] = {}
    for index, node in enumerate(graph.nodes):
        if isinstance(node.operation, Conv) and node.operation.groups == 1:
            window, view = node.operation.window, node.inputs[0]
            same = (view.sources.tobytes(), view.channels.tobytes(), window.stride, window.dilation)
            shape = (node.height, node.width, node.activation, node.operation.precision)
            found.setdefault((*same, *shape), []).append(index)
    families = []
    for members in found.values():
        largest = _frame([graph.nodes[i] for i in members])
        fits = tuple(i for i in members if _fits(graph.nodes[i], largest))
        if len(fits) > 1:
            families.append(fits)
    return families


def _window(node: Node) -> Window:
    assert isinstance(node.operation, Conv)
    return node.operation.window


def _frame(nodes: list[Node]) -> Window:
    """The window of the largest kernel."""
    return max((_window(node) for node in nodes), key=lambda w: w.kernel[0] * w.kernel[1])


def _offset(window: Window, frame: Window) -> tuple[int, int] | None:
    """Where a window's first tap lies within the frame, None if it does not lie on its taps."""
    offset = []
    for axis in range(2):
        shift = frame.pads[axis] - window.pads[axis]
        tap, rest = divmod(shift, frame.dilation[axis])
        if rest or tap < 0 or tap + window.kernel[axis] > frame.kernel[axis]:
            return None
        offset.append(tap)
    return offset[0], offset[1]


def _fits(node: Node, frame: Window) -> bool:
    return _offset(_window(node), frame) is not None


def _merged(nodes: list[Node]) -> Node:
    """One node for all siblings; channels in their order."""
    frame = _frame(nodes)
    weights, biases, precision = [], [], Precision()
    for node in nodes:
        assert isinstance(node.operation, Conv)
        precision = node.operation.precision  # the same for all
        weights.append(_framed(node.operation.weights, _window(node), frame))
        bias = node.operation.bias
        biases.append(np.zeros(node.channels, np.float32) if bias is None else bias)
    bias = np.concatenate(biases)
    return replace(
        nodes[0],
        name=" + ".join(node.name for node in nodes),
        operation=Conv(
            window=frame,
            weights=np.concatenate(weights),
            bias=bias if bias.any() else None,
            precision=precision,
        ),
        channels=sum(node.channels for node in nodes),
    )


def _framed(weights: FloatArray, window: Window, frame: Window) -> FloatArray:
    """Weights with zeros around them."""
    offset = _offset(window, frame)
    assert offset is not None
    whole = np.zeros((*weights.shape[:2], *frame.kernel), np.float32)
    y, x = offset
    whole[:, :, y : y + window.kernel[0], x : x + window.kernel[1]] = weights
    return whole
