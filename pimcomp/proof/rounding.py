"""How far apart float32 rounding alone may bring two correct executions of a network: the floor under every tolerance.

A tolerance that is a share of a map's range means nothing where the range is as small as rounding itself: a network
with one output neuron and one image has no range at all, and a difference of two equal branches is zero give or take
what the branches rounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.brief import brief
from pimcomp.ir.graph import (
    ActivationKind,
    Conv,
    Eltwise,
    Fixed,
    FloatArray,
    Graph,
    Input,
    Node,
    Normalise,
    Pool,
    Product,
    Softmax,
    Standalone,
    Turn,
    View,
    Window,
)

UNIT = 2.0**-24  # the largest relative error of one float32 operation
# The errors below are root mean squares. The program and onnxruntime both round, in different orders, and the worst of
# many elements is several of them off.
MARGIN = 8.0
FAR_BELOW = -1e8
"""Where masks begin: float32 holds nothing else of a score of ordinary size that such a number was added to."""
MASK_GAP = 1e-3  # what is not masked is above this share of it
_CUTTING = (ActivationKind.RELU, ActivationKind.CLIP)

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Rounding:
    """floors: per node the largest difference that rounding explains. counted: see `counted`."""

    floors: tuple[float, ...]
    counted: Mapping[int, Flags]


def rounding(graph: Graph, maps: Mapping[int, FloatArray]) -> Rounding:
    """What rounding explains in every node of `graph`, from the maps of all its nodes.

    Rounding errors are independent, so they add in squares (Higham, Accuracy and Stability of Numerical Algorithms,
    2.8). Of a sum of n terms every partial sum rounds: sqrt(n) units of the sum, and where its terms cancel, of what
    it would be if they did not. Errors of a layer's input reach its result as any noise does: weighted, in squares.
    What ReLU and Clip cut off carries no error on, nor does what a softmax makes zero.
    """
    seen = counted(graph, maps)
    size = [_size(maps[n] * seen[n] if n in seen else maps[n]) for n in range(len(graph.nodes))]
    carried: list[Doubles] = []
    floors = []
    for n, node in enumerate(graph.nodes):
        values, before = ([_gather(of, view) for view in node.inputs] for of in (size, carried))
        error, whole, additions = _root_sum(before), np.asarray(sum(values)), max(len(values) - 1, 1)
        match node.operation:
            case Input() | Fixed():  # the same on both sides
                error = np.zeros(node.channels)
            case Conv() as conv:
                error, whole = _through(conv, before[0]), _through(conv, values[0])
                whole = whole if conv.bias is None else np.hypot(whole, conv.bias)
                additions = conv.weights[0].size
            case Pool(window=window):
                additions = window.kernel[0] * window.kernel[1]
            case Eltwise(method="mul"):
                others = [np.prod(values[:k] + values[k + 1 :], axis=0) for k in range(len(values))]
                error, whole = _root_sum([a * b for a, b in zip(before, others, strict=True)]), np.prod(values, axis=0)
            case Product():
                wide = np.ones(node.channels)
                error = wide * np.linalg.norm([before[k] * values[1 - k] for k in (0, 1)])
                whole, additions = wide * np.linalg.norm(values[0] * values[1]), len(values[0])
            case Turn():
                error, whole = np.full(node.channels, before[0].max()), size[n]
            case Softmax():
                error, whole, additions = size[n] * before[0].max(), size[n], len(values[0])
            case Normalise():
                error = before[0] * np.max(size[n] / np.maximum(values[0], 1e-30))
                whole, additions = size[n], len(values[0])
        if node.inputs:
            error = np.hypot(error, UNIT * np.sqrt(additions) * (whole + size[n]))
        if n in seen:
            error = error * seen[n].any(axis=(0, 2, 3))  # a bias can be a mask, too
        floors.append(MARGIN * float(error.max()))
        if node.activation is not None and node.activation.kind in _CUTTING:
            inside = maps[n].shape[0] * node.height * node.width
            passed = (maps[n] != maps[n].min()).sum(axis=(0, 2, 3))
            error = error * np.sqrt(np.maximum(passed, 1) / inside)
        carried.append(error)
    return Rounding(tuple(floors), seen)


def far_below(values: FloatArray) -> Flags:
    """Which of the values a mask put there: they are below -1e8, and all others are far above."""
    below = values <= FAR_BELOW
    return below & bool((below | (values > MASK_GAP * FAR_BELOW)).all() and not below.all())


def counted(graph: Graph, maps: Mapping[int, FloatArray]) -> dict[int, Flags]:
    """Of what only softmaxes read, element by element: bool[images, channels, height, width], what none makes zero; of
    outputs, what is not far below.

    Masks put the rest there: its size, of a billion, says nothing of what is rounded or wrong in the others.
    """
    found = {n: ~far_below(maps[n]) for n in graph.stored()}
    entire = {n for n in found if found[n].all()}
    for n, node in reversed(tuple(enumerate(graph.nodes))):
        passed = maps[n] > 0 if isinstance(node.operation, Softmax) else None
        if n in found and n not in entire and _by_element(node):
            passed = found[n]
        for view in node.inputs:
            if passed is None:
                entire.update(view.nodes)
                continue
            for place, source, first, length in view.runs.T.tolist():
                own = passed[:, place : place + length]
                flags = found.setdefault(source, np.zeros(maps[source].shape, bool))
                spread = flags.shape[2:] != own.shape[2:]
                flags[:, first : first + length] |= own.any(axis=(2, 3), keepdims=True) if spread else own
    return {n: flags for n, flags in found.items() if n not in entire}


def _by_element(node: Node) -> bool:
    """Whether every element of a node is made of the operands' elements in its place."""
    operation = node.operation
    if isinstance(operation, Conv):
        return operation.window == Window(kernel=(1, 1)) and operation.groups == node.channels
    return isinstance(operation, Eltwise | Standalone)


def _size(values: FloatArray) -> Doubles:
    """Per channel the root of the mean square."""
    found: Doubles = np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=(0, 2, 3)))
    return found


def _gather(of: Sequence[Doubles], view: View) -> Doubles:
    """Per channel of a view."""
    return np.array([of[source][channel] for source, channel in zip(view.sources, view.channels, strict=True)])


def _root_sum(parts: Sequence[Doubles]) -> Doubles:
    """The root of the sum of squares."""
    return np.sqrt(np.asarray(sum(np.square(part) for part in parts), np.float64))


def _through(conv: Conv, noise: Doubles) -> Doubles:
    """Per output channel the size of the sum of all products with independent values of these sizes."""
    outs, per_group = conv.weights.shape[:2]
    squares = np.einsum("oihw,oihw->oi", conv.weights, conv.weights).reshape(
        conv.groups, outs // conv.groups, per_group
    )
    sums = np.einsum("goi,gi->go", squares, np.square(noise).reshape(conv.groups, per_group))
    roots: Doubles = np.sqrt(sums).ravel()
    return roots
