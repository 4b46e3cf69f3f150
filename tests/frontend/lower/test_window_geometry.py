"""Sizes of sliding windows are those of ONNX's shape inference, and windows on padding alone are noticed."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pimcomp.frontend.lower.onnx_node import BadShape, Unsupported
from pimcomp.frontend.lower.window_geometry import misses_map, sliding
from pimcomp.ir.graph import Window
from tests.frontend.lower.nodes import onnx_node

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))
SIZES = (7, 5)


def inferred(op: str, kernel: tuple[int, int], attributes: dict[str, Any]) -> list[int]:
    """Height and width as ONNX says."""
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=kernel, **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, *SIZES])
    graph = helper.make_graph([node], "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    shape = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type.shape
    return [dim.dim_value for dim in shape.dim[2:]]


@given(
    kernel=PAIR, strides=PAIR, dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4), ceil_mode=st.integers(0, 1),
)  # fmt: skip
def test_explicit_pads_give_the_size_that_onnx_infers(
    kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int], pads: tuple[int, ...], ceil_mode: int
) -> None:
    assume(all(pad < size for pad, size in zip(pads, kernel * 2, strict=True)))
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "pads": pads, "ceil_mode": ceil_mode}
    found = sliding(onnx_node("MaxPool", **attributes), kernel, *SIZES)
    expected = inferred("MaxPool", kernel, attributes)
    for axis in (0, 1):  # with ceil_mode ONNX counts a window behind the map, which ONNX Runtime leaves out
        expected[axis] -= (expected[axis] - 1) * strides[axis] >= SIZES[axis] + pads[axis]
    assert [found.height, found.width] == expected
    for axis, windows in enumerate((found.height, found.width)):
        reach = found.window.extent[axis] + (windows - 1) * strides[axis]
        assert reach <= SIZES[axis] + found.window.pads[axis] + found.window.pads[axis + 2]
        assert found.window.pads[axis + 2] == pads[axis + 2] + found.overhang[axis]


@given(kernel=PAIR, strides=PAIR, auto=st.sampled_from(("SAME_UPPER", "SAME_LOWER", "VALID")))
def test_automatic_pads_give_the_size_that_onnx_infers(
    kernel: tuple[int, int], strides: tuple[int, int], auto: str
) -> None:
    found = sliding(onnx_node("MaxPool", strides=strides, auto_pad=auto), kernel, *SIZES)
    assert [found.height, found.width] == inferred("MaxPool", kernel, {"strides": strides, "auto_pad": auto})
    top, left, bottom, right = found.window.pads
    upper, lower = (top, left), (bottom, right)
    assert all(
        0 <= b - a <= 1 for a, b in zip(*((upper, lower) if auto != "SAME_LOWER" else (lower, upper)), strict=True)
    )


def test_a_window_over_a_line_has_one_row() -> None:
    found = sliding(onnx_node("Conv", strides=(2,), pads=(1, 0)), (3,), 1, 8)
    assert found.window == Window(kernel=(1, 3), stride=(1, 2), pads=(0, 1, 0, 0))
    assert (found.height, found.width) == (1, 4)


@pytest.mark.parametrize(
    ("kernel", "attributes", "error", "message"),
    [
        ((9, 1), {}, BadShape, "does not fit into 7 elements"),
        ((0, 1), {}, BadShape, "all must be >= 1"),
        ((2, 2), {"strides": (1,)}, BadShape, "expected 2 value"),
        ((2, 2), {"pads": (1, 1)}, BadShape, "expected 4 values"),
        ((2, 2), {"pads": (-1, 0, 0, 0)}, Unsupported, "negative pads"),
        ((2, 2), {"auto_pad": "SOME"}, BadShape, "auto_pad 'SOME'"),
        ((2, 2), {"dilations": (1 << 20, 1)}, BadShape, "is no window"),
    ],
)
def test_windows_that_do_not_fit_are_named(
    kernel: tuple[int, int], attributes: dict[str, Any], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        sliding(onnx_node("Conv", **attributes), kernel, *SIZES)


@given(
    kernel=PAIR, stride=PAIR, dilation=PAIR, pads=st.tuples(*[st.integers(0, 5)] * 4),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)  # fmt: skip
def test_windows_of_nothing_but_padding_are_noticed(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], pads: tuple[int, int, int, int],
    sizes: tuple[int, int],
) -> None:  # fmt: skip
    window = Window(kernel=kernel, stride=stride, dilation=dilation, pads=pads)
    windows = [(sizes[k] + pads[k] + pads[k + 2] - window.extent[k]) // stride[k] + 1 for k in (0, 1)]
    assume(min(windows) >= 1)
    missed = False
    for axis in (0, 1):
        for position in range(windows[axis]):
            at = position * stride[axis] - pads[axis] + np.arange(kernel[axis]) * dilation[axis]
            missed |= not ((at >= 0) & (at < sizes[axis])).any()
    assert misses_map(window, sizes, (windows[0], windows[1])) == missed
