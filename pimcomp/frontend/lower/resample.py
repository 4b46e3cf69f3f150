"""Resize, Upsample, DepthToSpace and SpaceToDepth -> `Pick`, with one more node where values are mixed.

Nearest-neighbour resizing repeats or drops rows and columns. Linear resizing by a whole factor spreads the pixels and
convolves them with a tent; any other adds picked rows with weights of their own, then columns.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.lower import move, rearrange
from pimcomp.frontend.lower.elementwise import affine, eltwise
from pimcomp.frontend.lower.graph_builder import LARGEST_SIDE, GraphBuilder
from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode, Unsupported, normal_axis, whole_numbers
from pimcomp.frontend.lower.tensor import Tensor
from pimcomp.ir.graph import Conv, Window

Places = npt.NDArray[np.float32]

# Where output position x lies in the input, by the name ONNX gives it: f(x, scale, input size, output size).
_COORDINATES: Mapping[str, Callable[[Places, np.float32, int, int], Places]] = MappingProxyType(
    {
        "asymmetric": lambda x, s, i, o: x / s,
        "half_pixel": lambda x, s, i, o: (x + np.float32(0.5)) / s - np.float32(0.5),
        "pytorch_half_pixel": lambda x, s, i, o: (x + np.float32(0.5)) / s - np.float32(0.5) if o > 1 else x * 0,
        "tf_half_pixel_for_nn": lambda x, s, i, o: (x + np.float32(0.5)) / s,
        "align_corners": lambda x, s, i, o: x * np.float32(i - 1) / np.float32(max(o - 1, 1)),
        "half_pixel_symmetric": lambda x, s, i, o: (
            np.float32(i / 2) * (1 - o / (s * i)) + (x + np.float32(0.5)) / s - np.float32(0.5)
        ).astype(np.float32),
    }
)
_NEAREST: Mapping[str, Callable[[Places], Places]] = MappingProxyType(
    {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda p: np.ceil(p - np.float32(0.5)),
        "round_prefer_ceil": lambda p: np.floor(p + np.float32(0.5)),
    }
)


def lower_resize(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Resize and Upsample: nearest, linear and cubic by any factor."""
    tensor = node.tensor(0)
    sizes, scales = _targets(node, tensor)
    changed = [size != wanted for size, wanted in zip(tensor.shape, sizes, strict=True)]
    for size, wanted in zip(tensor.shape, sizes, strict=True):
        if not 1 <= wanted <= LARGEST_SIDE:
            raise BadShape(f"a size of {wanted} for the {size} elements of one axis")
    orders = [o for o in rearrange.ORDERS if not any(k in "nc" for k, new in zip(o, changed, strict=False) if new)]
    if not any(len(order) == len(changed) for order in orders):
        raise Unsupported(f"from {list(tensor.shape)} to {list(sizes)}: at most two axes, none the batch, are resized")
    tensor, order = move.as_map(node.name, builder, tensor, orders)
    by_kind = {kind: (sizes[axis], scales[axis]) for axis, kind in enumerate(order)}
    vertical, horizontal = (by_kind.get(kind, (1, np.float32(1))) for kind in "hw")
    mode = node.text("mode", "nearest")
    if mode in ("linear", "bilinear", "cubic"):
        if node.integer("antialias", 0):
            raise Unsupported("antialias")
        if mode != "cubic" and _whole(node, tensor, (vertical, horizontal)):
            return _linear(node, builder, tensor, order, (vertical, horizontal))
        for kind, (wanted, scale) in (("h", vertical), ("w", horizontal)):
            tensor = _mixed(node, builder, tensor, order, kind, wanted, scale)
        return tensor
    if mode != "nearest":
        raise Unsupported(f"mode {mode!r}; nearest, linear and cubic are supported")
    rows = _nearest(node, tensor.height, *vertical)
    columns = _nearest(node, tensor.width, *horizontal)
    return builder.pick(node.name, tensor, rows, columns, order)


def _targets(node: OnnxNode, tensor: Tensor) -> tuple[list[int], list[np.float32]]:
    """The size and the scale of every axis."""
    if node.op == "Upsample" or node.opset < 11:
        given = node.constant_or_none(1, "scales")
        scales = np.asarray(node.reals("scales") if given is None else given, np.float32).ravel()
        sizes = None
    else:
        found, exact = node.constant_or_none(2, "scales"), node.constant_or_none(3, "sizes")
        scales = np.zeros(0, np.float32) if found is None else np.asarray(found, np.float32).ravel()
        sizes = None if exact is None or exact.size == 0 else [*whole_numbers(exact, "sizes")]
    rank = len(tensor.axes)
    axes = [normal_axis(axis, rank) for axis in node.integers("axes") or range(rank)]
    count = len(scales) if sizes is None else len(sizes)
    if count != len(axes) or len(set(axes)) != len(axes) or not np.all(np.isfinite(scales) & (scales > 0)):
        raise BadShape(f"scales {scales.tolist()}, sizes {sizes} for {list(tensor.shape)}")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if sizes is not None and policy != "stretch":  # one factor for all axes, the least or the largest
        ratios = [np.float32(size) / np.float32(tensor.shape[axis]) for size, axis in zip(sizes, axes, strict=True)]
        scales = np.full(count, min(ratios) if policy == "not_larger" else max(ratios), np.float32)
        sizes = [math.floor(float(scales[0]) * tensor.shape[axis] + 0.5) for axis in axes]
    wanted, factors = list(tensor.shape), [np.float32(1)] * rank
    for position, axis in enumerate(axes):
        if sizes is None:
            factors[axis] = scales[position]
            wanted[axis] = math.floor(min(float(tensor.shape[axis] * scales[position]), 2.0**40))
        else:
            wanted[axis] = sizes[position]
            even = np.float32(wanted[axis]) / np.float32(tensor.shape[axis])
            factors[axis] = even if policy == "stretch" else scales[position]
    return wanted, factors


def _coordinates(node: OnnxNode) -> str:
    default = "asymmetric" if node.op == "Upsample" or node.opset < 11 else "half_pixel"
    mode = node.text("coordinate_transformation_mode", default)
    if mode not in _COORDINATES:
        raise Unsupported(f"coordinate_transformation_mode {mode!r}")
    return mode


def _nearest(node: OnnxNode, size: int, wanted: int, scale: np.float32) -> tuple[int, ...]:
    """The input position of every output position along one axis."""
    if wanted == size and scale == 1:
        return tuple(range(size))
    if node.op == "Upsample" or node.opset < 11:  # nothing is said there; this is what ONNX Runtime does
        mode = "ceil" if scale < 1 else "floor"
    else:
        mode = node.text("nearest_mode", "round_prefer_floor")
    if mode not in _NEAREST:
        raise Unsupported(f"nearest_mode {mode!r}")
    places = _COORDINATES[_coordinates(node)](np.arange(wanted, dtype=np.float32), scale, size, wanted)
    chosen = np.clip(_NEAREST[mode](places), 0, size - 1).astype(np.int64)
    return tuple(chosen.tolist())


def _whole(node: OnnxNode, tensor: Tensor, wanted: tuple[tuple[int, np.float32], ...]) -> bool:
    """Whether linear resizing is a convolution: whole factors, in a mode that treats all pixels alike."""
    mode = _coordinates(node)
    alike = mode in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric")
    return all(
        int(scale) == scale and new == size * int(scale) and (alike or scale == 1)
        for size, (new, scale) in zip((tensor.height, tensor.width), wanted, strict=True)
    )


def _mixed(
    node: OnnxNode, builder: GraphBuilder, tensor: Tensor, order: str, kind: str, wanted: int, scale: np.float32
) -> Tensor:
    """Rows ("h") or columns ("w") as sums of two (linear) or four of them (cubic), each with weights of its own."""
    size = tensor.height if kind == "h" else tensor.width
    if wanted == size and scale == 1:
        return tensor
    places = _COORDINATES[_coordinates(node)](np.arange(wanted, dtype=np.float32), scale, size, wanted)
    cubic = node.text("mode", "nearest") == "cubic"
    first = np.floor(places)
    offsets = (-1, 0, 1, 2) if cubic else (0, 1)
    bend, outside = node.real("cubic_coeff_a", -0.75), bool(node.integer("exclude_outside", 0))
    weights, lines = [], []
    for offset in offsets:
        at = first + offset
        weights.append(_tap(np.abs(places - at).astype(np.float64), bend if cubic else None))
        if outside and cubic:
            weights[-1][(at < 0) | (at > size - 1)] = 0
        lines.append(np.clip(at, 0, size - 1).astype(int))
    shares = np.array(weights) / np.sum(weights, axis=0)
    if all(np.array_equal(line, lines[0]) for line in lines):
        lines, shares = lines[:1], np.ones((1, wanted))
    parts = []
    for line, share in zip(lines, shares, strict=True):
        chosen = tuple(line.tolist())
        rows = chosen if kind == "h" else tuple(range(tensor.height))
        columns = chosen if kind == "w" else tuple(range(tensor.width))
        part = builder.pick(node.name, tensor, rows, columns, order)
        shape = [wanted if k == kind else 1 for k in order]
        parts.append(affine(node, builder, part, share.reshape(shape), None))
    return parts[0] if len(parts) == 1 else eltwise(node.name, builder, "add", parts)


def _tap(distance: npt.NDArray[np.float64], bend: float | None) -> npt.NDArray[np.float64]:
    """The weight of a pixel at some distance: linear, or cubic (Keys, 1981) with the coefficient `bend`."""
    if bend is None:
        return np.maximum(0, 1 - distance)
    near = ((bend + 2) * distance - (bend + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * bend - 4 * bend
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def _linear(
    node: OnnxNode, builder: GraphBuilder, tensor: Tensor, order: str, wanted: tuple[tuple[int, np.float32], ...]
) -> Tensor:
    centred = _coordinates(node) != "asymmetric"
    rows_columns, kernels = [], []
    for size, (_, scale) in zip((tensor.height, tensor.width), wanted, strict=True):
        chosen, kernel = _spread_line(size, int(scale), centred)
        rows_columns.append(chosen)
        kernels.append(kernel)
    spread = builder.pick(node.name, tensor, rows_columns[0], rows_columns[1], order)
    tent = np.outer(*kernels).astype(np.float32)
    channels = spread.cells.size
    weights = np.ascontiguousarray(np.broadcast_to(tent, (channels, 1, *tent.shape)))
    operation = Conv(window=Window(kernel=(tent.shape[0], tent.shape[1])), weights=weights, groups=channels)
    return builder.layer(node.name, operation, spread, (channels, wanted[0][0], wanted[1][0]), order)


def _spread_line(size: int, factor: int, centred: bool) -> tuple[tuple[int, ...], Places]:
    """(input position or -1 for every position of the spread line, the tent as its kernel).

    The line holds pixel i at factor * i; its edges repeat the outermost pixels, as interpolation clamps there.
    """
    if factor == 1:
        return tuple(range(size)), np.ones(1, np.float32)
    middle = (factor - 1) / 2 if centred else 0.0
    steps = [d for d in range(-factor, 2 * factor) if abs(d - middle) < factor]
    kernel = np.array([1 - abs(d - middle) / factor for d in reversed(steps)], np.float32)
    low, high = -steps[-1], size * factor - 1 - steps[0]
    line = [min(max(x // factor, 0), size - 1) if x % factor == 0 else -1 for x in range(low, high + 1)]
    return tuple(line), kernel


def lower_blocks(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """DepthToSpace and SpaceToDepth: the Reshapes and the Transpose that define them."""
    tensor, block = node.tensor(0), node.integer("blocksize", 0)
    mode = node.text("mode", "DCR")
    if block < 1 or len(tensor.axes) != 4 or mode not in ("DCR", "CRD"):
        raise BadShape(f"blocksize {block}, mode {mode!r} for {list(tensor.shape)}")
    images, channels, rows, columns = tensor.shape
    apart = [images, channels, rows // block, block, columns // block, block]
    joined = [images, channels * block**2, rows // block, columns // block]
    order = [0, 3, 5, 1, 2, 4] if mode == "DCR" else [0, 1, 3, 5, 2, 4]
    if node.op == "DepthToSpace":  # the same steps backwards
        joined = [images, channels // block**2, rows * block, columns * block]
        whole = [images, joined[1], rows, block, columns, block]
        apart, order = [whole[axis] for axis in order], np.argsort(order).tolist()
    if math.prod(apart) != math.prod(tensor.shape):
        raise BadShape(f"blocksize {block} for {list(tensor.shape)}")
    moved = rearrange.transpose(move.reshape(node.name, builder, tensor, apart), order)
    return move.as_map(node.name, builder, move.reshape(node.name, builder, moved, joined))[0]
