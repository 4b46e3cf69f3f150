"""Random networks of one operator between neighbours that no chip refuses, with what ONNX's schemas allow.

`draw` makes one. Every attribute of every definition has its rule in this file: `DRAWN` counts what was drawn, and
tests/frontend/test_single_operators.py holds that against the schemas.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from pimcomp.frontend.lower.lower import LOWERINGS
from pimcomp.frontend.onnx.read import OPSETS
from tests.frontend.reasons import SUSPECT

DRAWN: Counter[tuple[str, str]] = Counter()  # (operator, attribute) that were given


@cache
def definitions(operator: str) -> Sequence[int]:
    """The opsets that defined an operator anew, as far as they are read; the first is what the oldest one knows."""
    found = [s for s in defs.get_all_schemas_with_history() if s.name == operator and not s.domain]
    versions = {max(s.since_version, OPSETS.start) for s in found if not s.deprecated}
    return sorted(version for version in versions if version in OPSETS)


class Draw:
    """One operator being drawn: its operands and attributes so far."""

    def __init__(self, rng: np.random.Generator, operator: str) -> None:
        self.rng, self.operator = rng, operator
        versions = definitions(operator)
        which = int(rng.integers(len(versions)))
        last = 9 if operator == "Upsample" else OPSETS.stop - 1  # opset 10 took it back
        end = versions[which + 1] if which + 1 < len(versions) else last + 1
        self.opset = int(rng.integers(versions[which], end))
        self.schema = defs.get_schema(operator, self.opset)
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.weights: dict[str, npt.NDArray[Any]] = {}
        self.operands: list[str] = []
        self.attributes: dict[str, Any] = {}
        self.outputs, self.kind = 1, TensorProto.FLOAT

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high."""
        return int(self.rng.integers(low, high + 1))

    def some(self, chance: float = 0.5) -> bool:
        """Whether something happens."""
        return bool(self.rng.random() < chance)

    def among(self, *options: Any) -> Any:
        """One of them."""
        return options[self.number(0, len(options) - 1)]

    def shape(self, *ranks: int, most: int = 6) -> tuple[int, ...]:
        """A shape of one of the ranks; the first of several axes is a batch, mostly of 1."""
        rank = self.among(*ranks)
        sizes = [1 if self.some(0.2) else self.number(2, most) for _ in range(rank)]
        return (1 if self.some(0.85) else 2, *sizes[1:]) if rank > 1 else tuple(sizes)

    def feature(self, shape: Sequence[int]) -> tuple[int, ...]:
        """An input of the network as the next operand."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = tuple(shape)
        self.operands.append(name)
        return tuple(shape)

    def weight(self, values: npt.ArrayLike, kind: npt.DTypeLike = np.float32) -> None:
        """A constant as the next operand."""
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(values, kind)
        self.operands.append(name)

    def normal(self, *shape: int) -> npt.NDArray[np.float64]:
        """Values of a constant."""
        return self.rng.standard_normal(shape)

    def set(self, key: str, value: Any, chance: float = 0.7) -> None:
        """An attribute, if this definition has it, with some chance."""
        if key in self.schema.attributes and self.some(chance):
            self.attributes[key] = value
            DRAWN[self.operator, key] += 1

    def parameter(self, key: str, values: npt.ArrayLike, kind: type = np.int64) -> None:
        """An attribute or a constant operand, as this definition has it."""
        if key in self.schema.attributes:
            value: npt.NDArray[Any] = np.asarray(values, kind)
            self.set(key, value.tolist() if value.ndim else value.item(), 1)
            return
        place = [operand.name for operand in self.schema.inputs].index(key)
        self.operands += [""] * (place - len(self.operands))
        self.weight(values, kind)

    def has(self, key: str) -> bool:
        """Whether this definition has the attribute or operand."""
        return key in self.schema.attributes or key in [operand.name for operand in self.schema.inputs]


def draw(seed: int, operator: str) -> onnx.ModelProto:
    """A network of the operator, between up to two others."""
    found = Draw(np.random.default_rng([seed, *operator.encode()]), operator)
    RULES[operator](found)
    before = found.among(None, None, "Mul", "Transpose") if len(found.inputs) == 1 else None
    after = found.among(None, None, "LeakyRelu", "Identity")
    nodes, inputs = [], dict(found.inputs)
    if before == "Mul":
        found.weights["half"] = np.array(0.5, np.float32)
        nodes.append(helper.make_node("Mul", ["given", "half"], ["x0"], name="before"))
        inputs = {"given": inputs["x0"]}
    elif before == "Transpose":
        shape = inputs["x0"]
        perm = [0, *(1 + found.rng.permutation(len(shape) - 1)).tolist()] if shape else []
        nodes.append(helper.make_node("Transpose", ["given"], ["x0"], name="before", perm=perm))
        inputs = {"given": tuple(shape[perm.index(axis)] for axis in range(len(shape)))}
    results = [f"y{k}" if after is None else f"r{k}" for k in range(found.outputs)]
    nodes.append(helper.make_node(operator, found.operands, results, name=SUSPECT, **found.attributes))
    if after is not None:
        options: dict[str, Any] = {"alpha": 0.25} if after == "LeakyRelu" else {}
        nodes += [helper.make_node(after, [r], [f"y{k}"], name=f"after{k}", **options) for k, r in enumerate(results)]
    graph = helper.make_graph(
        nodes,
        "single",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(f"y{k}", found.kind, None) for k in range(found.outputs)],
        [numpy_helper.from_array(values, name) for name, values in found.weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", found.opset)], ir_version=10)


def _plain(d: Draw) -> None:
    d.feature(d.shape(1, 2, 3, 4, 4))
    d.set("alpha", d.among(-0.5, 0.0, 0.3, 1.0, 1.5))
    d.set("beta", d.among(0.0, 0.4, 1.0))
    d.set("approximate", d.among("tanh", "none"))
    d.set("ratio", 0.3)
    d.set("seed", 3)


def _two_alike(d: Draw) -> None:
    shape = d.feature(d.shape(1, 2, 3, 4))
    d.feature(shape)
    d.set("alpha", d.among(0.5, 1.5))


def _cast(d: Draw) -> None:
    d.feature(d.shape(2, 3, 4))
    d.kind = d.among(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    if d.operator == "CastLike":
        d.weight([0], helper.tensor_dtype_to_np_dtype(d.kind))
    d.set("to", d.kind, 1)
    d.set("saturate", 1)  # says something of 8-bit floats alone, as `round_mode` does
    d.set("round_mode", "up")


def _broadcast(d: Draw, shape: Sequence[int], *, whole: bool = False) -> list[int]:
    """A shape that broadcasts to another one; `whole`: of as many axes, and with its batch."""
    own = [size if d.some(0.6) or (whole and not k) else 1 for k, size in enumerate(shape)]
    return own[d.number(0, len(own)) :] if not whole and d.some(0.3) else own


def _several(d: Draw, most: int) -> None:
    shape = d.shape(1, 2, 3, 4, 4)
    alike = d.opset < 8 and most > 2  # the oldest Sum, Mean, Min and Max broadcast nothing
    count, tensor = d.number(min(2, most), most), d.number(0, 1)
    for place in range(count):
        if place == tensor or d.some(0.4):
            d.feature(shape if alike or place == tensor or d.some() else _broadcast(d, shape, whole=True))
        else:
            d.weight(d.normal(*(shape if alike else () if d.some(0.2) else _broadcast(d, shape))))
    if not d.inputs:
        d.operands[0] = "x0"
        d.inputs["x0"] = shape


def _where(d: Draw) -> None:
    shape = d.shape(1, 2, 3, 4)
    tensor, chosen = d.number(0, 1), np.asarray(d.rng.random(_broadcast(d, shape)) < 0.5)
    chosen.flat[0] = tensor == 0  # an operand that is computed is chosen somewhere
    d.weight(chosen, bool)
    for place in range(2):
        if place == tensor or d.some(0.3):
            d.feature(shape)
        else:
            d.weight(d.normal(*_broadcast(d, shape)))


def _power(d: Draw) -> None:
    d.feature(d.shape(2, 3, 4))
    d.weight(d.among(1, 2, 3, 4, 2, 3, 0.5))


def _clip(d: Draw) -> None:
    d.feature(d.shape(1, 2, 3, 4))
    for key, value in (("min", -0.5), ("max", 0.75)):
        if d.some(0.7):
            d.parameter(key, value, np.float32)


def _prelu(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4))
    d.weight(d.normal(*_broadcast(d, (1, *shape[1:]))))


def _normalisation(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4, 4))
    for _ in range(3):
        d.weight(d.normal(shape[1]))
    d.weight(np.abs(d.normal(shape[1])) + 0.1)
    d.set("epsilon", 0.01)
    d.set("momentum", 0.5)
    d.set("spatial", d.among(1, 1, 0))
    d.set("training_mode", d.among(0, 0, 1))


def _lrn(d: Draw) -> None:
    d.feature(d.shape(4))
    d.set("size", d.among(1, 3, 5), 1)  # ONNX Runtime knows odd ones of images alone
    for key, value in (("alpha", 0.01), ("beta", 0.5), ("bias", 2.0)):
        d.set(key, value)


def _windows(d: Draw, sizes: Sequence[int], kernel: Sequence[int]) -> None:
    """Strides, dilations and pads that leave a window."""
    rank = len(kernel)
    d.set("kernel_shape", list(kernel), 1 if "Pool" in d.operator else 0.5)
    d.set("strides", [d.number(1, 3) for _ in kernel])
    room = [(size - 1) // (k - 1) if k > 1 else 3 for size, k in zip(sizes, kernel, strict=True)]
    dilations = [d.number(1, max(1, min(3, r))) for r in room]
    d.set("dilations", dilations, 0.4)
    d.set("ceil_mode", 1, 0.4)
    d.set("count_include_pad", d.number(0, 1))
    d.set("storage_order", 1, 0.2)
    if d.some(0.6):
        most = [max(0, k - 1) for k in kernel]
        d.set("pads", [d.number(0, m) for m in (*most, *most)], 0.8)
    elif d.some() and max(d.attributes.get("dilations", [1])) == 1:  # ONNX Runtime knows no dilated SAME ones
        strides = d.attributes.get("strides", [1] * rank)
        apart = "Pool" in d.operator and any(s > k for s, k in zip(strides, kernel, strict=True))
        same = () if apart else ("SAME_UPPER", "SAME_LOWER")  # ONNX Runtime refuses negative padding
        d.set("auto_pad", d.among(*same, "VALID"), 1)
    assert rank in (1, 2)


def _pool(d: Draw) -> None:
    shape = d.feature(d.shape(3, 4, 4, most=9))
    _windows(d, shape[2:], [d.number(1, min(3, size)) for size in shape[2:]])


def _conv(d: Draw) -> None:
    shape = d.shape(3, 4, 4, most=8)
    groups = d.among(*(g for g in (1, 1, 2, 3, shape[1]) if shape[1] % g == 0))
    d.feature(shape)
    outs = d.number(1, 3)
    kernel = [d.number(1, min(3, size)) for size in shape[2:]]
    transposed = d.operator == "ConvTranspose"
    ends = (shape[1], outs) if transposed else (groups * outs, shape[1] // groups)
    d.weight(d.normal(*ends, *kernel))
    if d.some():
        d.weight(d.normal(groups * outs))
    if groups > 1:
        d.set("group", groups, 1)
    _windows(d, shape[2:], kernel)
    strides = d.attributes.get("strides", [1] * len(kernel))
    d.set("output_padding", [d.number(0, stride - 1) for stride in strides], 0.4)
    d.set("output_shape", [size * s for size, s in zip(shape[2:], strides, strict=True)], 0.2)


def _gemm(d: Draw) -> None:
    ins, outs, rows = d.number(1, 6), d.number(1, 4), d.among(1, 1, 2)
    over, back = d.number(0, 1), d.number(0, 1)
    d.feature((ins, rows) if over else (rows, ins))
    d.weight(d.normal(*((outs, ins) if back else (ins, outs))))
    if d.some(0.7) or d.opset < 11:
        d.weight(d.normal(*d.among((outs,), (1, outs), (), (rows, outs), (rows, 1))))
    d.set("transA", over, 1 if over else 0.3)
    d.set("transB", back, 1 if back else 0.3)
    d.set("alpha", 0.5)
    d.set("beta", 2.0)


def _matmul(d: Draw) -> None:
    shape = d.shape(1, 2, 3, 4)
    if len(shape) > 2 and d.some(0.3):
        d.feature(shape)
        d.feature((*shape[:-2], shape[-1], d.number(1, 4)))
    elif d.some(0.7):
        d.feature(shape)
        outs = d.number(1, 4)
        d.weight(d.normal(*d.among((shape[-1], outs), (shape[-1], outs), (shape[-1],), (1, shape[-1], outs))))
    else:
        d.weight(d.normal(d.number(1, 4), shape[-2] if len(shape) > 1 else shape[0]))
        d.feature(shape)


def _axes(d: Draw, rank: int) -> list[int]:
    chosen = d.rng.permutation(rank)[: d.number(1, rank)].tolist()
    return [int(axis) - (rank if d.some(0.3) else 0) for axis in chosen]


def _reduce(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4, 4))
    axes = _axes(d, len(shape)) if d.some(0.3) else sorted(d.rng.permutation(len(shape) - 1)[:2] + 1)
    if d.some(0.9) and axes:
        d.parameter("axes", axes)
        DRAWN[d.operator, "axes"] += "axes" in d.schema.attributes
    d.set("keepdims", d.number(0, 1))
    d.set("noop_with_empty_axes", d.number(0, 1))


def _splits(d: Draw, total: int) -> list[int]:
    """Sizes whose product is `total`."""
    sizes: list[int] = []
    while total > 1 and len(sizes) < 4:
        divisors = [k for k in range(2, total + 1) if total % k == 0]
        sizes.append(d.among(*divisors))
        total //= sizes[-1]
    return [*sizes, total] if total > 1 or not sizes else sizes


def _reshape(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4, 4))
    if d.operator == "Flatten":
        d.set("axis", d.number(-len(shape) if d.opset >= 11 else 0, len(shape)))
        return
    target = [shape[0], *_splits(d, math.prod(shape[1:]))]
    if d.some(0.3):
        target[d.number(0, len(target) - 1)] = -1
    elif d.some(0.3):
        target[0] = 0
    d.parameter("shape", target)
    d.set("allowzero", 1, 0.3 if 0 not in target else 0)


def _transpose(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4, 4))
    tail = d.rng.permutation(len(shape) - 1) + 1
    d.set("perm", [0, *tail.tolist()] if d.some(0.8) else d.rng.permutation(len(shape)).tolist(), 0.9)


def _squeeze(d: Draw) -> None:
    if d.operator == "Unsqueeze":
        shape = d.feature(d.shape(1, 2, 3))
        axes = d.rng.permutation(len(shape) + 1)[:1].tolist()
        d.parameter("axes", [int(a) - (len(shape) + 1 if d.some(0.3) and d.opset >= 11 else 0) for a in axes])
        return
    ends = d.shape(3, 4)
    d.feature((1, *ends[1:-1], 1))
    if d.some(0.7):
        d.parameter("axes", [d.among(0, len(ends) - 1)])


def _concat(d: Draw) -> None:
    shape = d.shape(2, 3, 4, 4)
    axis = d.number(0 if d.some(0.1) else 1, len(shape) - 1)
    for place in range(d.number(1, 3)):
        own = [d.number(1, 4) if k == axis else size for k, size in enumerate(shape)]
        if place and d.some(0.25):
            d.weight(d.normal(*own))
        else:
            d.feature(own)
    d.set("axis", axis - (len(shape) if d.some(0.3) and d.opset >= 11 else 0), 1)


def _gather(d: Draw) -> None:
    shape = d.feature(d.shape(1, 2, 3, 4))
    axis = d.number(0, len(shape) - 1)
    indices = d.rng.integers(-shape[axis] if d.opset >= 11 else 0, shape[axis], d.among((), (2,), (3,), (2, 2)))
    d.weight(indices, np.int64)
    d.set("axis", axis, 1 if axis else 0.5)


def _slice(d: Draw) -> None:
    shape = d.feature(d.shape(1, 2, 3, 4))
    axes = _axes(d, len(shape))
    starts, ends, steps = [], [], []
    for axis in axes:
        size = shape[axis]
        start = d.number(0, size - 1)
        end = d.among(d.number(start + 1, size), 2**31 - 1)
        step = d.number(1, 2) if d.opset >= 10 else 1
        if d.opset >= 10 and d.some(0.2):
            start, end, step = size - 1, -(2**31), -1
        starts.append(start - (size if d.some(0.3) and start < size else 0))
        ends.append(end)
        steps.append(step)
    d.parameter("starts", starts)
    d.parameter("ends", ends)
    d.parameter("axes", axes)
    if d.opset >= 10 and (set(steps) != {1} or d.some(0.3)):
        d.parameter("steps", steps)


def _split(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4))
    axis = d.number(0, len(shape) - 1)
    size = shape[axis]
    d.set("axis", axis, 1)
    d.outputs = d.number(1, min(3, size))
    if d.outputs > 1 and (size % d.outputs or d.some()):
        first = d.number(1, size - d.outputs + 1)
        rest = size - first - (d.outputs - 2)
        d.parameter("split", [first, *[1] * (d.outputs - 2), rest] if d.outputs > 1 else [size])
    elif d.has("num_outputs"):
        d.set("num_outputs", d.outputs, 1)


def _pad(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4, 4))
    rank = len(shape)
    mode = d.among("constant", "constant", "edge", "reflect", *(["wrap"] if d.opset >= 19 else []))
    low, high = (0, 1) if mode == "reflect" else (-1, 2)
    pads = [0] * (2 * rank)
    for axis in range(1, rank):
        if shape[axis] > 3 and d.some(0.7):
            pads[axis], pads[axis + rank] = d.number(low, high), d.number(low, high)
    d.set("mode", mode, 1 if mode != "constant" else 0.5)
    named = d.has("axes") and d.some()
    chosen = [axis for axis in range(rank) if pads[axis] or pads[axis + rank]] or [rank - 1]
    d.parameter("pads", [pads[a + k] for k in (0, rank) for a in chosen] if named else pads)
    if d.some(0.4):
        d.parameter("value" if "value" in d.schema.attributes else "constant_value", 1.5, np.float32)
    if named:
        d.parameter("axes", chosen)


def _expand(d: Draw) -> None:
    shape = d.shape(2, 3, 4)
    own = [1, *(size if d.some() else 1 for size in shape[1:])]
    d.feature(own)
    d.parameter("shape", [1, *shape[1:]])


def _tile(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 4))
    d.parameter("repeats", [1, *(d.number(1, 2) for _ in shape[1:])])


def _resize(d: Draw) -> None:
    shape = d.feature(d.shape(*((3, 4, 4) if d.operator == "Resize" else (4,))))
    rank = len(shape)
    linear = ("linear", "cubic") if rank == 4 and min(shape) > 0 and d.operator != "Upsample" else ("linear",)
    mode = d.among("nearest", *linear)
    if mode == "cubic" and d.opset < 11:
        mode = "linear"
    scales = [
        1.0,
        1.0,
        *(d.among(1.0, 2.0, 3.0, 1.5, 2.6, 1.0 if d.operator == "Upsample" else 0.5) for _ in shape[2:]),
    ]
    sizes = [max(1, math.floor(size * scale)) for size, scale in zip(shape, scales, strict=True)]
    scales = [scale if math.floor(size * scale) else 1.0 for size, scale in zip(shape, scales, strict=True)]
    d.set("mode", mode, 1)
    by_axes = d.has("axes") and d.some(0.3)
    places = list(range(2, rank)) if by_axes else list(range(rank))
    if d.has("sizes") and d.some():
        if d.opset < 13:  # every operand must be there
            d.parameter("roi", [], np.float32)
            d.parameter("scales", [], np.float32)
        d.parameter("sizes", [sizes[k] for k in places])
        d.set("keep_aspect_ratio_policy", d.among("stretch", "not_larger", "not_smaller"), 0.2)
    else:
        d.parameter("scales", [scales[k] for k in places], np.float32)
    if by_axes:
        d.set("axes", places, 1)
    modes = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]
    modes += ["half_pixel_symmetric"] if d.opset >= 19 else []
    d.set("coordinate_transformation_mode", d.among(*modes[: -1 if d.some(0.9) and d.opset < 19 else None]))
    d.set("nearest_mode", d.among("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"), 0.7)
    d.set("cubic_coeff_a", -0.5, 0.5)
    d.set("exclude_outside", 1, 0.5 if mode == "cubic" else 0)
    d.set("extrapolation_value", 3.0, 0.2)
    d.set("antialias", 1, 0.1 if mode != "nearest" else 0)
    if d.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize" or 11 <= d.opset < 13:
        d.operands += [""] * (2 - len(d.operands))
        d.weights["roi"] = np.array([0.0] * len(places) + [1.0] * len(places), np.float32)
        d.operands[1] = "roi"


def _blocks(d: Draw) -> None:
    block = d.among(1, 2, 2, 3)
    kept, rows, columns = d.number(1, 3), d.number(1, 3), d.number(1, 3)
    if d.operator == "DepthToSpace":
        d.feature((1, kept * block * block, rows, columns))
    else:
        d.feature((1, kept, rows * block, columns * block))
    d.set("blocksize", block, 1)
    d.set("mode", d.among("DCR", "CRD"))


def _softmax(d: Draw) -> None:
    shape = d.feature(d.shape(2, 2, 3, 4))
    d.set("axis", d.number(-len(shape), len(shape) - 1) if d.opset >= 11 else d.number(0, len(shape) - 1))


def _shape(d: Draw) -> None:
    d.feature(d.shape(2, 3, 4))
    d.kind = TensorProto.INT64
    d.set("start", d.number(0, 1))
    d.set("end", d.number(1, 2))


def _layer_norm(d: Draw) -> None:
    shape = d.feature(d.shape(2, 3, 3, 4))
    axis = d.number(1, len(shape) - 1) if d.some(0.4) else len(shape) - 1
    d.set("axis", d.among(axis, axis - len(shape)), 1)
    d.weight(d.normal(*shape[axis:]))
    if d.has("B") and d.some():
        d.weight(d.normal(*shape[axis:]))
    d.set("epsilon", d.among(1e-5, 1e-3, 0.1))
    d.set("stash_type", 1)


RULES: dict[str, Callable[[Draw], object]] = {
    **dict.fromkeys(LOWERINGS, _plain),
    **dict.fromkeys(("Cast", "CastLike"), _cast),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), lambda d: _several(d, 2)),
    **dict.fromkeys(("Sum", "Mean", "Min", "Max"), lambda d: _several(d, 3)),
    **dict.fromkeys(("Conv", "ConvTranspose"), _conv),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), lambda d: d.feature(d.shape(3, 4))),
    **dict.fromkeys([name for name in LOWERINGS if name.startswith("Reduce")], _reduce),
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _squeeze),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _blocks),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _layer_norm),
    **{
        "Pow": _power,
        "Where": _where,
        "Clip": _clip,
        "PRelu": _prelu,
        "BatchNormalization": _normalisation,
        "LRN": _lrn,
    },
    **{"Gemm": _gemm, "MatMul": _matmul, "Transpose": _transpose, "Concat": _concat, "Gather": _gather},
    **{
        "SwiGLU": _two_alike,
        "Slice": _slice,
        "Split": _split,
        "Pad": _pad,
        "Expand": _expand,
        "Tile": _tile,
        "Shape": _shape,
    },
}
