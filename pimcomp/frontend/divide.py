"""A network divided between chip and host: what has no instructions is computed by ONNX Runtime.

Parts follow each other, those of the chip and those of the host in turn. A node is as early as what it reads allows. It
is on the host if it cannot be lowered where it is, if nothing on crossbars is connected to it within its part (the way
to the chip and back would not pay), or if it only arranges data that come from the host or go there.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pimcomp.errors import ModelError, Offender, UnsupportedOp
from pimcomp.frontend.import_onnx import Reference, import_part, keep_inputs, with_weights
from pimcomp.frontend.loaded_network import HostPart, LoadedNetwork
from pimcomp.frontend.lower.graph_builder import LARGEST_MAP
from pimcomp.frontend.lower.lower import LOWERINGS, examine, node_label
from pimcomp.frontend.lower.onnx_node import Constant
from pimcomp.frontend.onnx.export import with_outputs
from pimcomp.frontend.onnx.read import names_read
from pimcomp.ir.graph import Graph

Dimensions = tuple[int | str | None, ...]
TypesOf = Callable[[bytes, str], Mapping[str, tuple[str, Dimensions]]]
Part = LoadedNetwork | HostPart

_ON_CROSSBARS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_NEITHER = "The host cannot compute them either"
_RENAMING = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})


def whole_network(model: onnx.ModelProto, path: Path, weights: str | None) -> LoadedNetwork:
    """A network that not all of has instructions: its graph has the inputs alone, its reference computes everything.

    model: as `read_onnx` leaves it. Raises ModelError, ConfigError.
    """
    with_weights(model, path, weights)
    _name_nodes(model.graph)
    found = examine(model, str(path))
    keep_inputs(model, {node.name for node in found.inputs})
    return LoadedNetwork(Graph(name=path.stem, nodes=found.inputs, outputs=()), Reference(model, str(path)), str(path))


def divide(whole: LoadedNetwork, types_of: TypesOf) -> tuple[Part, ...]:
    """The parts of a network in their order.

    types_of: what ONNX Runtime says of the outputs of a model (type as text, shape). Raises UnsupportedOp, with every
    node that has no instructions, where the host cannot compute them either or nothing is left for the crossbars.
    """
    model, name, source = onnx.ModelProto.FromString(whole.onnx_bytes()), whole.graph.name, whole.source
    found = examine(model, source)

    def refused(why: str) -> UnsupportedOp:
        return UnsupportedOp(source, found.offenders, why)

    if lost := [offender.node for offender in found.offenders if not offender.repeatable]:
        raise refused(f"{_NEITHER}: what comes out of {', '.join(lost)} does not follow from what goes in")
    _fold(model.graph, found.constants)
    try:
        types = _types(model, types_of, source)
    except ModelError as error:
        raise refused(f"{_NEITHER}: {error}") from None
    slices = _Division(model, types, source).settled()
    if strange := [tensor for part in slices for tensor in (*part.reads, *part.gives) if tensor not in types]:
        names = ", ".join(dict.fromkeys(strange))
        raise refused(f"{_NEITHER}: {names}: texts and sequences do not pass between chip and host")
    if all(part.host for part in slices):
        raise refused("If the host computes them, nothing is left for the crossbars")
    return tuple(_finished(model, part, types, name, source) for part in slices)


class _Type(NamedTuple):
    """ONNX element type and shape of a tensor; a dimension that is no number depends on the data."""

    element: int
    shape: Dimensions

    @property
    def bytes(self) -> int | None:
        """Of the whole tensor; None where that depends on the data."""
        sizes = [size for size in self.shape if isinstance(size, int)]
        if not self.shape or len(sizes) < len(self.shape):
            return None
        return math.prod(sizes) * helper.tensor_dtype_to_np_dtype(self.element).itemsize

    @property
    def is_map(self) -> bool:
        """Whether a program can read it: real numbers in one to four dimensions that are known."""
        sizes = [size for size in self.shape if isinstance(size, int) and size > 0]
        known = 0 < len(sizes) == len(self.shape) <= 4
        return self.element == TensorProto.FLOAT and known and math.prod(sizes) <= LARGEST_MAP


class _Slice(NamedTuple):
    """Nodes of one part, and the tensors that it reads of others and gives to others or to the world."""

    host: bool
    nodes: tuple[onnx.NodeProto, ...]
    reads: tuple[str, ...]
    gives: tuple[str, ...]

    def those_that_read(self, tensors: set[str]) -> set[str]:
        return {_key(node) for node in self.nodes if not tensors.isdisjoint(names_read(node))}


def _key(node: onnx.NodeProto) -> str:
    """What tells a node from all others: its first output."""
    return str(next((name for name in node.output if name), ""))


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a name of its own, which no tensor has, in place: maps that cross a cut are called as nodes."""
    taken = {name for node in graph.node for name in node.output} | {value.name for value in graph.input}
    for node in graph.node:
        name = node.name or f"{node.op_type}:{_key(node)}"
        while name in taken:
            name += "'"
        node.name = name
        taken.add(name)


def _fold(graph: onnx.GraphProto, constants: Mapping[str, Constant]) -> None:
    """Make initializers of what constants alone give, in place."""
    for name in (name for node in graph.node for name in node.output):
        if name in constants:
            values = np.asarray(constants[name])
            values = values.astype(np.float32) if values.dtype.kind == "f" else values  # as everywhere in a network
            graph.initializer.append(numpy_helper.from_array(values, name))
    kept = [node for node in graph.node if not all(name in constants for name in node.output if name)]
    del graph.node[:]
    graph.node.extend(kept)


def _types(model: onnx.ModelProto, types_of: TypesOf, source: str) -> dict[str, _Type]:
    """Of every tensor that holds numbers. Raises ModelError where ONNX Runtime cannot load the model."""
    computed = [name for node in model.graph.node for name in node.output if name]
    found = {}
    for name, (text, shape) in types_of(with_outputs(Reference(model, source)(), computed), source).items():
        element = text.upper()
        if element in set(TensorProto.DataType.keys()) and element != "STRING":
            found[name] = _Type(TensorProto.DataType.Value(element), shape)
    for value in model.graph.input:
        kind = value.type.tensor_type
        found[value.name] = _Type(kind.elem_type, tuple(dim.dim_value for dim in kind.shape.dim))
    return found


class _Division:
    """Which nodes are on the host, by `_key`; it grows until every other part can be lowered."""

    def __init__(self, model: onnx.ModelProto, types: Mapping[str, _Type], source: str) -> None:
        self.model, self.types, self.source = model, types, source
        self.host: set[str] = set()
        self.lowered: set[tuple[str, ...]] = set()  # parts that can be, by the keys of their nodes

    def settled(self) -> list[_Slice]:
        """The parts in their order."""
        while True:
            slices = _slices(self.model, self.host)
            of_chip = [part for part in slices if not part.host]
            before = len(self.host), len(self.model.graph.node)
            self.host |= {key for part in of_chip for key in self._apart(part)}
            if len(self.host) == before[0]:
                self.host |= {key for part in of_chip for key in self._refused(part)}
            if before == (len(self.host), len(self.model.graph.node)):
                return slices

    def _apart(self, part: _Slice) -> Iterator[str]:
        """Nodes that nothing on crossbars is connected to, that read what is no map, or that only rename what comes
        from the host or goes there."""
        parent = list(range(len(part.nodes)))

        def group(at: int) -> int:
            while parent[at] != at:
                parent[at] = at = parent[parent[at]]
            return at

        made: dict[str, int] = {}
        for at, node in enumerate(part.nodes):
            for near in (made[name] for name in names_read(node) if name in made):
                parent[group(near)] = group(at)
            made.update(dict.fromkeys(node.output, at))
        weights = {tensor.name for tensor in self.model.graph.initializer}
        layers = {group(at) for at, n in enumerate(part.nodes) if n.op_type in _ON_CROSSBARS and weights & {*n.input}}
        yield from (_key(node) for at, node in enumerate(part.nodes) if group(at) not in layers)
        yield from part.those_that_read({n for n in part.reads if n not in self.types or not self.types[n].is_map})
        needed = {name for node in part.nodes for name in names_read(node)} | {o.name for o in self.model.graph.output}
        from_host = {*part.reads} - {value.name for value in self.model.graph.input}
        for node in part.nodes:
            if node.op_type in _RENAMING and (
                needed.isdisjoint(node.output) or not from_host.isdisjoint(node.input[:1])
            ):
                yield _key(node)

    def _refused(self, part: _Slice) -> set[str]:
        """The nodes that cannot be lowered, but of those behind others only operators that never can be."""
        keys = (*map(_key, part.nodes), *part.reads)
        if keys in self.lowered:
            return set()
        try:
            found = examine(_model(self.model, part, self.types), self.source)
        except ModelError:
            outside = {value.name for value in self.model.graph.input}
            first = part.those_that_read(set(part.reads) - outside)
            if not first:
                raise
            return first  # of a host's result something else is expected than it is: the host reads it, too
        moved = set(_first(part, found.offenders))
        if not moved:
            self.lowered.add(keys)
        _fold(self.model.graph, found.constants)
        return moved


def _first(part: _Slice, offenders: Sequence[Offender]) -> Iterator[str]:
    labels = {offender.node for offender in offenders}
    behind: set[str] = set()
    for node in part.nodes:
        inner = {node_label(n) for a in node.attribute for g in (a.g, *a.graphs) for n in g.node}
        bad = not labels.isdisjoint({node.name, *inner})
        never = node.op_type not in LOWERINGS
        last = not labels.isdisjoint(set(node.output) & set(part.gives))  # an output in no order that there is
        reads = not behind.isdisjoint(names_read(node))
        if (bad and (never or not reads)) or (last and not reads):
            yield _key(node)
        if bad or reads:
            behind.update(node.output)


def _slices(model: onnx.ModelProto, host: set[str]) -> list[_Slice]:
    """Every node in the earliest part of its kind that what it reads allows; odd parts are the host's."""
    graph = model.graph
    part_of: dict[str, int] = {}
    nodes: dict[int, list[onnx.NodeProto]] = {}
    read: dict[str, set[int]] = {}
    for node in graph.node:
        odd = _key(node) in host
        before = [part_of[name] for name in names_read(node) if name in part_of]
        number = max((part + (part % 2 != odd) for part in before), default=int(odd))
        part_of.update((name, number) for name in node.output if name)
        nodes.setdefault(number, []).append(node)
        for name in names_read(node):
            read.setdefault(name, set()).add(number)
    shown = {value.name for value in graph.output}
    known = part_of.keys() | {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    slices = []
    for number in sorted(nodes):
        names = dict.fromkeys(name for node in nodes[number] for name in names_read(node))
        reads = tuple(name for name in names if name in known and part_of.get(name) != number)
        made = [name for node in nodes[number] for name in node.output if name]
        gives = tuple(name for name in made if name in shown or read.get(name, set()) - {number})
        slices.append(_Slice(number % 2 == 1, tuple(nodes[number]), reads, gives))
    return slices


def _model(model: onnx.ModelProto, part: _Slice, types: Mapping[str, _Type]) -> onnx.ModelProto:
    """A part as a model of its own."""
    made = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, producer_name="pimdse")
    made.graph.name = model.graph.name or "part"
    made.graph.node.extend(part.nodes)
    names = {name for node in part.nodes for name in names_read(node)}
    made.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in names)
    for tensors, values in ((part.reads, made.graph.input), (part.gives, made.graph.output)):
        for name in tensors:
            if name not in types:
                continue  # no tensor of numbers: its node will be the host's, or `divide` refuses it
            element, shape = types[name]
            values.append(helper.make_tensor_value_info(name, element, shape or None))
    return made


def _finished(model: onnx.ModelProto, part: _Slice, types: Mapping[str, _Type], name: str, source: str) -> Part:
    own = _model(model, part, types)
    if not part.host:
        return import_part(own, name, source)
    nodes = tuple((node.name, node.op_type) for node in part.nodes)
    inputs, outputs = ({tensor: types[tensor].bytes for tensor in names} for names in (part.reads, part.gives))
    return HostPart(nodes, inputs, outputs, Reference(own, source))
