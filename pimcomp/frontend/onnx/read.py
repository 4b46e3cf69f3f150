"""ONNX file -> ModelProto in memory, with external weights inside, local functions inlined and batch 1.

The file itself is only read. Whatever is wrong with it becomes a ModelError that names it.
"""

import math
from collections.abc import Iterable, Sequence, Set
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

from pimcomp.errors import ModelError
from pimcomp.foundation.file_kind import file_kind
from pimcomp.frontend.lower.constant_fold import constants_of, tensor_values
from pimcomp.frontend.lower.onnx_node import BadShape, opset_of
from pimcomp.frontend.onnx.expand_fused import expand_fused
from pimcomp.frontend.onnx.input_axes import OVER_MAPS, Factors, input_axes
from pimcomp.frontend.onnx.mixed_batch import NO_DATA, Shapes, refuse_mixed_batch, static_shapes
from pimcomp.frontend.onnx.real_inputs import INTEGERS, take_integers_as_real
from pimcomp.frontend.onnx.widen_halves import WIDENED

OPSETS = range(7, 29)  # 7 gave the element-wise operators today's broadcasting; 28 is the newest one looked at
LARGEST_TENSOR_BYTES = 2**31 - 1  # protobuf's limit for one message
_MOST_INLINED = 50_000
_HALF_BYTES = (TensorProto.INT4, TensorProto.UINT4)
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "BatchNormalization")
FIX_DIMENSION = "export the model with a fixed size, or run onnxruntime.tools.make_dynamic_shape_fixed on it"


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model with everything it needs inside, nothing it does not need, and all batch dimensions 1.

    Raises ModelError naming the file: missing, unreadable, empty, not ONNX, without nodes, opset out of range, external
    data missing or outside the model's folder, an input with an unusable shape or type.
    """
    return _prepared(_parse(path), path)


def copy_onnx(given: onnx.ModelProto) -> onnx.ModelProto:
    """As read_onnx, for a model in memory, which is only read."""
    if not isinstance(given, onnx.ModelProto):
        raise ModelError(f"expected a path, a network's name or an onnx.ModelProto, found {type(given).__name__}")
    model = onnx.ModelProto()
    model.CopyFrom(given)
    path = Path(model.graph.name or "model")
    outside = next((t.name for t in _tensors(model) if t.data_location == TensorProto.EXTERNAL), None)
    if outside is not None:
        raise ModelError(f"{path}: weights {outside!r} are in a file: expected a model with its weights inside")
    return _prepared(model, path)


def _prepared(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    if not model.graph.node:
        raise ModelError(f"{path}: the model has no nodes: expected an ONNX network with at least one operator")
    if not model.graph.output:
        raise ModelError(f"{path}: the model has no outputs: expected a graph that says what it computes")
    opset = opset_of(model)
    if opset not in OPSETS:
        raise ModelError(
            f"{path}: opset {opset}: expected {OPSETS.start} to {OPSETS.stop - 1}: "
            "convert the model with onnx.version_converter"
        )
    model.ir_version = max(model.ir_version, 4)  # from then on initializers need not be inputs
    _embed_external_data(model, path)
    _fill_sparse(model, path)
    if model.functions:
        model = _without_functions(model, path)
    drop_dead_nodes(model)
    _check_inputs(model, opset, path)
    take_integers_as_real(model)
    expand_fused(model)
    set_batch_to_one(model, str(path))
    return model


def _check_inputs(model: onnx.ModelProto, opset: int, path: Path) -> None:
    """Every node has the inputs that its operator cannot do without; an operator nobody knows is left to lowering."""
    for node in model.graph.node:
        standard = node.domain in ("", "ai.onnx") and isinstance(node.op_type, str)  # bytes, where it is no text
        known = standard and onnx.defs.has(node.op_type, opset)
        least = onnx.defs.get_schema(node.op_type, opset).min_input if known else 0
        if len(node.input) < least:
            name = node.name or node.output[0]
            found = f"expected {least} or more inputs, found {len(node.input)}"
            raise ModelError(f"{path}: node {name!r} ({node.op_type}): {found}")


def _without_functions(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    # A file of a few lines may stand for a network that fills the memory: calls of calls of calls.
    functions = {(function.domain, function.name): function.node for function in model.functions}
    before: dict[tuple[str, str], int] = {}
    nodes = dict.fromkeys(functions, 1)
    while before != nodes:
        before = dict(nodes)
        for name, body in functions.items():
            nodes[name] = sum(nodes.get((node.domain, node.op_type), 1) for node in body)
            if nodes[name] > _MOST_INLINED:
                found = f"function {name[1]!r} stands for more than {_MOST_INLINED} nodes, or calls itself"
                raise ModelError(f"{path}: its local functions cannot be inlined: {found}")
    try:
        return onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: its local functions cannot be inlined: {error}") from error


def _parse(path: Path) -> onnx.ModelProto:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {error.strerror or error}") from error
    if not data:
        raise ModelError(f"{path}: the file is empty: expected an ONNX model")
    model = onnx.ModelProto()
    kind = "JSON text: a node list's name must end in .json" if data.lstrip()[:1] == b"{" else file_kind(data)
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:  # the latter by protobuf in pure Python
        found = kind or f"its {len(data):,} bytes are corrupt or incomplete ({error}): download or export it again"
        raise ModelError(f"{path}: not an ONNX model: {found}") from error
    if not model.HasField("graph"):
        raise ModelError(f"{path}: not an ONNX model: {kind or 'it holds no graph'}")
    return model


def _embed_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Read weights kept in files beside the model; locations may not leave the model's folder."""
    homes = (path.parent, path.resolve().parent)  # a cache of files may hold the model and its data as links
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        fields = {entry.key: entry.value for entry in tensor.external_data}
        location = fields.get("location", "")
        where = f"{path}: weights {tensor.name!r}: external data {location!r}"
        if not location or PurePosixPath(location).is_absolute() or ".." in PurePosixPath(location).parts:
            raise ModelError(f"{where}: expected a path inside the model's folder")
        try:
            files = [(home / location).resolve() for home in homes]
            file = next((file for file in files if file.is_file()), files[0])
            regular = file.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, names too long or with zero bytes
            raise ModelError(f"{where}: no path to a file: {error}") from error
        if not any(file.is_relative_to(home.resolve()) for home in homes):
            raise ModelError(f"{where} leads outside the model's folder")
        if not regular:
            raise ModelError(f"{where}: cannot read it: no such file")
        tensor.raw_data = _read_part(file, fields, _bytes_of(tensor, where), where)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _fill_sparse(model: onnx.ModelProto, path: Path) -> None:
    """Sparse initializers and Constant nodes with all their zeros, in place."""
    graph = model.graph
    graph.initializer.extend(_dense(sparse, path) for sparse in graph.sparse_initializer)
    del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.SPARSE_TENSOR and node.op_type == "Constant":
                attribute.CopyFrom(helper.make_attribute("value", _dense(attribute.sparse_tensor, path)))


def _dense(sparse: onnx.SparseTensorProto, path: Path) -> TensorProto:
    name, dims = sparse.values.name, tuple(sparse.dims)
    where = f"{path}: sparse weights {name!r}"
    _bytes_of(TensorProto(name=name, data_type=sparse.values.data_type, dims=dims), where)
    try:
        values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        dense = np.zeros(dims, values.dtype)
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ModelError(f"{where}: {error}") from error
    return numpy_helper.from_array(dense, name)


def _bytes_of(tensor: TensorProto, where: str) -> int:
    """How many bytes the tensor's type and shape take."""
    try:
        bits = 4 if tensor.data_type in _HALF_BYTES else 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError) as error:
        raise ModelError(f"{where}: unknown data type {tensor.data_type}") from error
    expected: int = -(-math.prod(tensor.dims) * bits // 8)
    if min(tensor.dims, default=1) < 0 or expected > LARGEST_TENSOR_BYTES:
        raise ModelError(f"{where}: a shape of {list(tensor.dims)}: expected at most {LARGEST_TENSOR_BYTES} bytes")
    return expected


def _read_part(file: Path, fields: dict[str, str], expected: int, where: str) -> bytes:
    """The tensor's bytes, no more of the file than its shape needs."""
    try:
        offset = int(fields.get("offset", "0"))
        length = int(fields.get("length", expected))
    except ValueError as error:
        raise ModelError(f"{where}: offset and length must be integers") from error
    if length != expected or offset < 0:
        raise ModelError(f"{where}: expected {expected} bytes for the shape, found length {length} at {offset}")
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(length)
    except (OSError, ValueError, OverflowError) as error:
        raise ModelError(f"{where}: cannot read it: {error}") from error
    if length != len(data):
        kind = file_kind(data) if offset == 0 else None
        raise ModelError(f"{where}: expected {length} bytes at {offset}, found {kind or len(data)}")
    return data


def _tensors(model: onnx.ModelProto) -> list[TensorProto]:
    """Initializers and Constant values."""
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    return [*model.graph.initializer, *(a.t for a in attributes if a.type == onnx.AttributeProto.TENSOR)]


def set_batch_to_one(model: onnx.ModelProto, where: str) -> None:
    """Give every network input that is used a concrete shape whose batch is 1, in place.

    Raises ModelError for another dynamic dimension, a zero size, a missing shape, a type that is no real number, and
    for a network that mixes the images of its batch.
    """
    weights = {tensor.name for tensor in model.graph.initializer} | inputs_without_values(model)
    used = used_names(model.graph)
    inputs = [
        value for value in model.graph.input if value.name not in weights and value.name in used
    ]  # IR version 3 lists weights there, too
    for value in inputs:
        _check_input(value, where)
    axes = input_axes(model, model.graph.node, opset_of(model))
    several = any(
        value.type.tensor_type.shape.dim[:1] and value.type.tensor_type.shape.dim[0].dim_value > 1 for value in inputs
    )
    before = static_shapes(model) if several else {}
    maps = {before[n.input[0]][0] for n in model.graph.node if n.op_type in OVER_MAPS and before.get(n.input[0])}
    batches = {value.name: _fixed_batch(value, axes.get(value.name), maps) for value in inputs}
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        if dims and (batches[value.name] or not dims[0].dim_value > 0):
            dims[0].Clear()
            dims[0].dim_value = 1
    _keep_what_only_the_file_knows(model)
    sizes = {batch: name for name, batch in batches.items() if batch}
    if len(sizes) > 1:
        said = " and another one ".join(f"of {batch} ({name!r})" for batch, name in sizes.items())
        raise ModelError(f"{where}: its inputs have a batch {said}: export the model with batch 1")
    for batch in sizes:
        _rewrite_constants(model, before, {name for name, found in batches.items() if found}, batch, where)
        refuse_mixed_batch(model, before, batch, where)


def _keep_what_only_the_file_knows(model: onnx.ModelProto) -> None:
    """Drop what a model says of its tensors, but for real numbers of loops and of operators that ONNX does not know.

    Those have the batch 1, too. In place.
    """
    foreign = (n for n in model.graph.node if n.domain not in ("", "ai.onnx") or n.op_type in ("If", "Loop", "Scan"))
    names = {name for node in foreign for name in node.output}
    kept = [value for value in model.graph.value_info if value.name in names]
    kept = [value for value in kept if value.type.tensor_type.elem_type in (TensorProto.FLOAT, *WIDENED)]
    for value in kept:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        for dim in value.type.tensor_type.shape.dim[:1]:
            dim.dim_value = 1
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def used_names(graph: onnx.GraphProto) -> set[str]:
    """The tensors that a node, the body of one, or the world reads."""
    return {name for node in graph.node for name in names_read(node)} | {out.name for out in graph.output}


def inputs_without_values(model: onnx.ModelProto) -> set[str]:
    """Inputs that nodes read as weights alone: an exporter has left their values out."""
    weights = {tensor.name for tensor in model.graph.initializer}
    given = {v.name: len(v.type.tensor_type.shape.dim) for v in model.graph.input if v.name not in weights}
    places = {
        (name, at > 0 and node.op_type in WEIGHTED and (at, given.get(name)) != (2, 2))  # a matrix is no bias
        for node in model.graph.node
        for at, name in enumerate(node.input)
    }
    computed = {name for name, weight in places if not weight} | {out.name for out in model.graph.output}
    return {name for name, weight in places if weight and name in given} - computed


def _fixed_batch(value: onnx.ValueInfoProto, axes: Sequence[Factors] | None, maps: Set[int]) -> int:
    """How many images an input holds, 0 if its first axis is no batch or one of a single image.

    axes: where they are known. maps: the first sizes of the maps that convolutions and the like read.
    """
    dims = value.type.tensor_type.shape.dim
    if axes is not None:
        return axes[0][0][1] if axes and axes[0][:1] and axes[0][0][0] == "n" else 0
    if len(dims) not in (2, 3, 4) or dims[0].dim_value < 2 or (len(dims) == 3 and dims[0].dim_value not in maps):
        return 0
    return int(dims[0].dim_value)


def _check_input(value: onnx.ValueInfoProto, where: str) -> None:
    kind = value.type.tensor_type
    if kind.elem_type not in (TensorProto.FLOAT, *WIDENED, *INTEGERS):  # what integers are for, lowering says
        known = kind.elem_type in TensorProto.DataType.values()
        name = TensorProto.DataType.Name(kind.elem_type) if kind.elem_type and known else value.type.WhichOneof("value")
        raise ModelError(f"{where}: input {value.name!r}: expected numbers, found {name}")
    if not kind.HasField("shape"):
        raise ModelError(f"{where}: input {value.name!r} has no shape: {FIX_DIMENSION}")
    for axis, dim in enumerate(kind.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value == 0:
            raise ModelError(f"{where}: input {value.name!r}: dimension {axis} is 0: expected at least 1")
        if axis and not dim.dim_value > 0:
            label = dim.dim_param or "unknown"
            raise ModelError(
                f"{where}: input {value.name!r}: dimension {axis} is dynamic ({label}), only the batch may be: "
                f"{FIX_DIMENSION}"
            )


def _rewrite_constants(model: onnx.ModelProto, before: Shapes, flowing: set[str], batch: int, where: str) -> None:
    """A model exported for a fixed batch says so in constants, too: targets of reshapes and resizes, operands that hold
    one value per image. Those that its images flow into are made for one."""
    constants = constants_of(model)
    for number, node in enumerate(model.graph.node):
        if flowing.isdisjoint(node.input) or node.op_type in NO_DATA:
            continue
        flowing.update(node.output)
        for place, name in enumerate(node.input):
            if name not in constants:
                continue
            try:
                values = tensor_values(constants[name])
            except BadShape as error:
                raise ModelError(f"{where}: node {node.name!r}: {error}") from error
            if place == _TARGETS.get(node.op_type) and not any(a.name == "axes" for a in node.attribute):
                changed = _target_for_one(values, batch)
            elif (
                node.op_type in _ALIKE
                and (node.op_type, place) != ("Gemm", 1)  # its weights
                and values.shape[:1] == (batch,)
                and values.ndim == len(before.get(node.output[0], ()))
            ):
                changed = values[:1]
                if not np.array_equal(values, np.broadcast_to(changed, values.shape)):
                    raise ModelError(
                        f"{where}: node {node.name or node.output[0]!r} ({node.op_type}): its constant {name!r} "
                        f"differs from image to image of the file's batch of {batch}: export the model with batch 1"
                    )
            else:
                continue
            if changed is not None:
                node.input[place] = f"{name}.batch1.{number}"
                model.graph.initializer.append(numpy_helper.from_array(changed, node.input[place]))


_TARGETS = {"Reshape": 1, "Expand": 1, "Resize": 3}  # where a shape stands that begins with the batch, but for `axes`
_ALIKE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "PRelu", "Concat", "Mean", "Pow", "Gemm", "Attention"}
)


def _target_for_one(target: npt.NDArray[np.generic], batch: int) -> npt.NDArray[np.generic] | None:
    if target.ndim != 1 or not target.size or target[0] < batch or target[0] % batch:
        return None
    changed = target.copy()
    changed[0] = target[0] // batch
    return changed


def drop_dead_nodes(model: onnx.ModelProto) -> None:
    """Remove, in place, the nodes that no output of the model depends on."""
    live = live_nodes(model.graph.node, [output.name for output in model.graph.output])
    if len(live) < len(model.graph.node):
        del model.graph.node[:]
        model.graph.node.extend(live)


def live_nodes(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that some outputs depend on, in their order."""
    needed = set(outputs)
    live: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            live.append(node)
            needed.update(names_read(node))
    return live[::-1]


def names_read(node: onnx.NodeProto) -> Iterable[str]:
    """What a node reads, and what the bodies of control flow read, some of it from around them."""
    yield from node.input
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield from names_read(inner)
            yield from (value.name for value in body.output)
