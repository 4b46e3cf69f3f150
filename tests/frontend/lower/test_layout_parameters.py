"""What layout operators are asked to do, in the forms of every opset, against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.frontend.lower.layout_parameters import (
    flatten_target,
    pad_amounts,
    permutation,
    reshape_target,
    shape_part,
    slice_indices,
    split_sizes,
)
from pimcomp.frontend.lower.onnx_node import BadShape
from tests.frontend.lower.nodes import integers, onnx_node

SHAPE = (2, 3, 4)
NOTHING = np.zeros(SHAPE, np.float32)  # the data, which none of these looks at
BOUND = st.integers(-7, 7)


@pytest.mark.parametrize(
    ("wanted", "allowzero", "expected"),
    [
        ((6, 4), 0, (6, 4)),
        ((0, -1), 0, (2, 12)),
        ((-1,), 0, (24,)),
        ((2, 0, 0), 0, (2, 3, 4)),
        ((4, 6), 1, (4, 6)),
    ],
)
def test_a_reshape_copies_zeros_and_works_out_one_size(
    wanted: tuple[int, ...], allowzero: int, expected: tuple[int, ...]
) -> None:
    assert reshape_target(onnx_node("Reshape", NOTHING, integers(*wanted), allowzero=allowzero), SHAPE) == expected
    assert reshape_target(onnx_node("Reshape", NOTHING, opset=4, shape=wanted, allowzero=allowzero), SHAPE) == expected


@pytest.mark.parametrize(
    ("wanted", "allowzero"), [((5, 5), 0), ((-1, 5), 0), ((-1, -1), 0), ((2, 3, 4, 0), 0), ((0, -1), 1), ((-2, 12), 0)]
)
def test_a_reshape_to_another_size_is_refused(wanted: tuple[int, ...], allowzero: int) -> None:
    with pytest.raises(BadShape, match=r"Reshape copies|cannot reshape"):
        reshape_target(onnx_node("Reshape", NOTHING, integers(*wanted), allowzero=allowzero), SHAPE)


def test_a_reshape_needs_a_target() -> None:
    with pytest.raises(BadShape, match="no target"):
        reshape_target(onnx_node("Reshape", NOTHING), SHAPE)


@pytest.mark.parametrize(("axis", "expected"), [(0, (1, 24)), (1, (2, 12)), (3, (24, 1)), (-1, (6, 4))])
def test_flatten_joins_what_lies_before_and_behind_an_axis(axis: int, expected: tuple[int, int]) -> None:
    assert flatten_target(onnx_node("Flatten", NOTHING, axis=axis), SHAPE) == expected


def test_a_transpose_without_a_permutation_turns_all_axes_round() -> None:
    assert permutation(onnx_node("Transpose", NOTHING), 3) == (2, 1, 0)
    assert permutation(onnx_node("Transpose", NOTHING, perm=(0, 2, 1)), 3) == (0, 2, 1)
    with pytest.raises(BadShape, match="no permutation"):
        permutation(onnx_node("Transpose", NOTHING, perm=(0, 0, 1)), 3)


@given(BOUND, BOUND, st.integers(0, 2), st.sampled_from((1, 2, 3)))
def test_a_slice_forwards_is_that_of_numpy(start: int, end: int, axis: int, step: int) -> None:
    given_ = (integers(v) for v in (start, end, axis, step))
    kept = slice_indices(onnx_node("Slice", NOTHING, *given_), SHAPE)
    assert list(kept[axis]) == np.arange(SHAPE[axis])[start:end:step].tolist()
    if step == 1:
        old = onnx_node("Slice", NOTHING, opset=9, starts=(start,), ends=(end,), axes=(axis,))
        assert slice_indices(old, SHAPE) == kept


@given(BOUND, st.sampled_from((-1, -2)))
def test_a_slice_backwards_ends_in_front_of_the_first_element_when_asked_to(start: int, step: int) -> None:
    far = -(2**40)
    kept = slice_indices(onnx_node("Slice", NOTHING, *(integers(v) for v in (start, far, 2, step))), SHAPE)
    assert list(kept[2]) == np.arange(SHAPE[2])[start::step].tolist()


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [((0,), (1, 2), (0,), (1,)), ((0,), (1,), (0,), (0,)), ((0,), (1,), (5,), (1,))],
)
def test_a_slice_that_contradicts_itself_is_refused(
    starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    with pytest.raises(BadShape):
        slice_indices(onnx_node("Slice", NOTHING, *(integers(*v) for v in (starts, ends, axes, steps))), SHAPE)


@given(st.integers(1, 20), st.integers(1, 6))
def test_a_split_into_equal_parts_leaves_the_rest_to_the_last(size: int, parts: int) -> None:
    sizes = split_sizes(onnx_node("Split", NOTHING, outputs=parts, num_outputs=parts), size)
    assert sum(sizes) == size
    assert set(sizes[: size // -(-size // parts)]) <= {-(-size // parts)}
    assert list(sizes) == sorted(sizes, reverse=True)


def test_a_split_gives_what_was_asked_for() -> None:
    assert split_sizes(onnx_node("Split", NOTHING, integers(1, 3), outputs=2), 4) == (1, 3)
    assert split_sizes(onnx_node("Split", NOTHING, opset=11, outputs=2, split=(1, 3)), 4) == (1, 3)
    for wrong in (integers(1, 2), integers(4)):
        with pytest.raises(BadShape, match="Split of 4"):
            split_sizes(onnx_node("Split", NOTHING, wrong, outputs=2), 4)


def test_pads_are_given_by_axis_before_and_behind() -> None:
    value = np.array(2.5, np.float32)
    assert pad_amounts(onnx_node("Pad", NOTHING, integers(1, 2, 3, 4), value), 2) == ([1, 2], [3, 4], 2.5)
    assert pad_amounts(onnx_node("Pad", NOTHING, opset=2, pads=(1, 2, 3, 4)), 2) == ([1, 2], [3, 4], 0.0)
    named = onnx_node("Pad", NOTHING, integers(5, 6), None, integers(-1))
    assert pad_amounts(named, 3) == ([0, 0, 5], [0, 0, 6], 0.0)
    with pytest.raises(BadShape, match="Pad of 3 axes"):
        pad_amounts(onnx_node("Pad", NOTHING, integers(1, 2, 3, 4)), 3)


def test_a_shape_may_be_a_part_of_it() -> None:
    assert shape_part(onnx_node("Shape", NOTHING), SHAPE).tolist() == [2, 3, 4]
    assert shape_part(onnx_node("Shape", NOTHING, start=1), SHAPE).tolist() == [3, 4]
    assert shape_part(onnx_node("Shape", NOTHING, start=-2, end=-1), SHAPE).tolist() == [3]
