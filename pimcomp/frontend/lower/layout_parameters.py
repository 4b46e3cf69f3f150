"""What Reshape, Squeeze, Slice, Split ... are asked to do, whichever opset asks: attributes first, then inputs."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode, normal_axis, whole_numbers


def reshape_target(node: OnnxNode, shape: Sequence[int]) -> tuple[int, ...]:
    """The concrete target of a Reshape: 0 copies a dimension (unless allowzero), one -1 is worked out."""
    wanted = node.attribute_or_input("shape", 1)
    if wanted is None:
        raise BadShape("Reshape has no target shape")
    target = list(wanted)
    if not node.integer("allowzero", 0):
        for axis, size in enumerate(target):
            if size == 0:
                if axis >= len(shape):
                    raise BadShape(f"Reshape copies dimension {axis} of {list(shape)}")
                target[axis] = shape[axis]
    if target.count(-1) == 1:
        known = math.prod(size for size in target if size != -1)
        if known == 0 or math.prod(shape) % known:
            raise BadShape(f"cannot reshape {list(shape)} to {list(wanted)}")
        target[target.index(-1)] = math.prod(shape) // known
    if any(size < 0 for size in target) or math.prod(target) != math.prod(shape):
        raise BadShape(f"cannot reshape {list(shape)} to {list(wanted)}")
    return tuple(target)


def flatten_target(node: OnnxNode, shape: Sequence[int]) -> tuple[int, int]:
    """Shape of a Flatten: everything before `axis` times everything from it on."""
    axis = node.integer("axis", 1)
    axis = len(shape) if axis == len(shape) else normal_axis(axis, len(shape))
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def permutation(node: OnnxNode, rank: int) -> tuple[int, ...]:
    """`perm` of a Transpose; reversed axes when it is left out."""
    perm = node.integers("perm")
    perm = tuple(reversed(range(rank))) if perm is None else perm
    if sorted(perm) != list(range(rank)):
        raise BadShape(f"perm {list(perm)} is no permutation of {rank} axes")
    return perm


def slice_indices(node: OnnxNode, shape: Sequence[int]) -> dict[int, range]:
    """Which positions of which axes a Slice keeps (opset 1 to 9: attributes, from 10: inputs)."""
    starts, ends = node.attribute_or_input("starts", 1), node.attribute_or_input("ends", 2)
    if starts is None or ends is None:
        raise BadShape("Slice has no starts or ends")
    axes = node.attribute_or_input("axes", 3)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = node.attribute_or_input("steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise BadShape(f"Slice: starts {list(starts)}, ends {list(ends)}, axes {list(axes)}, steps {list(steps)}")
    kept: dict[int, range] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where = normal_axis(axis, len(shape))
        kept[where] = (
            range(*slice(start, end, step).indices(shape[where]))
            if step > 0
            else _backwards(start, end, step, shape[where])
        )
    return kept


def _backwards(start: int, end: int, step: int, size: int) -> range:
    """Negative steps: an end before the first element is a very negative number, which `slice` would wrap once."""
    first = min(start if start >= 0 else start + size, size - 1)
    last = end if end >= 0 else max(end + size, -1)
    return range(first, last, step)


def split_sizes(node: OnnxNode, size: int) -> tuple[int, ...]:
    """Sizes of the parts of a Split: given, or as equal as possible (the last one may be smaller)."""
    sizes = node.attribute_or_input("split", 1)
    if sizes is None:
        parts = node.integer("num_outputs", len(node.outputs))
        step = -(-size // parts)
        sizes = tuple(max(0, min(step, size - i * step)) for i in range(parts))
    if sum(sizes) != size or len(sizes) < len(node.outputs):
        raise BadShape(f"Split of {size} elements into {list(sizes)} for {len(node.outputs)} outputs")
    return sizes


def pad_amounts(node: OnnxNode, rank: int) -> tuple[list[int], list[int], float]:
    """(elements before, elements after each axis, the value) of a Pad (opset 2 to 10: attributes, from 11: inputs)."""
    pads = node.attribute_or_input("pads", 1)
    pads = node.integers("paddings") if pads is None else pads
    value = node.scalar("value", 2) or 0.0
    axes = node.constant_or_none(3, "axes")
    named = list(range(rank)) if axes is None else [normal_axis(a, rank) for a in whole_numbers(axes, "axes")]
    if pads is None or len(pads) != 2 * len(named):
        raise BadShape(f"Pad of {rank} axes with pads {None if pads is None else list(pads)}")
    before, after = [0] * rank, [0] * rank
    for position, axis in enumerate(named):
        before[axis], after[axis] = pads[position], pads[position + len(named)]
    return before, after, value


def shape_part(node: OnnxNode, shape: Sequence[int]) -> npt.NDArray[np.int64]:
    """What a Shape node returns: the whole shape, or from `start` to `end` (opset 15)."""
    return np.asarray(shape[node.integer("start", 0) : node.integer("end", len(shape))], np.int64)
