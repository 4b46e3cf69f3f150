"""Hostile ONNX models: structures that no exporter writes."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.frontend.structures import STRUCTURES
from tests.frontend.test_damaged_models import damage, rich_model
from tests.hostile.damage import bytes_damaged

Change = Callable[[onnx.ModelProto, random.Random, Path], None]
SIZES = (-(2**63), -1, 0, 1, 2, 2**16, 2**31 - 1, 2**31, 2**40, 2**62)


def hostile_model(rng: random.Random, folder: Path) -> bytes:
    """A model's file; what belongs beside it is put into the folder."""
    model = rich_model() if rng.random() < 0.4 else STRUCTURES[rng.choice(list(STRUCTURES))]()
    if rng.random() < 0.25:
        return bytes_damaged(model.SerializeToString(), rng)
    for _ in range(rng.choice((1, 1, 2))):
        outside = any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer)
        if rng.random() < 0.35 and not outside:
            damage(model, rng)
        else:
            rng.choice(CHANGES)(model, rng, folder)
    return bytes(model.SerializeToString())


def _weights(model: onnx.ModelProto, rng: random.Random) -> onnx.TensorProto:
    if not model.graph.initializer:
        model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 2), np.float32), "w"))
    tensor: onnx.TensorProto = model.graph.initializer[rng.randrange(len(model.graph.initializer))]
    return tensor


def _cycle(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    nodes = [node for node in model.graph.node if node.input and node.output]
    rng.choice(nodes).input[0] = rng.choice(nodes).output[0]


def _self_loop(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    node = rng.choice([node for node in model.graph.node if node.input and node.output])
    node.input[0] = node.output[0]


def _duplicate_names(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    match rng.randrange(4):
        case 0:
            model.graph.node.append(rng.choice(model.graph.node))
        case 1:
            model.graph.initializer.append(_weights(model, rng))
        case 2:
            model.graph.input.append(model.graph.input[0])
        case _:
            model.graph.output.append(model.graph.output[0])


def _reversed(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _dims(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    """Sizes that the data do not have: 2 GB claims among them."""
    tensor = _weights(model, rng)
    if tensor.dims and rng.random() < 0.7:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(SIZES)
    else:
        tensor.dims.append(rng.choice(SIZES))


def _input_dims(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    shape = model.graph.input[0].type.tensor_type.shape
    match rng.randrange(4):
        case 0 if shape.dim:
            rng.choice(shape.dim).dim_value = rng.choice(SIZES)
        case 1 if shape.dim:
            rng.choice(shape.dim).dim_param = rng.choice(("N", "", "H" * 10_000, "\x1b[2J"))
        case 2:
            shape.dim.add().dim_value = rng.choice(SIZES)
        case _:
            model.graph.input[0].type.tensor_type.ClearField("shape")


def _nan(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    tensor = _weights(model, rng)
    try:
        values = numpy_helper.to_array(tensor).copy()
    except (ValueError, TypeError, KeyError, onnx.checker.ValidationError):
        return  # an earlier change has damaged it: bad enough
    if values.size and np.issubdtype(values.dtype, np.floating):
        values.flat[rng.randrange(values.size)] = rng.choice((np.nan, np.inf, -np.inf, 3e38, 1e-45))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _types(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    tensor = _weights(model, rng)
    kind = rng.choice((0, 8, 9, 14, 16, 17, 20, 23, 99, TensorProto.STRING, TensorProto.INT64, TensorProto.DOUBLE))
    if rng.random() < 0.5:
        tensor.data_type = kind
    else:
        model.graph.input[0].type.tensor_type.elem_type = kind


def _external(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    """Weights in another file: outside the folder, endless, missing, a pipe, a link to itself."""
    tensor = _weights(model, rng)
    (folder / "beside.bin").write_bytes(bytes(4096))
    (folder / "sparse.bin").open("wb").truncate(1 << 36)
    for name, target in (("zero", "/dev/zero"), ("up", ".."), ("loop", "loop"), ("passwd", "/etc/passwd")):
        if not (folder / name).is_symlink():
            os.symlink(target, folder / name)
    if not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
    location = rng.choice(
        (
            *("../secret", "/etc/passwd", "zero", "up/secret", "loop", "passwd", "pipe", "beside.bin", "sparse.bin"),
            *(".", "", "a\x00b", "missing", "beside.bin/x", "x" * 5000, "..\\secret", "file:///etc/passwd"),
        )
    )
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    fields = {"location": location}
    for key in ("offset", "length"):
        if rng.random() < 0.5:
            fields[key] = rng.choice(("0", "16", "-1", "4096", str(2**40), str(2**70), "1e3", "", "x"))
    for key, value in fields.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _functions(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    """Local functions that call themselves or each other."""
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)]
    depth = rng.choice((1, 2, 30))
    for i in range(depth):
        callee = f"f{(i + 1) % depth}" if rng.random() < 0.8 else "Relu"
        node = helper.make_node(callee, ["a"], ["b"], domain="local" if callee != "Relu" else "")
        model.functions.append(helper.make_function("local", f"f{i}", ["a"], ["b"], [node, node], opsets))
    model.opset_import.append(helper.make_opsetid("local", 1))
    node = rng.choice(model.graph.node)
    node.op_type, node.domain = "f0", "local"


def _subgraph(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    """Control flow, nested."""
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "body", [], [])
    for _ in range(rng.choice((1, 5, 20))):
        node = helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body if rng.random() < 0.02 else None)
        body = helper.make_graph([node], "body", [], [])
    node = model.graph.node[rng.randrange(len(model.graph.node))]
    node.op_type = "If"
    node.attribute.append(helper.make_attribute("then_branch", body))


def _opset(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    match rng.randrange(3):
        case 0:
            for opset in model.opset_import[:1]:  # an earlier change may have taken them
                opset.version = rng.choice((-1, 0, 1, 6, 7, 9, 11, 18, 25, 26, 2**60))
        case 1:
            del model.opset_import[:]
        case _:
            model.ir_version = rng.choice((-1, 0, 3, 99, 2**60))


def _attributes(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    """Attributes of another type, endless lists, invalid texts."""
    node = rng.choice(model.graph.node)
    names = [a.name for a in node.attribute] or ["axis", "perm", "pads", "kernel_shape"]
    name = rng.choice(names)
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    attribute = node.attribute.add()
    attribute.name = name
    match rng.randrange(5):
        case 0:
            attribute.type, attribute.s = onnx.AttributeProto.STRING, rng.choice((b"\xff\xfe", b"", b"SAME_UPPER"))
        case 1:
            attribute.type = onnx.AttributeProto.INTS
            attribute.ints.extend([rng.choice(SIZES) for _ in range(rng.choice((0, 1, 2, 4, 10_000)))])
        case 2:
            attribute.type, attribute.f = onnx.AttributeProto.FLOAT, rng.choice((float("nan"), float("inf"), -1e38))
        case 3:
            attribute.type, attribute.i = onnx.AttributeProto.INT, rng.choice(SIZES)
        case _:
            attribute.type = onnx.AttributeProto.TENSOR
            attribute.t.CopyFrom(_weights(model, rng))


def _names(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    """Names that try to leave their place."""
    name = rng.choice(("", "../../x", "/etc/x", "\x1b]0;x\x07", "a" * 100_000, "\u202e", "[red]", "con", "x\ny"))
    old = model.graph.output[0].name
    model.graph.output[0].name = name
    for node in model.graph.node:
        node.name = name
        for i, output in enumerate(node.output):
            if output == old:
                node.output[i] = name


def _operator(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    every = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
    rng.choice(model.graph.node).op_type = rng.choice(every)


def _many_nodes(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    last = model.graph.output[0].name
    for i in range(rng.choice((10, 1500))):
        model.graph.node.append(helper.make_node(rng.choice(("Relu", "Identity")), [last], [f"more{i}"]))
        last = f"more{i}"
    model.graph.output[0].name = last


def _blow_up(model: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    """Constants and maps that double, again and again."""
    first, last = model.graph.input[0].name, model.graph.input[0].name
    operator = rng.choice(("Concat", "Resize", "Tile", "ConstantOfShape", "Add"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 16, 16], np.float32), "factors"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 2, 2]), "counts"))
    for i in range(40):
        name = f"big{i}"
        match operator:
            case "Concat":
                node = helper.make_node("Concat", [last, last], [name], axis=1)
            case "Resize":
                node = helper.make_node("Resize", [last, "", "factors"], [name])
            case "Tile":
                node = helper.make_node("Tile", [last, "counts"], [name])
            case "ConstantOfShape":
                first_time = helper.make_node("ConstantOfShape", ["counts"], [name])
                node = helper.make_node("Tile", [last, "counts"], [name]) if i else first_time
            case _:
                node = helper.make_node("Add", [last, first], [name])
        model.graph.node.insert(i, node)
        last = name
    model.graph.node.append(helper.make_node("Relu", [last], ["grown"]))
    model.graph.output[0].name = "grown"


CHANGES: tuple[Change, ...] = (
    _cycle, _self_loop, _duplicate_names, _reversed, _dims, _dims, _input_dims, _nan, _types, _external, _external,
    _functions, _subgraph, _opset, _attributes, _attributes, _names, _operator, _operator, _many_nodes, _blow_up,
)  # fmt: skip
