"""The network's inputs and outputs: ONNX tensors <-> feature maps."""

import re
from collections.abc import Sequence

import onnx

from pimcomp.errors import ModelError
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.move import as_map, in_channels
from pimcomp.frontend.lower.onnx_node import BadShape
from pimcomp.frontend.lower.rearrange import ORDERS
from pimcomp.frontend.lower.tensor import LayoutError, Tensor, node_cells, of_map, tidy
from pimcomp.frontend.onnx.input_axes import Factors
from pimcomp.ir.graph import Crop, Input, Loaded, Output

_EPILOGUES = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}


def declare_input(
    value: onnx.ValueInfoProto, axes: Sequence[Factors] | None, builder: GraphBuilder, source: str
) -> Tensor:
    """Emit the `Input` node of a network input.

    axes: what its axes hold, as `input_axes` finds out; None: nothing tells. Then four axes are channels first, three
    [1, channels, columns] or one image without batch.
    """
    shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    if axes is None:
        orders = {0: "", 1: "c", 2: "nc", 3: "ncw" if shape[:1] == (1,) else "chw", 4: "nchw"}
        if len(shape) not in orders:
            raise ModelError(f"{source}: input {value.name!r} has {len(shape)} dimensions: expected at most four")
        axes = [((kind, size),) if size > 1 else () for kind, size in zip(orders[len(shape)], shape, strict=True)]
    factors = [factor for axis in axes for factor in axis]
    sizes = dict(factors)
    if sizes.get("n", 1) != 1:
        raise ModelError(f"{source}: input {value.name!r} has shape {list(shape)}: expected batch 1")
    channels, height, width = (sizes.get(kind, 1) for kind in "chw")
    kinds = "".join(kind for kind, _ in factors)
    layout = "NCHW" if re.fullmatch("c?h?w?", kinds) else "NHWC"
    if height * width == 1 and len(shape) <= 2:
        layout = "NC"
    try:
        index = builder.emit(value.name, Input(shape, layout), (), (channels, height, width))
    except BadShape as error:
        raise ModelError(f"{source}: input {value.name!r}: {error}") from error
    return tidy(axes, node_cells(index, channels), of_map(index, channels, height, width))


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
    if any(isinstance(builder.nodes[source].operation, Loaded) for source in set(tensor.view.sources.tolist())):
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
