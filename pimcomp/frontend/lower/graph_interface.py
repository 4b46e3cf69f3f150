"""The network's inputs and outputs: ONNX tensors <-> feature maps."""

import re
from collections.abc import Sequence

import onnx

from pimcomp.errors import ModelError
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.move import as_map, in_channels
from pimcomp.frontend.lower.onnx_node import BadShape
from pimcomp.frontend.lower.rearrange import ORDERS
from pimcomp.frontend.lower.tensor import LayoutError, Tensor, of_map
from pimcomp.ir.graph import Crop, Input, Output

_EPILOGUES = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}
_PASSING = ("Identity", "Cast", "Dropout", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Pad", "Clip", "Relu")


def declare_input(value: onnx.ValueInfoProto, graph: onnx.GraphProto, builder: GraphBuilder, source: str) -> Tensor:
    """Emit the `Input` node of a network input.

    Four axes are channels first, unless the network itself turns them from channels last; three axes are
    [1, channels, columns], or [1, columns, features] in front of a MatMul, or one image without batch.
    """
    shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    readers = _readers(value.name, graph)
    ops = {node.op_type for node in readers}
    orders = {1: "c", 2: "nc", 3: "ncw", 4: "nchw"}
    if len(shape) not in orders:
        raise ModelError(f"{source}: input {value.name!r} has {len(shape)} dimensions: expected one to four")
    order = orders[len(shape)]
    if len(shape) == 4 and readers and all(_turns_channels_first(node) for node in readers):
        order = "nhwc"
    elif len(shape) == 3 and ops & {"Unsqueeze", "Reshape"}:
        order = "chw"
    elif len(shape) == 3 and "MatMul" in ops:
        order = "nwc"
    sizes = dict(zip(order, shape, strict=True))
    if sizes.get("n", 1) != 1:
        raise ModelError(f"{source}: input {value.name!r} has shape {list(shape)}: expected batch 1")
    channels, height, width = (sizes.get(kind, 1) for kind in "chw")
    layout = "NC" if order in ("nc", "c") else "NHWC" if order in ("nhwc", "nwc") else "NCHW"
    try:
        index = builder.emit(value.name, Input(shape, layout), (), (channels, height, width))
    except BadShape as error:
        raise ModelError(f"{source}: input {value.name!r}: {error}") from error
    return of_map(index, channels, height, width, order)


def _turns_channels_first(node: onnx.NodeProto) -> bool:
    """Whether a Transpose brings [n, h, w, c] into the order [n, c, h, w]."""
    return node.op_type == "Transpose" and any(
        attribute.name == "perm" and list(attribute.ints) == [0, 3, 1, 2] for attribute in node.attribute
    )


def _readers(name: str, graph: onnx.GraphProto) -> Sequence[onnx.NodeProto]:
    """The nodes that read a tensor, looking through those that keep the order of its axes."""
    readers: list[onnx.NodeProto] = []
    names = {name}
    for node in graph.node:
        if names.isdisjoint(node.input):
            continue
        if node.op_type in _PASSING:
            names.update(node.output)
        elif node.op_type != "Shape":
            readers.append(node)
    return readers


def describe_output(name: str, tensor: Tensor, builder: GraphBuilder) -> Output:
    """The network output that a tensor is.

    An output that is made of inputs gets a node of its own, so that every output is computed. Raises LayoutError if the
    tensor's elements cannot be brought into (channel, row, column) or (row, column, channel) order.
    """
    if tensor.border:
        raise LayoutError("a map padded with minus infinity; only a MaxPool can read that")
    if re.fullmatch("c*h?w?", tensor.kinds):
        layout = "NCHW"
    elif re.fullmatch("h?w?c*", tensor.kinds):
        layout = "NHWC"
    else:
        ranks = {len(order) for order in ORDERS}
        move = as_map if len(tensor.axes) in ranks and not tensor.axes[0] else in_channels
        found = move(f"{name}.order", builder, tensor)
        return describe_output(name, found if isinstance(found, Tensor) else found[0], builder)
    if any(isinstance(builder.nodes[source].operation, Input) for source in set(tensor.view.sources.tolist())):
        tensor = builder.unary(f"{name}.copy", Crop(0, 0), tensor)
    softmax = tensor.softmax
    return Output(
        name=name,
        view=tensor.view,
        onnx_shape=tensor.shape,
        layout=layout,
        epilogue=None if softmax is None else _EPILOGUES[softmax.op],
        epilogue_axis=-1 if softmax is None else softmax.axis,
    )
