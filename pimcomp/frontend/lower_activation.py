"""Element-wise functions of one feature map -> `Standalone`, to be fused into the producer by a later pass."""

import math

import numpy as np

from pimcomp.frontend.graph_builder import GraphBuilder
from pimcomp.frontend.lower_elementwise import clip
from pimcomp.frontend.onnx_node import OnnxNode, Unsupported
from pimcomp.frontend.tensor import Tensor
from pimcomp.ir.graph import Activation, ActivationKind

_PLAIN = {
    "Relu": ActivationKind.RELU,
    "Sigmoid": ActivationKind.SIGMOID,
    "Tanh": ActivationKind.TANH,
    "HardSwish": ActivationKind.HARD_SWISH,
}
PLAIN_OPS = tuple(_PLAIN)


def lower_plain(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Functions without parameters."""
    return builder.activation(node.name, node.tensor(0), Activation(kind=_PLAIN[node.op]))


def lower_clip(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Clip (opset 6 to 10: attributes, from 11: inputs)."""
    low, high = node.scalar("min", 1), node.scalar("max", 2)
    lowest = float(np.finfo(np.float32).min)  # how exporters of old opsets write "no bound"
    low = -math.inf if low is None or low <= lowest else low
    high = math.inf if high is None or high >= -lowest else high
    return clip(node.name, builder, node.tensor(0), low, high)


def lower_leaky_relu(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """LeakyRelu, and PRelu whose slopes are all equal."""
    if node.op == "PRelu":
        slopes = np.asarray(node.constant(1, "the slope"), np.float64)
        if slopes.size == 0 or np.ptp(slopes) != 0:
            raise Unsupported("slopes that differ between channels; one slope for all is supported")
        alpha = float(slopes.ravel()[0])
    else:
        alpha = node.real("alpha", 0.01)
    if not 0 <= alpha <= 1:
        raise Unsupported(f"slope {alpha}; max(x, slope * x) needs 0 <= slope <= 1")
    return builder.activation(node.name, node.tensor(0), Activation(kind=ActivationKind.LEAKY_RELU, alpha=alpha))


def lower_hard_sigmoid(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """HardSigmoid: clamp(alpha * x + beta, 0, 1)."""
    activation = Activation(
        kind=ActivationKind.HARD_SIGMOID, alpha=node.real("alpha", 0.2), beta=node.real("beta", 0.5)
    )
    return builder.activation(node.name, node.tensor(0), activation)
