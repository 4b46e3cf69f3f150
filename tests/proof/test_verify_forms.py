"""Networks of every form are proven: with and without a batch, channels first and last, sequences, vectors, scalars.

Covers: feeds, rounding, executed_in_integers, calibrate.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from pimcomp.errors import ModelError, PimdseError
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Eltwise, Fixed
from pimcomp.ir.plan import Pipeline
from pimcomp.proof.executed import VerifyReport, judge_output, verify_program
from pimcomp.proof.executed_in_integers import verify_integer
from pimcomp.proof.feeds import random_inputs
from pimcomp.proof.reference import intermediate_maps
from pimcomp.proof.rounding import rounding
from pimdse.api import compile_model
from tests.frontend.small_onnx import load, make, normals, op
from tests.seeds import seeds

CHIP = Arch(
    name="small", cores=4, crossbars_per_core=64, crossbar_rows=64, crossbar_cols=64, cell_bits=8, dac_count=64,
    adc_count=8, weight_bits=8, activation_bits=8, psum_bits=8,
)  # fmt: skip
IMAGE = {"x": [1, 3, 6, 5]}
CONV = {"k": normals(4, 3, 3, 3), "w": normals(4, 3)}
TOKENS = {"x": [1, 6, 8]}
SCORES = [
    op("Transpose", "x", "t", perm=[0, 2, 1]),
    op("MatMul", "x t", "s"),
    op("Add", "s m", "z"),
    op("Softmax", "z", "p", axis=-1),
]
POOLED = [op("Conv", "x k", "c"), op("GlobalAveragePool", "c", "g"), op("Flatten", "g", "f"), op("MatMul", "f w", "y")]


def file_of(folder: Path, *args: Any, **options: Any) -> Path:
    """A model as a file."""
    (folder / "net.onnx").write_bytes(make(*args, **options).SerializeToString())
    return folder / "net.onnx"


def proven(model: Path, pipeline: Pipeline = Pipeline.ELEMENT, **options: Any) -> VerifyReport:
    """Compile a file, write the program and verify it."""
    program = compile_model(model, CHIP, solver="balance", pipeline=pipeline)
    program.write(model.parent / "out")
    report = verify_program(model.parent / "out", program.network, **options)
    assert report.passed, report.reason
    assert report.maps == len(program.compiled.graph.nodes)
    return report


FORMS: dict[str, tuple[Any, ...]] = {
    "vector": (
        [op("Unsqueeze", "x", "x1", axes=[0]), op("Gemm", "x1 w b", "h", transB=1), op("Squeeze", "h", "y", axes=[0])],
        {"x": [6]},
        {"w": normals(3, 6), "b": normals(3)},
    ),
    "vector times matrix": ([op("MatMul", "x w", "y")], {"x": [6]}, {"w": normals(6, 3)}),
    "sequence": ([op("MatMul", "x w", "y")], {"x": [1, 5, 8]}, {"w": normals(8, 3)}),
    "sequence pooled": (
        [op("MatMul", "x w", "h"), op("Relu", "h", "r"), op("ReduceMean", "r", "y", axes=[1], keepdims=0)],
        {"x": [1, 5, 8]},
        {"w": normals(8, 3)},
    ),
    "channels, columns": ([op("Conv", "x k", "y", pads=[1, 1])], {"x": [1, 3, 9]}, {"k": normals(4, 3, 3)}),
    "image without batch": ([op("Unsqueeze", "x", "u", axes=[0]), op("Conv", "u k", "y")], {"x": [3, 6, 5]}, CONV),
    "all without batch": (
        [op("Unsqueeze", "x", "u", axes=[0]), op("Conv", "u k", "c"), op("Squeeze", "c", "y", axes=[0])],
        {"x": [3, 6, 5]},
        CONV,
    ),
    "channels last": (
        [
            op("Transpose", "x", "t", perm=[0, 3, 1, 2]),
            op("Conv", "t k", "c"),
            op("Transpose", "c", "y", perm=[0, 2, 3, 1]),
        ],
        {"x": [1, 6, 5, 3]},
        CONV,
    ),
    "symbolic batch": (POOLED, {"x": ["N", 3, 6, 5]}, CONV),
    "scalar": ([op("Conv", "x k", "c"), op("ReduceMean", "c", "y", axes=[0, 1, 2, 3], keepdims=0)], IMAGE, CONV),
    "one neuron": ([op("Gemm", "x w", "y", transB=1)], {"x": [1, 6]}, {"w": normals(1, 6)}),
    "softmax": ([*POOLED, op("Softmax", "y", "z", axis=1)], IMAGE, CONV, ["z"]),
    "softmax squeezed": (
        [*POOLED, op("Softmax", "y", "s", axis=-1), op("Squeeze", "s", "z", axes=[0])],
        IMAGE,
        CONV,
        ["z"],
    ),
    "softmax of squeezed": (
        [*POOLED, op("Squeeze", "y", "s", axes=[0]), op("Softmax", "s", "z", axis=0)],
        IMAGE,
        CONV,
        ["z"],
    ),
    "softmax over the batch": ([*POOLED, op("Softmax", "y", "z", axis=0)], IMAGE, CONV, ["z"]),
    "softmax over channels of a map": ([op("Conv", "x k", "c"), op("Softmax", "c", "y", axis=1)], IMAGE, CONV),
    "cast": (
        [*POOLED, op("Cast", "y", "d", to=onnx.TensorProto.DOUBLE), op("Cast", "d", "z", to=onnx.TensorProto.FLOAT)],
        IMAGE,
        CONV,
        ["z"],
    ),
    "one tensor, three outputs": ([*POOLED, op("Identity", "y", "z")], IMAGE, CONV, ["y", "z", "c"]),
    "an input that is an output": ([op("Conv", "x k", "y")], IMAGE, CONV, ["y", "x"]),
    "two inputs, two outputs": (
        [op("Conv", "x k", "c"), op("Mul", "c m", "y"), op("Relu", "m", "z")],
        {"x": [1, 3, 6, 5], "m": [1, 4, 1, 1]},
        CONV,
        ["y", "z"],
    ),
    "names of inner tensors": (
        [op("Conv", "node1 k", "c"), op("Add", "c global", "node0"), op("Relu", "node0", "output_node0")],
        {"node1": [1, 3, 6, 5], "global": [1, 4, 4, 3]},
        CONV,
        ["node0", "output_node0"],
    ),
    "one name in disguise": (
        [op("Conv", "x k", "output_x"), op("Add", "output_x m", "y")],
        {"x": [1, 3, 6, 5], "m": [1, 4, 4, 3]},
        CONV,
        ["x", "output_x", "y"],
    ),
    "same padding, dilated": (
        [op("Conv", "x k", "y", auto_pad="SAME_UPPER", dilations=[2, 2], strides=[2, 1])],
        {"x": [1, 3, 7, 6]},
        CONV,
    ),
    "same padding, dilated, columns": (
        [op("Conv", "x k", "y", auto_pad="SAME_LOWER", dilations=[3])],
        {"x": [1, 3, 9]},
        {"k": normals(4, 3, 2)},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_proven(form: str, tmp_path: Path) -> None:
    nodes, inputs, weights, *outputs = FORMS[form]
    options = {"outputs": outputs[0]} if outputs else {}
    report = proven(file_of(tmp_path, nodes, inputs, weights, opset=11 if "queeze" in str(nodes) else 13, **options))
    assert report.images == 4
    assert len(report.outputs) == len(options.get("outputs", "y"))


@pytest.mark.parametrize("form", ["vector", "all without batch", "sequence", "scalar", "one tensor, three outputs"])
def test_every_form_is_proven_in_integers_and_batches(form: str, tmp_path: Path) -> None:
    nodes, inputs, weights, *_ = FORMS[form]
    model = file_of(tmp_path, nodes, inputs, weights, opset=11)
    proven(model, Pipeline.BATCH, images=6)
    report = verify_integer(tmp_path / "out", compile_model(model, CHIP, solver="balance").network, images=8)
    assert report.passed, report.reason


def test_one_image_of_one_output_is_compared_in_integers(tmp_path: Path) -> None:
    """Nothing varies, so nothing can correlate: the number itself has to be right."""
    program = compile_model(file_of(tmp_path, *FORMS["one neuron"]), CHIP, solver="balance")
    program.write(tmp_path / "out")
    image = {"x": normals(1, 6)}
    assert verify_integer(tmp_path / "out", program.network, images=image).passed
    with np.load(tmp_path / "out" / "memory.npz") as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "out" / "memory.npz", **{k: -v if "group" in k else v for k, v in arrays.items()})
    assert not verify_integer(tmp_path / "out", program.network, images=image).passed


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("images", [1, 3])
def test_rounding_is_no_mismatch(images: int, scale: float, tmp_path: Path) -> None:
    """A difference of two equal branches, weighted and biased: its range is what float32 rounds, or nothing at all."""
    nodes = [
        op("Conv", "x k", "a"), op("GlobalAveragePool", "a", "p"), op("ReduceMean", "a", "q", axes=[2, 3]),
        op("Sub", "p q", "d"), op("Conv", "d o b", "e"), op("Flatten", "e", "y"),
    ]  # fmt: skip
    weights = {"k": normals(20, 3, 3, 3), "o": normals(1, 20, 1, 1), "b": np.array([0.1436], np.float32) * scale}
    model = file_of(tmp_path, nodes, {"x": [1, 3, 8, 8]}, weights, ["y"])
    proven(model, inputs={"x": normals(images, 3, 8, 8) * np.float32(scale)})


def test_a_wrong_weight_is_seen_however_small_the_range(tmp_path: Path) -> None:
    """What rounding explains is a millionth of the numbers at hand, not a licence."""
    model = file_of(tmp_path, *FORMS["one neuron"])
    program = compile_model(model, CHIP, solver="balance")
    program.write(tmp_path / "out")
    with np.load(tmp_path / "out" / "memory.npz") as archive:
        arrays = dict(archive)
    group = next(name for name in arrays if "group" in name)
    arrays[group] = arrays[group] * np.float32(1.001)
    np.savez(tmp_path / "out" / "memory.npz", **arrays)
    for images in (1, 4):
        assert not verify_program(tmp_path / "out", program.network, inputs={"x": normals(images, 6)}).passed


def test_what_onnxruntime_computes_in_another_shape_is_said(tmp_path: Path) -> None:
    node = op("AveragePool", "x", "y", kernel_shape=[3, 3], dilations=[2, 2], auto_pad="SAME_UPPER")
    with pytest.raises(
        ModelError, match=r"out: output y: onnxruntime computes the shape \[2, 3, 3\], by .* \[2, 5, 5\]"
    ):
        proven(file_of(tmp_path, [node], {"x": [1, 2, 5, 5]}, opset=19))


def test_dilated_windows_with_pads_of_their_own_choice_are_compared_by_their_definition(tmp_path: Path) -> None:
    node = op("MaxPool", "x", "y", kernel_shape=[3, 3], dilations=[2, 2], auto_pad="SAME_UPPER")
    proven(file_of(tmp_path, [node], {"x": [1, 2, 5, 5]}))


def test_what_onnxruntime_understands_otherwise_is_not_the_programs_fault(tmp_path: Path) -> None:
    """As above, behind a pooling that hides the shape."""
    nodes = [
        op("AveragePool", "x", "p", kernel_shape=[3, 3], dilations=[2, 2], auto_pad="SAME_UPPER"),
        op("GlobalAveragePool", "p", "y"),
    ]
    program = compile_model(file_of(tmp_path, nodes, {"x": [1, 2, 5, 5]}, opset=19), CHIP, solver="balance")
    report = program.verify()
    assert not report.passed
    assert report.wrong is None
    assert "the network as pimdse read it" in report.reason
    assert "onnxruntime understands the file in another way" in report.reason


def test_integer_outputs_are_the_real_numbers_behind_them(tmp_path: Path) -> None:
    nodes = [op("Conv", "x k", "c"), op("QuantizeLinear", "c s z", "q"), op("Flatten", "q", "y")]
    quantized: dict[str, npt.NDArray[Any]] = {**CONV, "s": np.array(0.05, np.float32), "z": np.array(128, np.uint8)}
    model = make(nodes, {"x": [1, 3, 6, 5]}, quantized)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    proven(tmp_path / "net.onnx")
    (note,) = load(model, tmp_path).graph.notes
    assert "output 'y' is the real number behind the uint8, clamped" in note
    assert "real / 0.05 + 128, is left to the host" in note


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": normals(3, 3, 6, 5), "m": normals(2, 4, 1, 1)}, "3 images for x, 2 images for m: expected as many"),
        ({"x": normals(3, 3, 6, 5), "m": normals(0, 4, 1, 1)}, "no images"),
        ({}, "no images"),
        ({"x": normals(3, 3, 6, 5)}, "expected the inputs|has an input m|reads m, which"),
        ({"x": normals(3, 3, 6, 5), "m": normals(3, 5, 1, 1)}, "has an input m|m: expected maps of"),
        ({"x": np.float32(1), "m": np.float32(1)}, "no images"),
    ],
)
def test_images_that_do_not_belong_together_are_refused(inputs: dict[str, Any], message: str, tmp_path: Path) -> None:
    program = compile_model(file_of(tmp_path, *FORMS["two inputs, two outputs"][:3]), CHIP, solver="balance")
    program.write(tmp_path / "out")
    with pytest.raises(ModelError, match=message):
        verify_program(tmp_path / "out", program.network, inputs=inputs)
    with pytest.raises(ModelError, match=message):
        verify_integer(tmp_path / "out", program.network, images=inputs)


@pytest.mark.parametrize(
    "nodes",
    [
        [op("ReduceMean", "x", "m", axes=[0]), op("Sub", "x m", "y")],
        [op("Conv", "x k", "c"), op("ReduceSum", "c", "y", axes=[0, 2], keepdims=1)],
        [op("Flatten", "x", "f"), op("Softmax", "f", "y", axis=0)],
        [op("ReduceMean", "x", "y", axes=[0, 1, 2, 3], keepdims=0)],
    ],
)
def test_a_batch_whose_images_are_mixed_is_refused(nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    """As one image at a time, each would be compared with itself, and found right."""
    weights = {"k": normals(4, 3, 1, 1)} if "k" in nodes[0].input else {}
    with pytest.raises(PimdseError, match=r"mixes the images of the file's batch of 4"):
        load(make(nodes, {"x": [4, 3, 2, 2]}, weights, opset=11), tmp_path)
    load(make(nodes, {"x": [1, 3, 2, 2]}, weights, opset=11), tmp_path)


@pytest.mark.parametrize("name", ["digits_lenet5", "digits_resnet8", "digits_dscnn"])
def test_the_floor_is_far_below_the_tolerance_of_ordinary_maps(name: str) -> None:
    """It changes no verdict where a map has a range: 0.03 to 0.06 of the tolerance, 0.5 at most, in eight networks."""
    graph = load_network(name).graph
    maps = intermediate_maps(graph, random_inputs(graph, 2, 0))
    shares = [floor / (1e-3 * float(np.ptp(maps[n]))) for n, floor in enumerate(rounding(graph, maps).floors)]
    assert shares[0] == 0, "inputs are the same on both sides"
    assert 0 < max(shares) < 0.2


@pytest.mark.parametrize("below", [-np.inf, -1e9, -1e4])
@pytest.mark.parametrize("by", ["tokens", "keys"])
def test_a_mask_leaves_the_floor_and_the_ranges_as_they_are(below: float, by: str, tmp_path: Path) -> None:
    """As large as the mask, they would let everything pass: that is no error to allow."""
    mask = (
        np.triu(np.full((6, 6), below, np.float32), 1)
        if by == "tokens"
        else np.array([0] * 4 + [below] * 2, np.float32)
    )
    graph = load(make([*SCORES, op("MatMul", "p x", "y")], TOKENS, {"m": mask}, opset=13), tmp_path).graph
    maps = intermediate_maps(graph, random_inputs(graph, 2, 0))
    found = rounding(graph, maps)
    assert max(found.floors) < 2e-5 < 1e-4 * float(np.ptp(maps[graph.stored()[0]]))
    assert sum(not flags.all() for flags in found.counted.values()) >= 1
    for n, flags in found.counted.items():
        assert np.abs(maps[n][flags]).max() < 100


@pytest.mark.parametrize("output", ["z", "p"])
def test_an_output_that_is_masked_is_judged_by_what_is_not(output: str, tmp_path: Path) -> None:
    mask = np.triu(np.full((6, 6), -1e9, np.float32), 1)
    report = proven(file_of(tmp_path, SCORES[: 3 + (output == "p")], TOKENS, {"m": mask}, [output]))
    assert report.range < 100
    for expected, found, right in (
        ([1, -1, -1e9], [1.01, -1, -1e9], False),
        ([1, -1, -1e9], [1, -1, -0.9e9], False),
        ([1, -1, -1e9], [1, -1, -1.00001e9], True),
        ([-1e9, -2e9], [-1e9, -2.00001e9], True),
        ([1, 2, -np.inf], [1, 2, -np.inf], True),
        ([1, 2, -np.inf], [1, 2.1, -np.inf], False),
        ([1, 2, -np.inf], [1, 2, np.inf], False),
        ([1, 2, np.nan], [1, 2, np.nan], True),
        ([1, 2, np.nan], [1, 2, 0], False),
        ([1, 2, 3], [1, 2, np.nan], False),
        ([np.inf, np.inf], [np.inf, np.inf], True),
    ):
        judged = judge_output("y", np.array([expected], np.float32), np.array([found], np.float32), 0.0)
        assert judged.passed is right


def test_numbers_beyond_float32_are_said_to_be(tmp_path: Path) -> None:
    weights = np.full((8, 2), 3e38, np.float32)
    source = file_of(tmp_path, [op("MatMul", "x w", "y")], {"x": (1, 8)}, {"w": weights}, ["y"])
    with pytest.raises(ModelError, match="output y: onnxruntime computes infinity or NaN there"):
        proven(source)


def test_a_wrong_score_behind_a_mask_is_found(tmp_path: Path) -> None:
    """The mask is another: the first wrong map is that of the masked scores, and not of what is made of them."""
    mask = np.triu(np.full((6, 6), -1e9, np.float32), 1)
    nodes = [*SCORES, op("MatMul", "p x", "y")]
    compile_model(file_of(tmp_path, nodes, TOKENS, {"m": mask}), CHIP, solver="balance").write(tmp_path / "out")
    other = mask + np.tril(np.full((6, 6), 0.5, np.float32))
    other[0] = mask[0]
    given = load(make(nodes, TOKENS, {"m": other}), tmp_path)
    report = verify_program(tmp_path / "out", given)
    assert not report.passed
    node = next(node for node in given.graph.nodes if node.name == report.node)
    assert isinstance(node.operation, Eltwise | Fixed)


def random_model(seed: int) -> onnx.ModelProto:
    """A few layers over an input of any rank, with or without a batch, that end as a map, a vector or a number."""
    rng = np.random.default_rng(seed)
    channels, outs = (int(n) for n in rng.integers(2, 7, 2))
    batch: list[int | str] = [(), (1,), ("N",)][seed % 3]  # type: ignore[assignment]
    rank = seed // 3 % 4  # of an image: vector, sequence, columns, map
    shape = [[channels], [4, channels], [channels, 9], [channels, 6, 5]][rank]
    nodes, weights, now = [], {}, "x"
    if rank < 2:
        weights["w"] = normals(channels, outs, seed=seed)
        nodes.append(op("MatMul", "x w", "a"))
    else:
        kernel = [3] * (rank - 1)
        weights["w"] = normals(outs, channels, *kernel, seed=seed)
        if not batch:
            nodes.append(op("Unsqueeze", "x", "u", axes=[0]))
            now = "u"
        pads = [int(n) for n in rng.integers(0, 2, 2 * len(kernel))]
        nodes.append(op("Conv", f"{now} w", "a", pads=pads))
    activation = str(rng.choice(["Relu", "Sigmoid", "Tanh", "Identity", "LeakyRelu"]))
    nodes.append(op(activation, "a", "b"))
    axes = len(shape) + (len(batch) or rank >= 2)
    end = str(rng.choice(["map", "mean", "softmax", "affine"]))
    if end == "mean":
        nodes.append(op("ReduceMean", "b", "y", axes=list(range(int(rng.integers(0, axes)), axes)), keepdims=seed % 2))
    elif end == "softmax":
        nodes.append(op("Softmax", "b", "y", axis=-1))
    elif end == "affine":
        weights |= {"s": np.array(1.5, np.float32), "t": np.array(-0.25, np.float32)}
        nodes += [op("Mul", "b s", "m"), op("Add", "m t", "y")]
    else:
        nodes.append(op("Identity", "b", "y"))
    return make(nodes, {"x": [*batch, *shape]}, weights, ["y", "b"] if seed % 5 == 0 else ["y"], opset=11)


def check_random_model(seed: int, folder: Path) -> None:
    (folder / "net.onnx").write_bytes(random_model(seed).SerializeToString())
    try:
        load_network(folder / "net.onnx")
    except PimdseError as error:  # before anything is compiled
        pytest.skip(f"refused: {error}")
    proven(folder / "net.onnx", list(Pipeline)[seed % 2], images=1 + seed % 4, seed=seed)


@pytest.mark.parametrize("seed", seeds(4, 12))
def test_random_forms_are_proven(seed: int, tmp_path: Path) -> None:
    check_random_model(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 160))
def test_many_random_forms_are_proven(seed: int, tmp_path: Path) -> None:
    check_random_model(seed, tmp_path)
