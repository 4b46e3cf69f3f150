"""How far apart float32 rounding alone may bring two correct executions of a network: the floor under every tolerance.

A tolerance that is a share of a map's range means nothing where the range is as small as rounding itself: a network
with one output neuron and one image has no range at all, and a difference of two equal branches is zero give or take
what the branches rounded.
"""

from collections.abc import Mapping

import numpy as np

from pimcomp.ir.graph import Conv, Eltwise, FloatArray, Graph, Pool, View

UNIT = 2.0**-24  # the largest relative error of one float32 operation
# Of the sums below: the program and onnxruntime both round, in different orders, and among many elements some are
# several standard deviations off.
MARGIN = 8.0


def rounding(graph: Graph, maps: Mapping[int, FloatArray]) -> list[float]:
    """Per node of `graph` the largest difference that rounding explains, from the maps of all its nodes.

    Rounding errors are independent, so they add in squares (Higham, Accuracy and Stability of Numerical Algorithms,
    2.8): a sum of n terms of one sign is off by sqrt(n) units of itself, one whose terms cancel by about one unit of
    their absolute sum, sum |w| |x|; errors of a layer's input grow by the norm of its weights, sqrt(sum w ** 2). Other
    activations than these slopes are at most 1 steep, or nearly.
    """
    largest = [float(np.abs(maps[index]).max()) for index in range(len(graph.nodes))]
    errors: list[float] = []

    def of(view: View) -> tuple[float, float]:
        """(largest value, error) of what a view reads."""
        sources = np.unique(view.sources).tolist()
        return max(largest[s] for s in sources), max(errors[s] for s in sources)

    for node, top in zip(graph.nodes, largest, strict=True):
        values, before = zip(*map(of, node.inputs)) if node.inputs else ((), ())
        carried, terms, additions = float(np.linalg.norm(before)), float(sum(values)), len(values)
        match node.operation:
            case Conv(weights=weights, bias=bias):
                rows = np.abs(weights.reshape(len(weights), -1))
                additions = rows.shape[1]
                carried *= float(np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1)).max())
                terms *= float(rows.sum(axis=1, dtype=np.float64).max())
                terms += 0.0 if bias is None else float(np.abs(bias).max())
            case Pool(window=window):
                additions = window.kernel[0] * window.kernel[1]
            case Eltwise(operation="mul"):
                others = [np.prod(values[:i] + values[i + 1 :]) for i in range(len(values))]
                carried = float(np.linalg.norm(np.multiply(before, others)))
                terms = float(np.prod(values))
        errors.append(float(np.hypot(carried, MARGIN * UNIT * (terms + np.sqrt(additions) * top))))
    return errors
