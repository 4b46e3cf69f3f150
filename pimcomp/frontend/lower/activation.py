"""Element-wise functions of one feature map -> `Standalone`, to be fused into the producer by a later pass."""

import math

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.lower.elementwise import NotPerChannel, affine, clip, eltwise, per_channel
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.move import in_channels
from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode
from pimcomp.frontend.lower.tensor import Tensor
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Window

_PLAIN = {
    "Relu": ActivationKind.RELU,
    "Sigmoid": ActivationKind.SIGMOID,
    "Tanh": ActivationKind.TANH,
    "HardSwish": ActivationKind.HARD_SWISH,
    "Erf": ActivationKind.ERF,
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
    """LeakyRelu, PRelu, and Abs, whose slope is -1.

    One slope for all channels from 0 to 1 is max(x, slope * x). Any others are slope * x + (1 - slope) * relu(x): the
    function, and a grouped 1 x 1 convolution of both per channel.
    """
    tensor = node.tensor(0)
    if node.op == "PRelu":
        given = np.asarray(node.constant(1, "the slope"), np.float64)
        if given.size == 0:
            raise BadShape("no slope")
        if given.ndim > len(tensor.axes):
            raise BadShape(f"slopes of shape {list(given.shape)} for an input of shape {list(tensor.shape)}")
        try:
            slopes = per_channel(tensor, given)
        except NotPerChannel:
            tensor = in_channels(node.name, builder, tensor)
            slopes = per_channel(tensor, given)
    else:
        slopes = np.full(tensor.cells.size, -1.0 if node.op == "Abs" else node.real("alpha", 0.01))
    return sloped(node.name, builder, tensor, slopes)


def sloped(name: str, builder: GraphBuilder, tensor: Tensor, slopes: npt.NDArray[np.float64]) -> Tensor:
    """x where it is positive, slopes[channel] * x where it is negative."""
    if np.ptp(slopes) == 0 and 0 <= slopes[0] <= 1:
        alpha = float(slopes[0])
        return builder.activation(name, tensor, Activation(kind=ActivationKind.LEAKY_RELU, alpha=alpha))
    positive = builder.activation(f"{name}.positive", tensor, Activation(kind=ActivationKind.RELU))
    both = np.stack([tensor.cells.ravel(), positive.cells.ravel()], axis=1).ravel()
    view = Tensor((), both, tensor.height, tensor.width).view
    weights = np.stack([slopes, 1 - slopes], axis=1).astype(np.float32).reshape(-1, 2, 1, 1)
    operation = Conv(window=Window(kernel=(1, 1)), weights=weights, groups=len(slopes))
    return tensor.on_node(builder.emit(name, operation, (view,), (len(slopes), tensor.height, tensor.width)))


def lower_hard_sigmoid(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """HardSigmoid: clamp(alpha * x + beta, 0, 1)."""
    activation = Activation(
        kind=ActivationKind.HARD_SIGMOID, alpha=node.real("alpha", 0.2), beta=node.real("beta", 0.5)
    )
    return builder.activation(node.name, node.tensor(0), activation)


def lower_swish(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Swish: x * sigmoid(alpha * x); SwiGLU: that times another map."""
    tensor = node.tensor(0)
    scaled = affine(node, builder, tensor, np.asarray(node.real("alpha", 1.0)), None)
    gate = builder.activation(f"{node.name}.gate", scaled, Activation(kind=ActivationKind.SIGMOID))
    others = [node.tensor(1)] if node.op == "SwiGLU" else []
    return eltwise(node.name, builder, "mul", [tensor, gate, *others])


def lower_gelu(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Gelu; in its tanh form x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))."""
    if node.text("approximate", "none") == "none":
        return builder.activation(node.name, node.tensor(0), Activation(kind=ActivationKind.GELU))
    tensor, slope = node.tensor(0), math.sqrt(2 / math.pi)
    cube = eltwise(f"{node.name}.cube", builder, "mul", [tensor] * 3)
    parts = [affine(node, builder, x, np.asarray(f), None) for x, f in ((tensor, slope), (cube, 0.044715 * slope))]
    bent = eltwise(f"{node.name}.inner", builder, "add", parts)
    gate = builder.activation(f"{node.name}.tanh", bent, Activation(kind=ActivationKind.TANH))
    half = np.asarray(0.5)
    return eltwise(node.name, builder, "mul", [tensor, affine(node, builder, gate, half, half)])
