"""Single entries of a node_list -> graph operations, with every field checked against the map they are applied to."""

import math

import numpy as np

from pimcomp.errors import ModelError
from pimcomp.frontend.node_list.fields import (
    ABSENT,
    UNBOUNDED,
    ClipParam,
    ConvParam,
    Entry,
    FcParam,
    Fused,
    FusedActivation,
    FusedClip,
    LrnParam,
    PoolParam,
    ShuffleParam,
    WindowParam,
)
from pimcomp.ir.graph import Activation, ActivationKind, Conv, FloatArray, IntArray, Lrn, Pool, Shape, Window

MAX_WEIGHTS = 1 << 29  # float32 elements of one layer: ONNX cannot hold more than 2 GB
_ACT_TYPES = (ActivationKind.RELU, ActivationKind.TANH, ActivationKind.SIGMOID)  # by act_type
_STANDALONE = dict(zip(("OP_RELU", "OP_TANH", "OP_SIGMOID"), _ACT_TYPES, strict=True))


def conv_operation(node: Entry, shape: Shape) -> tuple[Conv, Shape]:
    """A convolution without values yet, and the shape it gives."""
    param = node.param_of(ConvParam)
    channels, outs, groups = param.input_channel, param.output_channel, param.group
    if channels != shape[0]:
        raise node.wrong("input_channel", f"expected {shape[0]}, as its provider has, found {channels}")
    if channels % groups or outs % groups:
        expected = f"a divisor of {channels} input and {outs} output channels"
        raise node.wrong("group", f"expected {expected}, found {groups}")
    window = _window(param, (param.dilation_h, param.dilation_w))
    weights = _unset_weights(node, (outs, channels // groups, *window.kernel))
    conv = Conv(window=window, weights=weights, bias=_unset_bias(node, param.with_bias, outs), groups=groups)
    return conv, (outs, *_window_result(node, window, shape))


def fc_operation(node: Entry, shape: Shape) -> tuple[Conv, Shape]:
    """A fully connected layer as a convolution over the whole map: its rows follow (channel, row, column) order."""
    param = node.param_of(FcParam)
    if param.num_input != math.prod(shape):
        expected = f"{math.prod(shape)}, what its provider delivers"
        raise node.wrong("num_input", f"expected {expected}, found {param.num_input}")
    weights = _unset_weights(node, (param.num_output, *shape))
    bias = _unset_bias(node, param.with_bias, param.num_output)
    return Conv(window=Window(kernel=shape[1:]), weights=weights, bias=bias), (param.num_output, 1, 1)


def pool_operation(node: Entry, shape: Shape) -> tuple[Pool, Shape]:
    """Pooling; averages divide by the pixels inside the map, unless `count_include_pad` (an extension) is 1."""
    param = node.param_of(PoolParam)
    window = _window(param, (1, 1))
    if param.whole_map and (window.kernel != shape[1:] or any(window.pads)):
        raise node.wrong("global", f"a global pool needs the kernel {list(shape[1:])} and no pads")
    counted = bool(param.count_include_pad) and any(window.pads)
    pool = Pool(method=("max", "avg")[param.pool_method], window=window, count_padding=counted)
    return pool, (shape[0], *_window_result(node, window, shape))


def lrn_operation(node: Entry) -> Lrn | None:
    """Local response normalisation if the entry has its parameters (an extension), else None: it is dropped."""
    return Lrn(**node.param_of(LrnParam).model_dump()) if node.param else None


def shuffle_order(node: Entry, channels: int) -> IntArray:
    """int32[channels]: which input channel becomes output channel k of a channel shuffle with `split_factor` groups."""
    param = node.param_of(ShuffleParam)
    if param.input_channel not in (ABSENT, channels):
        raise node.wrong("input_channel", f"expected {channels}, found {param.input_channel}")
    if channels % param.split_factor:
        expected = f"a divisor of {channels} channels"
        raise node.wrong("split_factor", f"expected {expected}, found {param.split_factor}")
    return np.arange(channels, dtype=np.int32).reshape(param.split_factor, -1).T.reshape(-1)


def activation_of(node: Entry) -> Activation | None:
    """The activation that a Conv or FC entry carries, or that an activation entry is."""
    if node.operation == "OP_CLIP":
        clip = node.param_of(ClipParam)
        return _clip(clip.min, clip.max, node)
    if node.operation in _STANDALONE:
        return Activation(kind=_STANDALONE[node.operation])
    fused = node.fused(Fused)
    if fused.with_act:
        return Activation(kind=_ACT_TYPES[node.fused(FusedActivation).act_type])
    if fused.with_clip:
        bounds = node.fused(FusedClip)
        return _clip(bounds.clip_min, bounds.clip_max, node)
    return None


def _clip(low: float, high: float, node: Entry) -> Activation | None:
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


def _window(param: WindowParam, dilation: tuple[int, int]) -> Window:
    return Window(
        kernel=(param.kernel_h, param.kernel_w),
        stride=(param.stride_h, param.stride_w),
        pads=(param.pad_h0, param.pad_w0, param.pad_h1, param.pad_w1),
        dilation=dilation,
    )


def _window_result(node: Entry, window: Window, shape: Shape) -> tuple[int, int]:
    """Height and width of the result: floor((size + pads - reach) / stride) + 1."""
    result: list[int] = []
    for axis, size in enumerate(shape[1:]):
        reach = window.extent[axis]
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


def _unset_weights(node: Entry, shape: tuple[int, int, int, int]) -> FloatArray:
    """Zeros of that shape in one element of memory, to be replaced."""
    if math.prod(shape) > MAX_WEIGHTS:
        raise ModelError(f"{node.where}: {math.prod(shape)} weights; at most {MAX_WEIGHTS} fit an ONNX model")
    return np.broadcast_to(np.float32(0), shape)


def _unset_bias(node: Entry, with_bias: int, channels: int) -> FloatArray | None:
    """A bias is there if the layer has one, or a batch normalisation was fused into it."""
    return np.zeros(channels, np.float32) if with_bias or node.fused(Fused).with_bn else None
