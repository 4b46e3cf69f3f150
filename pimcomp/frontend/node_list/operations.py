"""Single entries of a node_list -> graph operations, with every field checked against the map they are applied to."""

import math

import numpy as np

from pimcomp.errors import ConfigError, ModelError
from pimcomp.frontend.node_list.fields import ListedNode
from pimcomp.ir.graph import Activation, ActivationKind, Conv, FloatArray, IntArray, Lrn, Pool, Window

Shape = tuple[int, int, int]  # channels, height, width

UNBOUNDED = 1e7  # the format writes this for "no bound" of a clip
MAX_WEIGHTS = 1 << 29  # float32 elements of one layer: ONNX cannot hold more than 2 GB
_ACT_TYPES = (ActivationKind.RELU, ActivationKind.TANH, ActivationKind.SIGMOID)  # by act_type


def conv_operation(node: ListedNode, shape: Shape) -> tuple[Conv, Shape]:
    """A convolution without values yet, and the shape it gives. A missing `group` or `dilation` means 1."""
    param = node.param
    channels = param.integer("input_channel", low=1)
    if channels != shape[0]:
        raise ConfigError(f"{param.where}.input_channel", f"expected {shape[0]}, as its provider has, found {channels}")
    out_channels, groups = param.integer("output_channel", low=1), param.integer("group", low=1, default=1)
    if channels % groups or out_channels % groups:
        raise ConfigError(
            f"{param.where}.group",
            f"expected a divisor of {channels} input and {out_channels} output channels, found {groups}",
        )
    dilation = (param.integer("dilation_h", low=1, default=1), param.integer("dilation_w", low=1, default=1))
    window = _window(node, dilation)
    height, width = _window_result(node, window, shape)
    conv = Conv(
        window=window,
        weights=_unset_weights(node, (out_channels, channels // groups, *window.kernel)),
        bias=_unset_bias(node, out_channels),
        groups=groups,
    )
    return conv, (out_channels, height, width)


def fc_operation(node: ListedNode, shape: Shape) -> tuple[Conv, Shape]:
    """A fully connected layer as a convolution over the whole map: its rows follow (channel, row, column) order."""
    inputs, outputs = node.param.integer("num_input", low=1), node.param.integer("num_output", low=1)
    if inputs != math.prod(shape):
        raise ConfigError(
            f"{node.param.where}.num_input", f"expected {math.prod(shape)}, what its provider delivers, found {inputs}"
        )
    conv = Conv(
        window=Window(kernel=shape[1:]),
        weights=_unset_weights(node, (outputs, *shape)),
        bias=_unset_bias(node, outputs),
    )
    return conv, (outputs, 1, 1)


def pool_operation(node: ListedNode, shape: Shape) -> tuple[Pool, Shape]:
    """Pooling; averages divide by the pixels inside the map, unless `count_include_pad` (an extension) is 1."""
    param = node.param
    method = ("max", "avg")[param.integer("pool_method", high=1)]
    window = _window(node, (1, 1))
    if param.integer("global", high=1, default=0) and (window.kernel != shape[1:] or any(window.pads)):
        raise ConfigError(f"{param.where}.global", f"a global pool needs the kernel {list(shape[1:])} and no pads")
    height, width = _window_result(node, window, shape)
    counted = bool(param.integer("count_include_pad", high=1, default=0)) and any(window.pads)
    return Pool(method=method, window=window, count_padding=counted), (shape[0], height, width)


def lrn_operation(node: ListedNode) -> Lrn | None:
    """Local response normalisation if the entry has its parameters (an extension), else None: it is dropped."""
    if not node.param.values:
        return None
    size = node.param.integer("size", low=1)
    alpha, beta, bias = (node.param.number(key) for key in ("alpha", "beta", "bias"))
    return Lrn(size=size, alpha=alpha, beta=beta, bias=bias)


def shuffle_order(node: ListedNode, channels: int) -> IntArray:
    """int32[channels]: which input channel becomes output channel k of a channel shuffle with `split_factor` groups."""
    declared = node.param.integer("input_channel", low=1, default=channels)
    if declared != channels:
        raise ConfigError(f"{node.param.where}.input_channel", f"expected {channels}, found {declared}")
    groups = node.param.integer("split_factor", low=1)
    if channels % groups:
        raise ConfigError(
            f"{node.param.where}.split_factor", f"expected a divisor of {channels} channels, found {groups}"
        )
    return np.arange(channels, dtype=np.int32).reshape(groups, -1).T.reshape(-1)


def activation_of(node: ListedNode) -> Activation | None:
    """The activation that a Conv or FC entry carries, or that an activation entry is."""
    if node.operation == "OP_CLIP":
        return _clip(node.param.number("min", default=-UNBOUNDED), node.param.number("max", default=UNBOUNDED), node)
    standalone = {"OP_RELU": 0, "OP_TANH": 1, "OP_SIGMOID": 2}
    if node.operation in standalone:
        return Activation(kind=_ACT_TYPES[standalone[node.operation]])
    if node.fields.integer("with_act", high=1, default=0):
        return Activation(kind=_ACT_TYPES[node.fields.integer("act_type", high=len(_ACT_TYPES) - 1)])
    if node.fields.integer("with_clip", high=1, default=0):
        return _clip(node.fields.number("clip_min"), node.fields.number("clip_max"), node)
    return None


def _clip(low: float, high: float, node: ListedNode) -> Activation | None:
    """A clamp; bounds that stand for "none" are infinite, and without any bound nothing is left."""
    if low > high:
        raise ModelError(f"{node.where}: the lower bound of the clip, {low}, exceeds the upper one, {high}")
    low = low if low > -UNBOUNDED else -math.inf
    high = high if high < UNBOUNDED else math.inf
    if (low, high) == (-math.inf, math.inf):
        return None
    if (low, high) == (0.0, math.inf):
        return Activation(kind=ActivationKind.RELU)
    return Activation(kind=ActivationKind.CLIP, low=low, high=high)


def _window(node: ListedNode, dilation: tuple[int, int]) -> Window:
    """Kernel and stride are required; missing pads mean 0."""
    param = node.param
    pads = tuple(param.integer(key, default=0) for key in ("pad_h0", "pad_w0", "pad_h1", "pad_w1"))
    return Window(
        kernel=(param.integer("kernel_h", low=1), param.integer("kernel_w", low=1)),
        stride=(param.integer("stride_h", low=1), param.integer("stride_w", low=1)),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        dilation=dilation,
    )


def _window_result(node: ListedNode, window: Window, shape: Shape) -> tuple[int, int]:
    """Height and width of the result: floor((size + pads - reach) / stride) + 1."""
    result: list[int] = []
    for axis, size in enumerate(shape[1:]):
        reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1
        before, after = window.pads[axis], window.pads[axis + 2]
        room = size + before + after - reach
        if room < 0:
            raise ModelError(
                f"{node.where}: a kernel reaching over {reach} positions does not fit {size} + {before + after}"
            )
        steps = room // window.stride[axis]
        if reach <= before or steps * window.stride[axis] >= size + before:
            raise ModelError(f"{node.where}: the pads {list(window.pads)} leave windows of nothing but padding")
        result.append(steps + 1)
    return result[0], result[1]


def _unset_weights(node: ListedNode, shape: tuple[int, int, int, int]) -> FloatArray:
    """Zeros of that shape in one element of memory, to be replaced."""
    if math.prod(shape) > MAX_WEIGHTS:
        raise ModelError(f"{node.where}: {math.prod(shape)} weights; at most {MAX_WEIGHTS} fit an ONNX model")
    return np.broadcast_to(np.float32(0), shape)


def _unset_bias(node: ListedNode, channels: int) -> FloatArray | None:
    """A bias is there if the layer has one, or a batch normalisation was fused into it."""
    with_bias = node.param.integer("with_bias", high=1, default=0)
    return np.zeros(channels, np.float32) if with_bias or node.fields.integer("with_bn", high=1, default=0) else None
