"""Conv, Gemm and MatMul -> `Conv`: fully connected layers are convolutions whose kernel covers the map."""

import math

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.lower.attention import lower_product
from pimcomp.frontend.lower.elementwise import affine, eltwise
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.move import as_map
from pimcomp.frontend.lower.onnx_node import BadShape, Constant, OnnxNode, Unsupported
from pimcomp.frontend.lower.rearrange import of_rank, squeeze, transpose
from pimcomp.frontend.lower.tensor import Tensor, of_map, tidy
from pimcomp.frontend.lower.window_geometry import sliding
from pimcomp.ir.graph import Conv, FloatArray, Window


def as_float32(values: Constant) -> FloatArray:
    """Weights as float32 (a view where they are already)."""
    if not np.issubdtype(values.dtype, np.floating):
        raise Unsupported(f"weights of type {values.dtype}, expected floating point")
    return np.asarray(values, np.float32)


def lower_conv(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """One- and two-dimensional convolution."""
    tensor, order, weights, groups = convolved(node, builder)
    if groups < 1 or weights.shape[1] * groups != tensor.cells.size or weights.shape[0] % groups:
        raise BadShape(
            f"weights of shape {list(weights.shape)} in {groups} group(s) do not fit {tensor.cells.size} input channels"
        )
    slide = sliding(node, weights.shape[2:], tensor.height, tensor.width)
    operation = Conv(
        window=slide.window,
        weights=weights.reshape(*weights.shape[:2], *slide.window.kernel),
        bias=bias_of(node, 2, weights.shape[0]),
        groups=groups,
    )
    return builder.layer(node.name, operation, tensor, (weights.shape[0], slide.height, slide.width), order)


def convolved(node: OnnxNode, builder: GraphBuilder) -> tuple[Tensor, str, FloatArray, int]:
    """The input of a Conv or ConvTranspose, the order of its axes, the weights and the groups."""
    tensor = node.tensor(0)
    if len(tensor.axes) not in (3, 4):
        raise Unsupported(f"its input has {len(tensor.axes)} axes; 1-D and 2-D convolutions are supported")
    tensor, order = as_map(node.name, builder, tensor, ("nchw", "ncw"))
    weights = as_float32(node.constant(1, "the weight tensor"))
    if weights.ndim != len(order) or weights.size == 0:
        raise BadShape(f"weights of shape {list(weights.shape)} for an input of shape {list(tensor.shape)}")
    kernel = node.integers("kernel_shape") or weights.shape[2:]
    if tuple(kernel) != weights.shape[2:]:
        raise BadShape(f"kernel_shape {list(kernel)}, but weights of shape {list(weights.shape)}")
    return tensor, order, weights, node.integer("group", 1)


def bias_of(node: OnnxNode, position: int, channels: int, factor: float = 1.0) -> FloatArray | None:
    """The bias of a layer with as many output channels, None if the node leaves it out."""
    bias = node.constant_or_none(position, "the bias")
    if bias is None:
        return None
    flat = as_float32(bias).ravel()
    if flat.size not in (1, channels) or bias.shape[-1:] not in ((), (1,), (channels,)):
        raise BadShape(f"a bias of shape {list(bias.shape)} for {channels} output channels")
    scaled = flat if factor == 1 else flat * np.float32(factor)
    return np.ascontiguousarray(np.broadcast_to(scaled, (channels,)))


def lower_gemm(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """alpha * A @ B + beta * C with a constant B."""
    tensor = node.tensor(0)
    weights = as_float32(node.constant(1, "the weight matrix"))
    if len(tensor.axes) != 2 or weights.ndim != 2:
        raise BadShape(f"Gemm of {list(tensor.shape)} and {list(weights.shape)}: expected matrices")
    if node.integer("transA", 0):
        tensor = transpose(tensor, (1, 0))
    if node.integer("transB", 0):
        weights = weights.T
    alpha = node.real("alpha", 1.0)
    if alpha != 1:
        weights = weights * np.float32(alpha)
    given, beta = node.optional(2), node.real("beta", 1.0)
    if given is None or (not isinstance(given, Tensor) and given.shape[:-1] in ((), (1,))):
        return contract(node.name, builder, tensor, weights, bias_of(node, 2, weights.shape[1], beta))
    product = contract(node.name, builder, tensor, weights, None)
    if isinstance(given, Tensor):
        added = affine(node, builder, given, np.asarray(beta), None)
        return eltwise(f"{node.name}.sum", builder, "add", [product, added])
    return affine(node, builder, product, None, np.asarray(given, np.float64) * beta)


def lower_matmul(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Matrix product, on crossbars with a constant operand."""
    left, right = node.operand(0), node.operand(1)
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return lower_product(node, builder, left, right)
    if isinstance(left, Tensor):
        return _times_weights(node, builder, left, as_float32(node.constant(1, "the weight matrix")))
    weights, tensor = as_float32(left), node.tensor(1)
    if math.prod(weights.shape[:-2]) == 1 < weights.ndim:
        weights = weights.reshape(weights.shape[-2:])
    if weights.ndim == 2 and len(tensor.axes) == 1:  # a vector: the rows of the matrix are its weights
        return contract(node.name, builder, tensor, weights.T, None)
    if weights.ndim != 2:
        raise Unsupported(f"a product of a constant {list(weights.shape)} with {list(tensor.shape)}")
    swap = (*range(len(tensor.axes) - 2), len(tensor.axes) - 1, len(tensor.axes) - 2)  # (A x)^T = x^T A^T
    product = contract(node.name, builder, transpose(tensor, swap), weights.T, None)
    return transpose(product, swap)


def _times_weights(node: OnnxNode, builder: GraphBuilder, tensor: Tensor, weights: FloatArray) -> Tensor:
    if weights.ndim == 0 or weights.size == 0 or math.prod(weights.shape[:-2]) != 1:
        raise Unsupported(f"weights of shape {list(weights.shape)}: expected one matrix")
    vector = weights.ndim == 1
    product = contract(node.name, builder, tensor, weights.reshape(-1, 1 if vector else weights.shape[-1]), None)
    if vector:
        return squeeze(product, [len(product.axes) - 1])
    # A vector times a matrix is a vector.
    return of_rank(product, weights.ndim - max(2 - len(product.axes), 0))


def contract(
    name: str, builder: GraphBuilder, tensor: Tensor, weights: npt.NDArray[np.float32], bias: FloatArray | None
) -> Tensor:
    """tensor @ weights over the tensor's last axis (weights: float32[inputs, outputs]).

    The rows or columns inside the last axis become the kernel; those in other axes stay the result's map. Channels in
    other axes are moved.
    """
    inputs, outputs = weights.shape
    if not tensor.axes or tensor.shape[-1] != inputs or 0 in weights.shape:
        raise BadShape(f"a product of {list(tensor.shape)} with weights of shape {list(weights.shape)}")
    if any(kind == "c" for axis in tensor.axes[:-1] for kind, _ in axis):
        tensor, _ = as_map(name, builder, tensor, ("nhwc", "nwc", "hwc", "wc"))
    last = tensor.axes[-1]
    kinds = [kind for kind, _ in last]
    kernel = (tensor.height if "h" in kinds else 1, tensor.width if "w" in kinds else 1)
    order = [i for i, kind in enumerate(kinds) if kind == "c"] + [kinds.index(k) for k in "hw" if k in kinds]
    cube = weights.T.reshape(outputs, *(size for _, size in last)).transpose(0, *(i + 1 for i in order))
    operation = Conv(
        window=Window(kernel=kernel),
        weights=np.ascontiguousarray(cube.reshape(outputs, tensor.cells.size, *kernel)),
        bias=bias,
    )
    height, width = tensor.height // kernel[0], tensor.width // kernel[1]
    index = builder.emit(name, operation, (tensor.view,), (outputs, height, width))
    like = of_map(index, outputs, height, width)
    return tidy([*tensor.axes[:-1], (("c", outputs),)], like.cells, like)
