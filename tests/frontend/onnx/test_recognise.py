"""Functions that exporters spell out become one operator, and mean what ONNX Runtime says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from pimcomp.errors import UnsupportedOp
from pimcomp.frontend.onnx.recognise import recognise
from pimcomp.ir.graph import Normalise
from tests.frontend.small_onnx import Array, agree, check, kinds, load, make, normals, only, op
from tests.seeds import seeds

Spelling = Callable[["Writer"], str]


class Writer:
    """A row-wise function of x under construction, in one opset's words."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = int(self.rng.choice([13, 17, 18, 21]))
        rank = int(self.rng.integers(2, 5))
        self.shape = (1, *(int(size) for size in self.rng.integers(2, 7, rank - 1)))
        self.axis = int(self.rng.choice([-1, rank - 1]))
        self.epsilon = float(self.rng.choice([1e-6, 1e-5, 1e-3]))
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(op(operator, " ".join(inputs), f"t{len(self.nodes)}", **attributes))
        return f"t{len(self.nodes) - 1}"

    def number(self, *values: float) -> str:
        name = f"n{len(self.weights)}"
        self.weights[name] = np.array(values[0] if len(values) == 1 else values, np.float32)
        return name

    def vector(self) -> str:
        return self.number(*self.rng.uniform(0.5, 1.5, self.shape[-1]))

    def mean(self, x: str, how: str = "ReduceMean") -> str:
        if how == "ReduceMean" and len(self.shape) == 3 and self.rng.random() < 0.3:
            return self.add("GlobalAveragePool", x)  # as tf2onnx writes it
        if self.opset < (13 if how == "ReduceSum" else 18):
            return self.add(how, x, axes=[self.axis])
        self.weights["axes"] = np.array([self.axis])
        return self.add(how, x, "axes")

    def swapped(self, operator: str, a: str, b: str) -> str:
        """A commutative operator, its operands in either order."""
        return self.add(operator, *((a, b) if self.rng.random() < 0.5 else (b, a)))

    def square(self, x: str) -> str:
        return self.add("Pow", x, self.number(2)) if self.rng.random() < 0.5 else self.add("Mul", x, x)

    def root(self, x: str) -> str:
        return self.add("Sqrt", x) if self.rng.random() < 0.5 else self.add("Pow", x, self.number(0.5))

    def inverse(self, x: str) -> str:
        way = self.rng.integers(3)
        if way == 0:
            return self.add("Pow", x, self.number(-0.5))
        root = self.root(x)
        return self.add("Reciprocal", root) if way == 1 else self.add("Div", self.number(1), root)

    def guarded(self, variance: str) -> str:
        return self.swapped("Add", variance, self.number(self.epsilon))


def torch_layer_norm(w: Writer) -> str:
    centred = w.add("Sub", "x", w.mean("x"))
    again = centred if w.rng.random() < 0.5 else w.add("Sub", "x", w.mean("x"))
    scaled = w.add("Div", centred, w.root(w.guarded(w.mean(w.square(again)))))
    return w.swapped("Add", w.swapped("Mul", scaled, w.vector()), w.vector())


def keras_layer_norm(w: Writer) -> str:
    """As tf.nn.batch_normalization: x * inverse + (beta - mean * inverse)."""
    mean = w.mean("x")
    inverse = w.inverse(w.guarded(w.mean(w.square(w.add("Sub", "x", mean)))))
    inverse = w.swapped("Mul", inverse, w.vector())
    shift = w.add("Sub", w.vector(), w.swapped("Mul", mean, inverse))
    return w.swapped("Add", w.swapped("Mul", "x", inverse), shift)


def moments_layer_norm(w: Writer) -> str:
    """The mean of squares less the square of the mean, as the second release of keras writes it."""
    mean = w.mean("x")
    variance = w.add("Sub", w.mean(w.square("x")), w.square(mean))
    return w.swapped("Mul", w.add("Sub", "x", mean), w.inverse(w.guarded(variance)))


def rms_norm(w: Writer) -> str:
    scaled = w.swapped("Mul", "x", w.inverse(w.guarded(w.mean(w.square("x")))))
    return w.swapped("Mul", scaled, w.vector()) if w.rng.random() < 0.7 else scaled


def unit_length(w: Writer) -> str:
    """Rows divided by their length, kept from zero as PyTorch or keras does."""
    if w.rng.random() < 0.5:
        least = w.add("Max", w.mean("x", "ReduceL2"), w.number(1e-12))
        return w.add("Div", "x", least if w.rng.random() < 0.5 else w.add("Expand", least, w.add("Shape", "x")))
    squares = w.mean(w.square("x"), "ReduceSum")
    if w.rng.random() < 0.5:
        return w.swapped("Mul", "x", w.inverse(w.add("Max", squares, w.number(1e-12))))
    return w.swapped("Mul", "x", w.add("Min", w.inverse(squares), w.number(1e12)))


def softmax(w: Writer) -> str:
    x = w.add("Sub", "x", w.mean("x", "ReduceMax")) if w.rng.random() < 0.5 else "x"
    powers = w.add("Exp", x)
    return w.add("Div", powers, w.mean(powers, "ReduceSum"))


def gelu(w: Writer) -> str:
    inner = w.add("Div", "x", w.number(2**0.5)) if w.rng.random() < 0.5 else w.swapped("Mul", "x", w.number(0.5**0.5))
    return _gated(w, w.swapped("Add", w.add("Erf", inner), w.number(1)))


def gelu_tanh(w: Writer) -> str:
    slope = (2 / np.pi) ** 0.5
    if w.rng.random() < 0.5:
        cube = w.add("Pow", "x", w.number(3)) if w.rng.random() < 0.5 else w.add("Mul", w.add("Mul", "x", "x"), "x")
        bent = w.swapped("Add", "x", w.swapped("Mul", cube, w.number(0.044715)))
        inner = w.swapped("Mul", bent, w.number(slope))
    else:
        bent = w.swapped("Add", w.swapped("Mul", w.square("x"), w.number(0.044715)), w.number(1))
        inner = w.swapped("Mul", w.swapped("Mul", "x", w.number(slope)), bent)
    return _gated(w, w.swapped("Add", w.add("Tanh", inner), w.number(1)))


def _gated(w: Writer, gate: str) -> str:
    """x / 2 * gate, the factors in any order."""
    if w.rng.random() < 0.5:
        return w.swapped("Mul", w.swapped("Mul", "x", gate), w.number(0.5))
    return w.swapped("Mul", w.swapped("Mul", "x", w.number(0.5)), gate)


SPELLINGS: list[tuple[Spelling, str]] = [
    (torch_layer_norm, "LayerNormalization"),
    (keras_layer_norm, "LayerNormalization"),
    (moments_layer_norm, "LayerNormalization"),
    (rms_norm, "RMSNormalization"),
    (unit_length, "RMSNormalization"),
    (softmax, "Softmax"),
    (gelu, "Gelu"),
    (gelu_tanh, "Gelu"),
]


@pytest.mark.parametrize(("spelling", "operator"), SPELLINGS, ids=lambda v: getattr(v, "__name__", v))
@pytest.mark.parametrize("seed", seeds(3, 12))
def test_every_spelling_becomes_the_operator(spelling: Spelling, operator: str, seed: int, tmp_path: Path) -> None:
    w = Writer(seed)
    w.nodes.append(op("Identity", spelling(w), "y"))
    model = make(w.nodes, {"x": w.shape}, w.weights, opset=w.opset)
    found = [node for node in recognise(model) if node.op_type not in ("Constant", "Identity")]
    assert [node.op_type for node in found] == [operator]
    if len(w.shape) == 3 and min(w.shape[1:]) > 1:  # a map of one row whose channels are last
        w.weights["w"] = w.rng.standard_normal((w.shape[-1], w.shape[-1])).astype(np.float32)
        nodes = [op("MatMul", "in w", "x"), *w.nodes]
        check(tmp_path, nodes, {"in": w.shape}, w.weights, opset=w.opset)


NUMBERS = {"eps": np.array(1e-5, np.float32), "half": np.array(0.5, np.float32), "one": np.array(1, np.float32)}
NUMBERS |= {"root": np.array(2**0.5, np.float32), "two": np.array(2, np.float32)}
SPREAD = [op("Sub", "c m", "d"), op("Mul", "d d", "s"), op("ReduceMean", "s", "v", axes=[1]), op("Add", "v eps", "a")]


def test_normalising_channels_that_are_not_last_is_done_between_exchanges_of_axes(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x k", "c"),
        op("ReduceMean", "c", "m", axes=[1]),
        *SPREAD,
        op("Sqrt", "a", "r"),
        op("Div", "d r", "n"),
        op("Mul", "n g", "w"),
        op("Add", "w b", "y"),
    ]
    weights = {"k": normals(6, 3, 1, 1), "g": normals(6, 1, 1), "b": normals(6, 1, 1, seed=1), "eps": NUMBERS["eps"]}
    graph = check(tmp_path, nodes, {"x": [1, 3, 4, 5]}, weights)
    assert only(graph, Normalise).operation == Normalise(float(np.float32(1e-5)), centred=True)
    assert kinds(graph) == ["Conv", "Normalise", "Conv"]


def test_what_somebody_else_reads_inside_a_function_is_computed_besides(tmp_path: Path) -> None:
    nodes = [
        op("MatMul", "x w", "c"),
        op("Div", "c root", "d"),
        op("Erf", "d", "e"),
        op("Add", "e one", "a"),
        op("Mul", "c a", "m"),
        op("Mul", "m half", "g"),
        op("Add", "g e", "y"),
    ]
    weights = {"w": normals(4, 6)} | {name: NUMBERS[name] for name in ("root", "one", "half")}
    graph = check(tmp_path, nodes, {"x": [1, 3, 4]}, weights)
    assert {node.activation.kind for node in graph.nodes if node.activation} == {"erf", "gelu"}


def test_what_is_no_operator_is_left_as_it_is_written(tmp_path: Path) -> None:
    """A deviation in place of a variance; a GELU that is cut off."""
    nodes = [op("MatMul", "x w", "c"), op("ReduceMean", "c", "m", axes=[1])]
    nodes += [*SPREAD[:3], op("Sqrt", "v", "r"), op("Add", "r eps", "a"), op("Div", "d a", "y")]
    weights = {"w": normals(4, 6), "eps": NUMBERS["eps"]}
    with pytest.raises(UnsupportedOp, match="logarithm, root or division"):
        load(make(nodes, {"x": [3, 4]}, weights), tmp_path)
    nodes = [op("MatMul", "x w", "c"), op("Div", "c root", "d"), op("Erf", "d", "e"), op("Add", "e one", "a")]
    nodes += [op("Mul", "c a", "m"), op("Mul", "m half", "g"), op("Clip", "g low high", "z"), op("Add", "z one", "y")]
    weights = {"w": normals(4, 6), "low": np.array(-10, np.float32), "high": np.array(10, np.float32)} | NUMBERS
    graph = agree(load(make(nodes, {"x": [1, 3, 4]}, weights), tmp_path))
    assert [str(node.activation.kind) for node in graph.nodes if node.activation] == ["gelu", "clip"]
