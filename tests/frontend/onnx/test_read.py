"""Files as they come: old, dynamic, split into several, damaged; and what the user is told.

Covers: mixed_batch, real_inputs.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pimcomp.errors import ModelError, UnsupportedOp
from pimcomp.frontend import load_network
from pimcomp.ir.graph import Conv, Input
from pimcomp.proof.reference import run_reference
from tests.frontend.small_onnx import agree, check, kinds, load, make, normals, only, op

X = {"x": [1, 3, 6, 6]}
WEIGHTS = {"w": normals(4, 3, 3, 3), "b": normals(4)}
CONV = op("Conv", "x w b", "c")


def test_initializers_among_the_inputs(tmp_path: Path) -> None:
    nodes = [CONV, op("Dropout", "c", "d mask", ratio=0.5), op("Reshape", "d s", "y")]
    weights = WEIGHTS | {"s": np.array([-1, 64])}
    graph = check(tmp_path, nodes, X, weights, opset=7, ir_version=3)
    assert kinds(graph) == ["Conv"]


@pytest.mark.parametrize("opset", range(7, 21))
def test_every_opset_in_its_own_forms(tmp_path: Path, opset: int) -> None:
    nodes, weights = [CONV], dict(WEIGHTS)

    def attribute_or_input(name: str, moved: int, operator: str, inputs: str, output: str, **values: object) -> None:
        if opset >= moved:
            for key, value in values.items():
                weights[f"{name}_{key}"] = np.array(value)
                inputs += f" {name}_{key}"
            values = {}
        nodes.append(op(operator, inputs, output, **values))

    attribute_or_input("clip", 11, "Clip", "c", "a", min=np.float32(-0.5), max=np.float32(1.5))
    attribute_or_input("pad", 11, "Pad", "a", "d", pads=[0, 0, 1, 1, 0, 0, 0, 0])
    attribute_or_input("slice", 10, "Slice", "d", "e", starts=[1], ends=[4], axes=[1])
    attribute_or_input("split", 13, "Split", "e", "f g", split=[1, 2])
    nodes[-1].attribute.append(helper.make_attribute("axis", 1))
    nodes.append(op("Concat", "g f", "h", axis=1))
    attribute_or_input("mean", 18, "ReduceMean", "h", "i", axes=[2, 3])
    attribute_or_input("squeeze", 13, "Squeeze", "i", "j", axes=[2, 3])
    nodes += [op("Dropout", "j", "k"), op("Softmax", "k", "y", axis=1)]
    graph = check(tmp_path, nodes, X, weights, opset=opset)
    assert kinds(graph) == ["Conv", "Pool"]
    assert graph.outputs[0].epilogue == "softmax"


@pytest.mark.parametrize("batch", ["N", None, 8])
def test_the_batch_becomes_one(tmp_path: Path, batch: str | int | None) -> None:
    nodes = [CONV, op("Reshape", "c s", "f"), op("Gemm", "f g", "y", transB=1)]
    weights = WEIGHTS | {"s": np.array([8 if batch == 8 else -1, 64]), "g": normals(5, 64)}
    path = tmp_path / "m.onnx"
    path.write_bytes(make(nodes, {"x": [batch, 3, 6, 6]}, weights).SerializeToString())
    before = path.read_bytes()
    graph = agree(load_network(path))
    assert graph.nodes[0].operation == Input((1, 3, 6, 6))
    assert graph.outputs[0].onnx_shape == (1, 5)
    assert path.read_bytes() == before


def test_float16_weights(tmp_path: Path) -> None:
    nodes = [op("Cast", "h", "w", to=TensorProto.FLOAT), op("Conv", "x w", "y")]
    graph = check(tmp_path, nodes, X, {"h": WEIGHTS["w"].astype(np.float16)})
    assert only(graph, Conv).operation.weights.dtype == np.float32  # type: ignore[union-attr]


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    model = make([op("Conv", "x w b", "y")], X, WEIGHTS)
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="data/m.bin", size_threshold=0)
    agree(load_network(folder / "m.onnx"))
    data = (folder / "data" / "m.bin").read_bytes()
    (folder / "data" / "m.bin").write_bytes(data[:-8])
    with pytest.raises(ModelError, match=r"m\.onnx: weights '[wb]': external data 'data/m\.bin': expected \d+ bytes"):
        load_network(folder / "m.onnx")
    (folder / "data" / "m.bin").unlink()
    with pytest.raises(ModelError, match="cannot read it"):
        load_network(folder / "m.onnx")


def test_model_and_weights_may_be_links_into_a_store(tmp_path: Path) -> None:
    model = make([CONV], X, WEIGHTS, outputs=("c",))
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    store, shown = tmp_path / "blobs", tmp_path / "shown"
    for folder in (store, shown):
        folder.mkdir()
    for number, name in enumerate(("m.onnx", "w.bin")):
        (tmp_path / name).rename(store / str(number))
        (shown / name).symlink_to(Path("..") / "blobs" / str(number))
    agree(load_network(shown / "m.onnx"))
    (shown / "w.bin").unlink()
    (shown / "w.bin").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(bytes(4096))
    with pytest.raises(ModelError, match="leads outside the model's folder"):
        load_network(shown / "m.onnx")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin", "", "a/../../secret.bin"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(4 * 3 * 9 * 4))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = make([op("Conv", "x w", "y")], X, {"w": WEIGHTS["w"]})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(ModelError, match="model's folder"):
        load(model, folder)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    for name, data, message in (
        ("empty.onnx", b"", "the file is empty"),
        ("text.onnx", b"not a model, just text", "not an ONNX model"),
        ("cut.onnx", make([CONV], X, WEIGHTS, ["c"]).SerializeToString()[:300], "corrupt"),
        ("hollow.onnx", onnx.ModelProto(ir_version=8).SerializeToString(), "holds no graph"),
        ("idle.onnx", make([], X, {}, ["x"]).SerializeToString(), "no nodes"),
        ("mute.onnx", make([CONV], X, WEIGHTS, []).SerializeToString(), "no outputs"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match=message) as caught:
            load_network(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(ModelError, match=r"missing\.onnx: no such file"):
        load_network(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        load_network(tmp_path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([1, 3, "height", 6], r"input 'x': dimension 2 is dynamic \(height\).*fixed size"),
        ([1, 3, 6, None], r"dimension 3 is dynamic \(unknown\)"),
        ([1, 0, 6, 6], "dimension 1 is 0"),
        ([0, 3, 6, 6], "dimension 0 is 0"),
        (None, "has no shape"),
        ([1, 3, 6, 6, 6], "has 5 dimensions"),
    ],
)
def test_unusable_inputs(tmp_path: Path, shape: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(make([op("Relu", "x", "y")], {"x": shape}), tmp_path)


def test_integer_inputs_and_unknown_opsets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOp, match=r"x: input \(opset 13\): expected real numbers, found integers"):
        load(make([op("Max", "x", "y")], X, elem_type=TensorProto.UINT8), tmp_path)
    for opset in (6, 99):
        with pytest.raises(ModelError, match=f"opset {opset}: expected 7 to"):
            load(make([op("Relu", "x", "y")], X, opset=opset), tmp_path)


def test_broken_graphs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'Relu-y' reads 'nowhere', which nothing before it produces"):
        load(make([op("Relu", "nowhere", "y")], X), tmp_path)
    with pytest.raises(ModelError, match="output 'y' is produced by no node"):
        load(make([op("Relu", "x", "z")], X, outputs=["y", "z"]), tmp_path)
    with pytest.raises(ModelError, match="output 'k' is a constant"):
        load(make([op("Relu", "x", "y")], X, {"k": normals(3)}, ["k"]), tmp_path)
    model = make([op("Conv", "x w", "y")], X, {"w": WEIGHTS["w"]})
    model.graph.initializer[0].raw_data = b"1234"
    with pytest.raises(ModelError, match="weights 'w'"):
        load(model, tmp_path)


def test_outputs_that_are_constants_are_left_out_beside_others(tmp_path: Path) -> None:
    """Boxes of a detector that depend on no image."""
    nodes = [CONV, op("Relu", "c", "y"), op("Neg", "boxes", "k")]
    network = load(make(nodes, X, {**WEIGHTS, "boxes": normals(3)}, ["k", "y"]), tmp_path)
    assert [output.name for output in agree(network).outputs] == ["y"]
    assert "output 'k' left out: it is a constant" in network.graph.notes


def test_every_unsupported_node_is_listed_at_once(tmp_path: Path) -> None:
    nodes = [
        CONV,
        op("Elu", "c", "e"),
        op("InstanceNormalization", "e b b", "i"),
        op("Softplus", "i", "s"),
        op("MaxPool", "s", "m indices", kernel_shape=[2, 2]),
        op("Cast", "indices", "f", to=1),
        op("Custom", "m", "u", domain="com.example"),
        op("Exp", "u", "v"),
        op("Add", "v f", "y"),
    ]
    model = make(nodes, X, WEIGHTS)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedOp) as caught:
        load(model, tmp_path)
    assert [o.op for o in caught.value.offenders] == [
        "Elu", "InstanceNormalization", "Softplus", "MaxPool", "Custom", "Exp"
    ]  # fmt: skip
    assert {o.opset for o in caught.value.offenders} == {13}
    assert str(tmp_path / "small.onnx") in str(caught.value)


def test_nodes_behind_an_unsupported_one_are_examined(tmp_path: Path) -> None:
    nodes = [op("Elu", "x", "e"), op("Div", "x e", "f"), op("ReduceL2", "f", "y", axes=[1])]
    with pytest.raises(UnsupportedOp) as caught:
        load(make(nodes, X), tmp_path)
    assert [o.op for o in caught.value.offenders] == ["Elu", "Div", "ReduceL2"]


def test_huge_constants_are_not_folded(tmp_path: Path) -> None:
    fill = op("ConstantOfShape", "s", "k")
    model = make([fill, op("Add", "x k", "y")], X, {"s": np.array([1 << 20, 1 << 20])})
    with pytest.raises(UnsupportedOp, match="larger than 512 MB"):
        load(model, tmp_path)


def test_functions_are_inlined(tmp_path: Path) -> None:
    function = helper.make_function(
        "local", "Twice", ["a"], ["r"], [helper.make_node("Add", ["a", "a"], ["r"])], [helper.make_opsetid("", 13)]
    )
    model = make([op("Twice", "x", "t", domain="local"), op("Relu", "t", "y")], X)
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    assert kinds(agree(load(model, tmp_path))) == ["Eltwise"]


def test_functions_that_call_functions_do_not_fill_the_memory(tmp_path: Path) -> None:
    model = make([op("F0", "x", "y", domain="local")], X)
    for i in range(40):
        body = [helper.make_node(f"F{i + 1}", ["a"], [result], domain="local") for result in ("b", "r")]
        model.functions.append(
            helper.make_function("local", f"F{i}", ["a"], ["r"], body, [helper.make_opsetid("", 13)])
        )
    model.opset_import.append(helper.make_opsetid("local", 1))
    with pytest.raises(ModelError, match="stands for more than 50000 nodes"):
        load(model, tmp_path)


def test_typed_data_fields(tmp_path: Path) -> None:
    model = make([op("Conv", "x w", "y")], X)
    model.graph.initializer.append(
        helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 3, 3], WEIGHTS["w"].ravel().tolist())
    )
    graph = agree(load(model, tmp_path))
    assert np.array_equal(only(graph, Conv).operation.weights, WEIGHTS["w"])  # type: ignore[union-attr]
    assert numpy_helper.to_array(model.graph.initializer[0]).dtype == np.float32


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    for value in (np.nan, np.inf, -np.inf):
        weights = WEIGHTS["w"].copy()
        weights[1, 2, 0, 0] = value
        with pytest.raises(ModelError, match="node 'Conv-y': expected finite weights"):
            load(make([op("Conv", "x w", "y")], X, {"w": weights}), tmp_path)


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("shape", "nodes", "weights"),
    [
        pytest.param((2, 3, 6, 6), [CONV, op("GlobalAveragePool", "c", "g"), op("Expand", "g s", "e"),
                     op("Concat", "c e", "y", axis=1)], {"s": ints(2, 4, 4, 4)}, id="Expand"),
        pytest.param((2, 3, 6, 6), [CONV, op("Resize", "c _ _ s", "y", mode="nearest")], {"s": ints(2, 4, 8, 8)},
                     id="Resize"),
        pytest.param((2, 3, 6, 6), [CONV, op("Reshape", "c s", "r"), op("Reshape", "r t", "u"),
                     op("MatMul", "u m", "y")], {"s": ints(8, 16), "t": ints(2, 64), "m": normals(64, 3)}, id="merged"),
        pytest.param((8, 2, 16), [op("Conv", "x k", "c"), op("GlobalAveragePool", "c", "y")], {"k": normals(4, 2, 5)},
                     id="one-dimensional"),
        pytest.param((4, 3, 6, 6), [op("Reshape", "k s", "w4"), op("Conv", "x w4 b", "c"), op("Add", "c a", "y")],
                     {"k": normals(4, 27), "s": ints(4, 3, 3, 3), "a": np.repeat(normals(1, 4, 1, 1), 4, axis=0)},
                     id="weights of as many rows"),
    ],
)  # fmt: skip
def test_a_fixed_batch_of_any_network(tmp_path: Path, shape: Any, nodes: Any, weights: Any) -> None:
    model = make(nodes, {"x": shape}, {**WEIGHTS, **weights})
    images = normals(*shape)
    whole = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": images})[0]
    network = load(model, tmp_path)
    found = run_reference(network.onnx_bytes(), {"x": images})["y"]
    np.testing.assert_allclose(found.reshape(whole.shape), whole, atol=1e-4)
    agree(network)


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.UINT8, TensorProto.INT32, TensorProto.BOOL])
def test_inputs_of_other_types(tmp_path: Path, kind: int) -> None:
    agree(load(make([op("Cast", "x", "r", to=1), op("Conv", "r w b", "y")], X, WEIGHTS, elem_type=kind), tmp_path))


def test_quantized_inputs_and_unused_ones(tmp_path: Path) -> None:
    nodes = [op("DequantizeLinear", "x s z", "r"), op("Conv", "r w b", "y")]
    weights = WEIGHTS | {"s": np.array(0.5, np.float32), "z": np.array(7, np.uint8)}
    model = make(nodes, X, weights, elem_type=TensorProto.UINT8)
    model.graph.input.append(helper.make_tensor_value_info("im_shape", TensorProto.INT64, ["K", 2]))
    graph = agree(load(model, tmp_path))
    assert graph.notes == ("input 'im_shape' dropped: no output depends on it",)


def test_weights_that_the_exporter_left_out(tmp_path: Path) -> None:
    model = make([CONV], X | {"w": (4, 3, 3, 3), "b": (4,)}, outputs=("c",))
    with pytest.raises(ModelError, match=r"'w' is an input .* no values: .* --weights random:SEED"):
        load(model, tmp_path)
    agree(load(model, tmp_path, weights="random:1"))


def test_a_matrix_that_is_only_added_is_an_input(tmp_path: Path) -> None:
    agree(load(make([op("Gemm", "x w c", "y", beta=0.5)], {"x": (1, 6), "c": (1, 4)}, {"w": normals(6, 4)}), tmp_path))


def test_images_behind_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mixes the images of the file's batch of 2"):
        load(make([op("Concat", "x z", "y", axis=0)], {"x": (2, 4), "z": (2, 4)}), tmp_path)


def test_damaged_constants_and_nodes_without_inputs_are_said_to_be_so(tmp_path: Path) -> None:
    cut = make([op("Reshape", "x shape", "y")], {"x": [4, 2, 2]}, {"shape": np.array([4, 4])}, ["y"])
    cut.graph.initializer[0].dims[0] = 2**62
    idle = make([op("Identity", "x", "i"), op("Relu", "i", "y")], {"x": [1, 2]}, {}, ["y"])
    del idle.graph.node[0].input[:]
    single = make([op("MatMul", "x", "y")], {"x": [1, 4, 2]}, {}, ["y"])
    strange = make([op("Nothing", "x", "y")], {"x": [1, 2]}, {}, ["y"]).SerializeToString()
    texts = [model.SerializeToString() for model in (cut, idle, single)]
    for content in (*texts, strange.replace(b"Nothing", b"\xff" * 7)):
        (tmp_path / "damaged.onnx").write_bytes(content)
        with pytest.raises((ModelError, UnsupportedOp), match=r"damaged\.onnx"):
            load_network(tmp_path / "damaged.onnx")
