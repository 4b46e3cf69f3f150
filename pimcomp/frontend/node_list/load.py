"""PIMCOMP-NN's node_list JSON -> Graph: the structure of a network, with seeded weights because the file has none.

What the format leaves open is decided as PIMCOMP-NN decides it, and recorded in `Graph.notes`: LRN and layout operators
pass their input through, averages divide by the pixels inside the map. Unlike there, Clip keeps its bounds, and a final
Softmax becomes the host epilogue.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pimcomp.errors import ConfigError, ModelError, Offender, UnsupportedOp
from pimcomp.frontend.import_onnx import clean
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.onnx_node import BadShape
from pimcomp.frontend.node_list.fields import EltwiseParam, Entry, FcParam
from pimcomp.frontend.node_list.listed import NodeList, parse_node_list, read_text
from pimcomp.frontend.node_list.operations import (
    activation_of,
    conv_operation,
    fc_operation,
    lrn_operation,
    pool_operation,
    shuffle_order,
)
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.frontend.random_weights import parse_weights_option, random_weights
from pimcomp.frontend.rewrite.fuse_activations import fuse_activations
from pimcomp.ir.graph import (
    Activation,
    Conv,
    Eltwise,
    Graph,
    Input,
    Operation,
    Output,
    Pool,
    Shape,
    Standalone,
    View,
    whole,
)

WEIGHTED = ("OP_CONV", "OP_FC")
ACTIVATIONS = ("OP_RELU", "OP_TANH", "OP_SIGMOID", "OP_CLIP")
PASS_THROUGH = ("OP_FLATTEN", "OP_RESHAPE", "OP_DROPOUT", "OP_TRANSPOSE", "OP_SQUEEZE", "OP_LRN", "OP_SOFTMAX", "OP_BN")
SUPPORTED = (*WEIGHTED, *ACTIVATIONS, *PASS_THROUGH, "OP_INPUT", "OP_POOL", "OP_ELTWISE", "OP_CONCAT", "OP_SHUFFLE")
_ELETYPES = {2: "add", 4: "sub"}


def read_pimcomp(path: Path) -> Graph:
    """The structure of a node_list file. All weights and biases are zero: see `random_weights`.

    Raises ModelError for a file that is missing, corrupt or inconsistent (with the node whose shape does not match),
    ConfigError naming file, node index and field, UnsupportedOp listing every operation without a meaning here.
    """
    return parse_pimcomp(read_text(path), str(path))


def parse_pimcomp(text: str, file: str) -> Graph:
    """`read_pimcomp` from text; `file` is its name in messages."""
    listed = parse_node_list(text, file)
    _refuse_unsupported(listed)
    builder = _Builder(listed)
    for node in listed.nodes:
        builder.add(node)
    _check_reshape_info(listed)
    return fuse_activations(builder.graph())


def load_pimcomp(path: Path, *, weights: str | None = None) -> LoadedNetwork:
    """A node_list file with seeded random weights (`weights`: "random:SEED", default seed 0).

    The reference model keeps the file's order of channels; the Graph is cleaned up for compiling.

    Raises what `read_pimcomp` raises, and ConfigError for another form of `weights`.
    """
    seed = parse_weights_option(weights) if weights is not None else 0
    graph = random_weights(read_pimcomp(path), seed)
    return LoadedNetwork(clean(graph), partial(graph_to_onnx, graph), str(path))


def _refuse_unsupported(listed: NodeList) -> None:
    offenders: list[Offender] = []
    for node in sorted(listed.nodes, key=lambda n: n.number):
        reason = ""
        if node.operation == "OP_MATMUL":
            reason = "PIMCOMP-NN drops it from the dataflow, so the file does not say what it multiplies with"
        elif node.operation not in SUPPORTED:
            reason = "no such operation in PIMCOMP-NN's format"
        elif node.operation == "OP_ELTWISE" and (found := node.param_of(EltwiseParam).eletype) not in _ELETYPES:
            reason = f"eletype {found}; known are 2 (addition) and 4 (subtraction)"
        if reason:
            offenders.append(Offender(f"node_list[{node.number}] {node.name}", node.operation, 0, reason))
    if offenders:
        raise UnsupportedOp(listed.file, offenders)


def _check_reshape_info(listed: NodeList) -> None:
    """reshape_info names the FC layer behind a flattened map; its rows are in (channel, row, column) order."""
    info, where = listed.reshape_info, f"{listed.file}.reshape_info"
    if info is None:
        return
    layer = next((node for node in listed.nodes if node.name == info.name), None)
    if layer is None or layer.operation != "OP_FC":
        raise ConfigError(f"{where}.name", f"expected the name of an OP_FC node, found {info.name!r}")
    expected = layer.param_of(FcParam).num_input
    for key, dims in (("input_dim", info.input_dim), ("output_dim", info.output_dim)):
        if math.prod(dims) != expected:
            raise ConfigError(
                f"{where}.{key}", f"expected {expected} elements, the inputs of {info.name!r}, found {dims}"
            )


@dataclass(frozen=True, slots=True)
class _Value:
    """What a listed node delivers: channels of graph nodes. `vector`: as a 2-D tensor, which hides height and width."""

    view: View
    height: int
    width: int
    vector: bool

    @property
    def shape(self) -> Shape:
        return len(self.view.channels), self.height, self.width


class _Builder:
    """Turns listed nodes, providers first, into graph nodes and views."""

    def __init__(self, listed: NodeList) -> None:
        self.listed = listed
        self.builder = GraphBuilder()
        self.values: dict[int, _Value] = {}
        self.read = {provider for node in listed.nodes for provider in node.provider_index}
        self.epilogues: dict[int, str] = {}
        self.dropped: dict[str, list[str]] = {}
        self.padded_averages: list[str] = []

    def add(self, node: Entry) -> None:
        """Convert one entry and check the shape it declares."""
        operands = [self.values[i] for i in node.provider_index]
        self._check_operands(node, operands)
        if node.operation == "OP_INPUT":
            value = self._input(node)
        elif node.operation == "OP_ELTWISE":
            value = self._eltwise(node, operands)
        elif node.operation == "OP_CONCAT":
            value = self._concat(node, operands)
        elif node.operation == "OP_SHUFFLE":
            value = self._shuffle(node, operands[0])
        elif node.operation in ACTIVATIONS:
            value = self._activation(node, operands[0])
        elif node.operation in PASS_THROUGH:
            value = self._pass_through(node, operands[0])
        else:
            value = self._layer(node, operands[0])
        self.values[node.number] = self._declared(node, value)

    def _check_operands(self, node: Entry, operands: list[_Value]) -> None:
        low, high = {"OP_INPUT": (0, 0), "OP_CONCAT": (1, 1 << 20), "OP_ELTWISE": (2, 1 << 20)}.get(
            node.operation, (1, 1)
        )
        if node.operation == "OP_ELTWISE" and _ELETYPES[node.param_of(EltwiseParam).eletype] == "sub":
            high = 2
        if not low <= len(operands) <= high:
            expected = str(low) if low == high else f"at least {low}"
            raise ModelError(f"{node.where}: expected {expected} provider(s), found {len(operands)}")
        if not operands and node.number not in self.read:
            raise ModelError(f"{node.where}: nothing reads this input")
        needs_map = node.operation in ("OP_CONV", "OP_POOL", "OP_CONCAT", "OP_SHUFFLE")
        for operand, provider in zip(operands, node.provider_index, strict=True):
            if needs_map and operand.vector and operand.height * operand.width > 1:
                raise ModelError(
                    f"{node.where}: expected a map [1, C, H, W], but its provider node_list[{provider}] is flattened "
                    f"to [1, {math.prod(operand.shape)}]"
                )

    def _declared(self, node: Entry, value: _Value) -> _Value:
        """The value in the rank that output_dim declares, if the shapes agree."""
        declared, found = node.dims[1:], value.shape
        if declared not in (found, (math.prod(found),)):
            raise ModelError(
                f"{node.where}: output_dim says {list(node.dims)}, computed from its inputs: {[1, *found]}"
            )
        return _Value(value.view, value.height, value.width, len(declared) == 1)

    def _append(
        self, node: Entry, operation: Operation, operands: list[_Value], shape: Shape, act: Activation | None = None
    ) -> _Value:
        try:
            index = self.builder.emit(node.name, operation, [operand.view for operand in operands], shape, act)
        except BadShape as error:
            raise ModelError(f"{node.where}: {error}") from error
        channels, height, width = shape
        return _Value(whole(index, channels), height, width, False)

    def _input(self, node: Entry) -> _Value:
        if len(node.dims) == 2:
            return self._append(node, Input(node.dims, "NC"), [], (node.dims[1], 1, 1))
        return self._append(node, Input(node.dims), [], (node.dims[1], node.dims[2], node.dims[3]))

    def _layer(self, node: Entry, operand: _Value) -> _Value:
        """Convolution, fully connected layer or pooling."""
        lower: dict[str, Callable[[Entry, Shape], tuple[Conv | Pool, Shape]]] = {
            "OP_CONV": conv_operation,
            "OP_FC": fc_operation,
            "OP_POOL": pool_operation,
        }
        operation, shape = lower[node.operation](node, operand.shape)
        if isinstance(operation, Pool) and operation.method == "avg" and any(operation.window.pads):
            self.padded_averages.append(node.name)
        activation = activation_of(node) if isinstance(operation, Conv) else None
        return self._append(node, operation, [operand], shape, activation)

    def _eltwise(self, node: Entry, operands: list[_Value]) -> _Value:
        shape = max((o.shape for o in operands), key=math.prod)
        for operand, provider in zip(operands, node.provider_index, strict=True):
            if operand.shape not in (shape, (shape[0], 1, 1)):
                raise ModelError(
                    f"{node.where}: its providers differ: {[1, *shape]} and, from node_list[{provider}], "
                    f"{[1, *operand.shape]}"
                )
        operation = Eltwise(_ELETYPES[node.param_of(EltwiseParam).eletype])
        return self._append(node, operation, operands, shape)

    def _concat(self, node: Entry, operands: list[_Value]) -> _Value:
        first = operands[0]
        for operand, provider in zip(operands, node.provider_index, strict=True):
            if operand.shape[1:] != first.shape[1:]:
                raise ModelError(
                    f"{node.where}: channels of maps of different size: {[1, *first.shape]} and, from "
                    f"node_list[{provider}], {[1, *operand.shape]}"
                )
        view = View(
            np.concatenate([o.view.sources for o in operands]), np.concatenate([o.view.channels for o in operands])
        )
        return _Value(view, first.height, first.width, False)

    def _shuffle(self, node: Entry, operand: _Value) -> _Value:
        order = shuffle_order(node, operand.shape[0])
        return _Value(
            View(operand.view.sources[order], operand.view.channels[order]), operand.height, operand.width, False
        )

    def _activation(self, node: Entry, operand: _Value) -> _Value:
        activation = activation_of(node)
        if activation is None:
            self.dropped.setdefault("OP_CLIP without bounds", []).append(node.name)
            return operand
        return self._append(node, Standalone(), [operand], operand.shape, activation)

    def _pass_through(self, node: Entry, operand: _Value) -> _Value:
        if node.operation == "OP_LRN" and (lrn := lrn_operation(node)) is not None:
            return self._append(node, lrn, [operand], operand.shape)
        if node.operation == "OP_SOFTMAX" and node.number not in self.read:
            self.epilogues[node.number] = "softmax"
        elif node.operation not in ("OP_FLATTEN", "OP_RESHAPE", "OP_DROPOUT", "OP_SQUEEZE"):
            self.dropped.setdefault(node.operation, []).append(node.name)
        return operand

    def graph(self) -> Graph:
        """The graph of everything added; what nothing reads is an output."""
        outputs = [
            Output(
                name=node.name,
                view=self.values[node.number].view,
                onnx_shape=node.dims,
                epilogue=self.epilogues.get(node.number),
                epilogue_axis=1,  # over the channels
            )
            for node in sorted(self.listed.nodes, key=lambda n: n.number)
            if node.number not in self.read
        ]
        notes = [f"{what} passed through, as in PIMCOMP-NN: {', '.join(at)}" for what, at in self.dropped.items()]
        if self.padded_averages:
            notes.append(f"averages divide by the pixels inside the map: {', '.join(self.padded_averages)}")
        name, nodes = Path(self.listed.file).stem, tuple(self.builder.nodes)
        return Graph(name=name, nodes=nodes, outputs=tuple(outputs), notes=tuple(notes))
