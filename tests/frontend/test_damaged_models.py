"""Whatever is changed in a model file: a network that ONNX Runtime agrees with, or an error meant for the user.

Covers: lower/lower, import_onnx.
"""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pimcomp.errors import InvariantError, ModelError, PimdseError
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.lower.lower import LOWERINGS
from pimcomp.ir.graph import Input
from pimcomp.proof.reference import run_reference
from tests.frontend.small_onnx import agree, load, make, normals, op
from tests.graph_oracle import evaluate
from tests.seeds import seeds

NUMBERS = [-3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 100, 10**6, 2**31, 2**62]


def rich_model() -> onnx.ModelProto:
    """A network with a bit of everything: channels last, padding, shuffle, split, ceil_mode, softmax."""
    nodes = [
        op("Sub", "x mean", "s"),
        op("Transpose", "s", "t", perm=[0, 3, 1, 2]),
        op("Pad", "t pads", "p"),
        op("Conv", "p w", "c", strides=[2, 1], group=1),
        op("BatchNormalization", "c scale bias mu var", "n"),
        op("Clip", "n zero six", "r"),
        op("Reshape", "r split", "r1"),
        op("Transpose", "r1", "r2", perm=[0, 2, 1, 3, 4]),
        op("Reshape", "r2 join", "r3"),
        op("Conv", "r3 dw", "d", group=8, pads=[1, 1, 1, 1]),
        op("Split", "d", "a b", axis=1),
        op("Sigmoid", "a", "g"),
        op("Mul", "g b", "m"),
        op("Concat", "m a", "cc", axis=1),
        op("AveragePool", "cc", "ap", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0], ceil_mode=1),
        op("Slice", "ap from to axes", "sl"),
        op("Add", "sl shift", "ad"),
        op("ReduceMean", "ad", "rm", axes=[2, 3], keepdims=0),
        op("Gemm", "rm fc fb", "gm", transB=1),
        op("Unsqueeze", "gm two", "un"),
        op("Squeeze", "un two", "sq"),
        op("Softmax", "sq", "y", axis=1),
    ]
    weights = {
        "mean": normals(3),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 0]),
        "w": normals(8, 3, 3, 3),
        "scale": normals(8, seed=1),
        "bias": normals(8, seed=2),
        "mu": normals(8, seed=3),
        "var": np.abs(normals(8, seed=4)) + 1,
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        "split": np.array([0, 2, 4, 5, 9]),
        "join": np.array([0, -1, 5, 9]),
        "dw": normals(8, 1, 3, 3),
        "from": np.array([1, 0]),
        "to": np.array([7, 2]),
        "axes": np.array([1, 2]),
        "shift": normals(6, 1, 1),
        "fc": normals(5, 6),
        "fb": normals(5),
        "two": np.array([2]),
    }
    return make(nodes, {"x": ["N", 10, 10, 3]}, weights)


def damage(model: onnx.ModelProto, rng: random.Random) -> None:
    """One random change, in place."""
    node = rng.choice(model.graph.node)
    match rng.randrange(8):
        case 0 | 1 if node.attribute:
            attribute = rng.choice(node.attribute)
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
            elif attribute.HasField("i"):
                attribute.i = rng.choice(NUMBERS)
        case 2 if node.attribute:
            del node.attribute[rng.randrange(len(node.attribute))]
        case 3:
            node.op_type = rng.choice(list(LOWERINGS))
        case 4 if node.input:
            names = [o for n in model.graph.node for o in n.output] + [t.name for t in model.graph.initializer]
            node.input[rng.randrange(len(node.input))] = rng.choice([*names, "x"])
        case 5 if node.input:
            del node.input[rng.randrange(len(node.input))]
        case 6:
            tensor = rng.choice(model.graph.initializer)
            try:
                values = numpy_helper.to_array(tensor).copy()
            except ValueError:
                return  # an earlier change has damaged it: bad enough
            if values.dtype == np.int64:
                values.flat[rng.randrange(values.size)] = rng.choice(NUMBERS)
            else:
                values = np.ones([rng.choice([0, 1, 2, 5, size]) for size in values.shape], np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        case _:
            shape = model.graph.input[0].type.tensor_type.shape.dim
            if shape:
                shape[rng.randrange(len(shape))].dim_value = rng.choice(NUMBERS)


def outcome(path: Path, weights: str | None) -> str:
    """What loading a file gives: "agrees", "refused" or "unknown to ONNX Runtime"; anything else raises."""
    network = load_or_message(path, weights)
    if isinstance(network, str):
        assert str(path) in network
        return "refused"
    return compare(network)


def load_or_message(path: Path, weights: str | None = None) -> LoadedNetwork | str:
    """The network, or the error's text; a broken invariant of our own is neither."""
    try:
        return load_network(path, weights=weights)
    except InvariantError:
        raise
    except PimdseError as error:
        return str(error)


def compare(network: LoadedNetwork) -> str:
    graph = network.graph
    if sum(node.channels * node.height * node.width for node in graph.nodes) > 100_000:
        return "too large to compare"
    inputs = {n.name: normals(*n.operation.onnx_shape) for n in graph.nodes if isinstance(n.operation, Input)}
    try:
        expected = run_reference(network.onnx_bytes(), inputs)
    except ModelError:
        return "unknown to ONNX Runtime"
    _, found = evaluate(graph, inputs)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert np.abs(found[name] - array).max() <= 1e-4 * max(np.abs(array).max(), 1e-6)
    return "agrees"


def test_the_undamaged_model(tmp_path: Path) -> None:
    agree(load(rich_model(), tmp_path))


@pytest.mark.parametrize("seed", seeds(2, 5))
def test_any_change_of_the_structure(tmp_path: Path, seed: int) -> None:
    rng, original = random.Random(seed), rich_model()
    path, found = tmp_path / "damaged.onnx", Counter[str]()
    for _ in range(80):
        model = onnx.ModelProto()
        model.CopyFrom(original)
        for _ in range(rng.choice([1, 1, 2])):
            damage(model, rng)
        path.write_bytes(model.SerializeToString())
        found[outcome(path, rng.choice([None, "random:1"]))] += 1
    assert found["agrees"] > 5
    assert found["refused"] > 20


@pytest.mark.parametrize("seed", seeds(1, 3))
def test_any_change_of_the_bytes(tmp_path: Path, seed: int) -> None:
    rng, original = random.Random(seed), rich_model().SerializeToString()
    path, found = tmp_path / "damaged.onnx", Counter[str]()
    for _ in range(80):
        data, at = bytearray(original), rng.randrange(len(original))
        if rng.random() < 0.7:
            data[at] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        else:
            data[at : at + rng.randrange(1, 20)] = rng.randbytes(rng.randrange(4))
        path.write_bytes(data)
        found[type(load_or_message(path)).__name__] += 1
    assert sum(found.values()) == 80
