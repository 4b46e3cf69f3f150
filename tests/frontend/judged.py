"""What the front end makes of an ONNX model: the right numbers, a refusal, wrong ones.

The judge is ONNX Runtime on the file as it is, or, where that cannot execute it, ONNX's own reference implementation.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from pimcomp.errors import ModelError, UnsupportedOp
from pimcomp.frontend import load_network
from pimcomp.ir.graph import Graph, Input
from pimcomp.ir.image_shape import image_shape
from tests.graph_oracle import evaluate

Values = dict[str, npt.NDArray[Any]]
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Outcome:
    """right | wrong | refused | contradiction (a ModelError, and the judge executes the file) | invalid (it does not) |
    unjudged (the network loads, and no judge executes the file).

    text: the reason, or how far off. named: the nodes that a refusal names.
    """

    kind: str
    text: str = ""
    named: tuple[str, ...] = ()


def judge(
    model: onnx.ModelProto,
    feeds: Mapping[str, npt.NDArray[Any]],
    want: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """The outcome of one model; `want` if the right outputs are known."""
    try:
        graph = load_network(model).graph
    except UnsupportedOp as error:
        reasons = "; ".join(offender.reason for offender in error.offenders)
        return Outcome("refused", reasons, tuple(offender.node for offender in error.offenders))
    except ModelError as error:
        return Outcome("contradiction" if _judged(model, feeds, want) else "invalid", str(error))
    want = _judged(model, feeds, want)
    return Outcome("unjudged") if want is None else compare(graph, feeds, want, tolerance)


def _judged(model: onnx.ModelProto, feeds: Mapping[str, npt.NDArray[Any]], want: Values | None) -> Values | None:
    try:
        found = expected(model, feeds) if want is None else want
        return found if all(np.size(values) for values in found.values()) else None
    except Exception:  # a dozen unrelated classes
        return None


def compare(graph: Graph, feeds: Mapping[str, npt.NDArray[Any]], want: Values, tolerance: float) -> Outcome:
    """The graph, image by image, against the outputs of the file's whole batch."""
    shapes = {n.name: image_shape(n.operation.onnx_shape) for n in graph.nodes if isinstance(n.operation, Input)}
    stacks = {name: np.asarray(feeds[name], np.float32).reshape(-1, *shape) for name, shape in shapes.items()}
    images = max(map(len, stacks.values()), default=1)
    runs = [evaluate(graph, {n: stack[i % len(stack)][None] for n, stack in stacks.items()})[1] for i in range(images)]
    for name, values in want.items():
        right, parts = np.asarray(values, np.float64), [run[name] for run in runs]
        found = _joined(parts, right.shape)
        if found is None:
            return Outcome("wrong", f"{name}: {images} of {list(parts[0].shape)} for {list(right.shape)}")
        finite = np.isfinite(right)
        reach = max(float(np.abs(right[finite]).max(initial=0)), 1e-6)
        error = float(np.abs(found[finite] - right[finite]).max(initial=0)) / reach
        if not error <= {"float16": 1e-3, "bfloat16": 1e-2}.get(values.dtype.name, tolerance):
            return Outcome("wrong", f"{name}: off by {error:.3g} of its largest value")
    return Outcome("right")


def _joined(parts: Sequence[npt.NDArray[Any]], shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """The results for single images as the result for all: one axis is that of the batch."""
    whole, one = image_shape(shape), image_shape(parts[0].shape)
    if len(parts) == 1 or math.prod(shape) == parts[0].size:
        return parts[0].reshape(shape) if whole == one else None
    grown = [k for k, (a, b) in enumerate(zip(shape, parts[0].shape)) if a == len(parts) * b]
    same = len(shape) == parts[0].ndim and math.prod(shape) == len(parts) * parts[0].size
    return np.concatenate(parts, axis=grown[0]) if same and grown else None


def expected(model: onnx.ModelProto, feeds: Mapping[str, npt.NDArray[Any]]) -> Values:
    """The outputs of the file as it is."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    names = [value.name for value in model.graph.output]
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error) and "Could not find an implementation" not in str(error):
            raise
        with np.errstate(all="ignore"):
            return dict(zip(names, ReferenceEvaluator(model).run(names, dict(feeds)), strict=True))


def random_feeds(model: onnx.ModelProto, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Seeded normals for every input of reals; what is no weight."""
    rng = np.random.default_rng(seed)
    weights = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: rng.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(np.float32)
        for value in model.graph.input
        if value.name not in weights and value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
