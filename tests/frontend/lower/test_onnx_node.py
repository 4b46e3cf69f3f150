"""Operands and attributes of a node, in the forms of every opset."""

import numpy as np
import pytest

from pimcomp.frontend.lower.onnx_node import BadShape, Constant, Unsupported, normal_axes, normal_axis
from pimcomp.frontend.lower.tensor import of_map
from tests.frontend.lower.nodes import integers, onnx_node

MAP = of_map(0, 2, 3, 4)


def test_what_is_left_out_has_a_default() -> None:
    node = onnx_node("Any", MAP)
    assert (node.integer("a", 7), node.real("a", 0.5), node.text("a", "t")) == (7, 0.5, "t")
    assert (node.integers("a"), node.reals("a"), node.scalar("a", 1)) == (None, (), None)
    assert node.attribute_or_input("a", 1) is None
    assert node.constant_or_none(1, "a") is None
    assert not node.has("a")


def test_attributes_have_their_types() -> None:
    node = onnx_node("Any", i=3, f=0.25, s="word", ints=(1, 2), floats=(0.5, 1.5))
    assert (node.integer("i", 0), node.real("f", 0.0), node.text("s", "")) == (3, 0.25, "word")
    assert (node.integers("ints"), node.reals("floats")) == ((1, 2), (0.5, 1.5))
    assert node.has("i")


def test_integers_and_numbers_may_be_attributes_or_inputs() -> None:
    assert onnx_node("Any", MAP, axes=(1, 2)).attribute_or_input("axes", 1) == (1, 2)
    assert onnx_node("Any", MAP, integers(1, 2)).attribute_or_input("axes", 1) == (1, 2)
    assert onnx_node("Any", MAP, value=0.5).scalar("value", 1) == 0.5
    assert onnx_node("Any", MAP, np.array([0.5], np.float32)).scalar("value", 1) == 0.5
    with pytest.raises(Unsupported, match="value has 2 elements"):
        onnx_node("Any", MAP, integers(1, 2)).scalar("value", 1)


@pytest.mark.parametrize("wrong", [[np.nan], [np.inf], [1.0, 2.5]])
def test_integers_are_whole_numbers(wrong: list[float]) -> None:
    with pytest.raises(BadShape, match="axes: expected whole numbers, found"):
        onnx_node("Any", MAP, np.array(wrong, np.float32)).attribute_or_input("axes", 1)
    assert onnx_node("Any", MAP, np.array([1.0, -2.0], np.float16)).attribute_or_input("axes", 1) == (1, -2)


@pytest.mark.parametrize(
    ("wrong", "found"), [(np.array([1j], np.complex64), "complex numbers"), (np.array([b"1"], object), "text")]
)
def test_a_constant_holds_real_numbers(wrong: Constant, found: str) -> None:
    with pytest.raises(Unsupported, match=rf"the shape \(input 1\) holds {found}, expected real numbers"):
        onnx_node("Any", MAP, wrong).constant(1, "the shape")


def test_operands_are_maps_or_constants_as_the_operator_needs_them() -> None:
    node = onnx_node("Any", MAP, integers(5), None)
    assert node.tensor(0) is MAP
    assert node.constant(1, "the number").tolist() == [5]
    assert node.optional(2) is None
    with pytest.raises(BadShape, match="input 2 is missing"):
        node.operand(2)
    with pytest.raises(BadShape, match="input 9 is missing"):
        node.operand(9)
    with pytest.raises(Unsupported, match="input 1 is a constant"):
        node.tensor(1)
    with pytest.raises(Unsupported, match=r"the weights \(input 0\) is computed by the network"):
        node.constant(0, "the weights")


def test_axes_are_counted_from_the_front() -> None:
    assert onnx_node("Any", MAP, axis=-1).axis(4, 0) == 3
    assert onnx_node("Any", MAP).axis(4, 1) == 1
    assert normal_axes((-1, 0, 3), 4) == (0, 3)
    for wrong in (4, -5):
        with pytest.raises(BadShape, match="of a tensor with 4 axes"):
            normal_axis(wrong, 4)
