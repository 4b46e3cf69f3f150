"""Graph -> PIMCOMP-NN's node_list JSON: structure only, the format holds no weights.

Views become OP_CONCAT and OP_SHUFFLE entries. What PIMCOMP-NN's format cannot say raises UnsupportedOp, all at once.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from pimcomp.errors import Offender, UnsupportedOp
from pimcomp.frontend.node_list.records import (
    NO_BOUND,
    Param,
    Record,
    RecordList,
    conv_param,
    fc_param,
    json_text,
    lrn_param,
    pool_param,
)
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Eltwise,
    Graph,
    Input,
    Lrn,
    Node,
    Output,
    Pool,
    Standalone,
    View,
)

_ACT_TYPES = {ActivationKind.RELU: 0, ActivationKind.TANH: 1, ActivationKind.SIGMOID: 2}
_ACT_OPERATIONS = {ActivationKind.RELU: "OP_RELU", ActivationKind.TANH: "OP_TANH", ActivationKind.SIGMOID: "OP_SIGMOID"}
_ELETYPES = {"add": 2, "sub": 4}


def export_pimcomp(graph: Graph) -> dict[str, object]:
    """The document {"node_list": [...], "reshape_info": {...}} of a graph; `export_pimcomp_text` is its text.

    Nodes keep their names where they are unique, outputs always. Two things go beyond PIMCOMP-NN's own files, and its
    back end ignores them: `count_include_pad` of an average pool, and the parameters of OP_LRN.

    Raises UnsupportedOp listing every node that the format cannot express.
    """
    listing = _Listing(graph)
    for index, node in enumerate(graph.nodes):
        listing.add(index, node)
    for output in graph.outputs:
        listing.add_output(output)
    if listing.offenders:
        raise UnsupportedOp(graph.name, listing.offenders)
    return {"node_list": listing.records.entries(), "reshape_info": listing.reshape_info}


def export_pimcomp_text(graph: Graph) -> str:
    """The file that `pimdse export-json` writes: deterministic JSON text.

    Raises what `export_pimcomp` raises.
    """
    return json_text(export_pimcomp(graph))


@dataclass
class _Listing:
    """Graph nodes -> records. `of_node[i]` is the record that delivers graph node i."""

    graph: Graph
    records: RecordList = field(init=False)
    of_node: list[int] = field(default_factory=list)
    offenders: list[Offender] = field(default_factory=list)
    reshape_info: dict[str, object] = field(default_factory=dict)
    _of_view: dict[bytes, int] = field(default_factory=dict)
    _reshaped: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)
    _delivers: dict[int, Output] = field(default_factory=dict)  # graph node that nothing but this output reads

    def __post_init__(self) -> None:
        self.records = RecordList(frozenset(output.name for output in self.graph.outputs))
        read_by = self.graph.readers()
        for output in self.graph.outputs:
            whole = self._whole_nodes(output.view)
            if whole is not None and len(whole) == 1 and len(read_by[whole[0]]) == 1 and output.epilogue is None:
                self._delivers[whole[0]] = output

    def _refuse(self, node: str, op: str, reason: str) -> None:
        self.offenders.append(Offender(node, op, 0, reason))

    def add(self, index: int, node: Node) -> None:
        """Append the record of a graph node, with those of its views in front and that of its activation behind."""
        act_type, activation = None, node.activation
        if isinstance(node.operation, Conv):
            act_type = _ACT_TYPES.get(activation.kind, -1) if activation is not None else -1
            activation = None if act_type >= 0 else activation
        output = self._delivers.get(index)
        if isinstance(node.operation, Standalone):
            record = self._provider(node.inputs[0], node.name)
            name = node.name
        else:
            record = self._operation(node, output if activation is None else None, act_type)
            name = f"{node.name}_{activation.kind}" if activation is not None else ""
        if activation is not None:
            record = self._activation(name, activation, record, output)
        self.of_node.append(record)

    def _append(self, record: Record, output: Output | None) -> int:
        """A record; it takes the output's name if it is what that output delivers, in the same shape."""
        if output is not None and output.onnx_shape == record.dims and output.layout == "NCHW":
            return self.records.add(replace(record, name=output.name), exactly=True)
        return self.records.add(record)

    def _operation(self, node: Node, output: Output | None, act_type: int | None) -> int:
        shape = (1, node.channels, node.height, node.width)
        providers = tuple(self._provider(view, node.name) for view in node.inputs)
        match node.operation:
            case Input() as source:
                if source.layout == "NHWC":
                    self._refuse(node.name, "Input", "layout NHWC; the format knows [1, C, H, W] and [1, N]")
                return self.records.add(Record(node.name, "OP_INPUT", (), source.onnx_shape))
            case Conv() as conv if self._is_fully_connected(node, conv):
                flat = self._as_vector(providers[0])
                record = self._append(
                    Record(node.name, "OP_FC", (flat,), (1, node.channels), fc_param(conv), act_type), output
                )
                self._note_reshape(record, flat)
                return record
            case Conv() as conv:
                param = conv_param(conv, len(node.inputs[0].channels))
                first = (self._as_map(providers[0]),)
                return self._append(Record(node.name, "OP_CONV", first, shape, param, act_type), output)
            case Pool() as pool:
                self._check_pool(node, pool)
                param = pool_param(pool, self._size(node))
                return self._append(Record(node.name, "OP_POOL", (self._as_map(providers[0]),), shape, param), output)
            case Eltwise() as eltwise:
                self._check_eltwise(node, eltwise)
                operands = self._same_rank(providers)
                dims = self.records.records[operands[0]].dims
                param = {"eletype": _ELETYPES.get(eltwise.method, 0)}
                return self._append(Record(node.name, "OP_ELTWISE", operands, dims, param), output)
            case Lrn() as lrn:
                first = (self._as_map(providers[0]),)
                return self._append(Record(node.name, "OP_LRN", first, shape, lrn_param(lrn)), output)
            case other:
                reason = "the format has no padding, cropping or resizing of its own"
                self._refuse(node.name, type(other).__name__, reason)
                return self.records.add(Record(node.name, "OP_PAD", providers, shape))

    def _activation(self, name: str, activation: Activation, record: int, output: Output | None) -> int:
        dims = self.records.records[record].dims
        if activation.kind is ActivationKind.CLIP:
            bounds: Param = {
                "min": activation.low if math.isfinite(activation.low) else -NO_BOUND,
                "max": activation.high if math.isfinite(activation.high) else NO_BOUND,
            }
            return self._append(Record(name, "OP_CLIP", (record,), dims, bounds), output)
        if activation.kind not in _ACT_OPERATIONS:
            self._refuse(name, activation.kind, "the format has relu, tanh, sigmoid and clip")
        operation = _ACT_OPERATIONS.get(activation.kind, "OP_RELU")
        return self._append(Record(name, operation, (record,), dims), output)

    def _size(self, node: Node) -> tuple[int, int]:
        """Height and width of a node's first operand."""
        return self.graph.shape_of(node.inputs[0])[1:]

    def _is_fully_connected(self, node: Node, conv: Conv) -> bool:
        window = conv.window
        return conv.groups == 1 and window.kernel == self._size(node) and not any(window.pads)

    def _check_pool(self, node: Node, pool: Pool) -> None:
        if pool.window.dilation != (1, 1):
            self._refuse(node.name, "Pool", f"dilation {pool.window.dilation}; OP_POOL has none")
        if pool.method == "avg" and pool.count_padding and any(pool.overhang):
            self._refuse(node.name, "Pool", "an average that counts some of its padding and not the rest (ceil_mode)")

    def _check_eltwise(self, node: Node, eltwise: Eltwise) -> None:
        if eltwise.method not in _ELETYPES:
            self._refuse(node.name, f"Eltwise {eltwise.method}", "PIMCOMP-NN would add instead of multiply")
        if len({self.graph.shape_of(view)[1:] for view in node.inputs}) > 1:
            self._refuse(node.name, "Eltwise", "operands of different size; the format has no broadcasting")

    # ---------------------------------------------------------------------------------------------- views

    def _provider(self, view: View, reader: str) -> int:
        """The record that delivers a view, with OP_CONCAT and OP_SHUFFLE records where needed; each view only once."""
        key = np.stack([view.sources, view.channels]).astype(np.int32).tobytes()
        if key not in self._of_view:
            self._of_view[key] = self._lower_view(view, reader)
        return self._of_view[key]

    def _lower_view(self, view: View, reader: str) -> int:
        whole = self._whole_nodes(view)
        if whole is not None:
            return self._concat(whole, reader)
        channels = len(view.channels)
        for groups in range(2, channels):
            if channels % groups == 0:
                # Undo a shuffle with that many groups and see whether whole nodes come out.
                order = np.arange(channels).reshape(-1, groups).T.reshape(-1)
                whole = self._whole_nodes(View(view.sources[order], view.channels[order]))
                if whole is not None:
                    record = self._as_map(self._concat(whole, reader))
                    param: Param = {"input_channel": channels, "split_factor": groups}
                    dims = self.records.records[record].dims
                    return self.records.add(Record(f"{reader}_shuffle", "OP_SHUFFLE", (record,), dims, param))
        self._refuse(reader, "Slice", "reads some of a node's channels, or in another order; the format has no slice")
        return self.of_node[int(view.sources[0])]

    def _whole_nodes(self, view: View) -> list[int] | None:
        """The nodes whose complete channels, one node after the other, are the view."""
        nodes: list[int] = []
        at = 0
        while at < len(view.channels):
            node = int(view.sources[at])
            stop = at + self.graph.nodes[node].channels
            if (
                stop > len(view.channels)
                or (view.sources[at:stop] != node).any()
                or (view.channels[at:stop] != np.arange(stop - at)).any()
            ):
                return None
            nodes.append(node)
            at = stop
        return nodes

    def _concat(self, nodes: list[int], reader: str) -> int:
        if len(nodes) == 1:
            return self.of_node[nodes[0]]
        operands = tuple(self._as_map(self.of_node[node]) for node in nodes)
        first = self.graph.nodes[nodes[0]]
        dims = (1, sum(self.graph.nodes[node].channels for node in nodes), first.height, first.width)
        return self.records.add(Record(f"{reader}_concat", "OP_CONCAT", operands, dims))

    # ---------------------------------------------------------------------------------------------- ranks

    def _as_map(self, record: int) -> int:
        """The record as [1, C, H, W]; only 1 x 1 maps ever are vectors."""
        dims = self.records.records[record].dims
        return record if len(dims) == 4 else self._reshape(record, "OP_RESHAPE", (*dims, 1, 1))

    def _as_vector(self, record: int) -> int:
        """The record as [1, N]."""
        dims = self.records.records[record].dims
        return record if len(dims) == 2 else self._reshape(record, "OP_FLATTEN", (1, math.prod(dims)))

    def _same_rank(self, records: tuple[int, ...]) -> tuple[int, ...]:
        """All as vectors if they are, else all as maps."""
        if all(len(self.records.records[record].dims) == 2 for record in records):
            return records
        return tuple(self._as_map(record) for record in records)

    def _reshape(self, record: int, operation: str, dims: tuple[int, ...]) -> int:
        if (record, dims) not in self._reshaped:
            name = f"{self.records.records[record].name}_{'flat' if operation == 'OP_FLATTEN' else 'map'}"
            self._reshaped[record, dims] = self.records.add(Record(name, operation, (record,), dims))
        return self._reshaped[record, dims]

    def _note_reshape(self, record: int, flat: int) -> None:
        """reshape_info names the first FC layer behind a flattened map."""
        records = self.records.records
        if not self.reshape_info and records[flat].operation == "OP_FLATTEN":
            before = records[records[flat].providers[0]].dims
            self.reshape_info = {
                "name": records[record].name,
                "input_dim": list(before),
                "output_dim": list(records[flat].dims),
            }

    # -------------------------------------------------------------------------------------------- outputs

    def add_output(self, output: Output) -> None:
        """Make an output the last record of its chain, under its name."""
        if any(record.name == output.name for record in self.records.records):
            return  # a node delivers it
        record = self._provider(output.view, output.name)
        shape = (1, *self.graph.shape_of(output.view))
        spatial = math.prod(shape[2:]) > 1
        if output.onnx_shape not in (shape, (1, math.prod(shape))) or (spatial and output.layout != "NCHW"):
            reason = f"shape {list(output.onnx_shape)} ({output.layout}); the format knows [1, C, H, W] and [1, N]"
            self._refuse(output.name, "Output", reason)
            return
        if output.epilogue is None:
            self.records.add(Record(output.name, "OP_RESHAPE", (record,), output.onnx_shape), exactly=True)
            return
        rank = len(output.onnx_shape)
        if output.epilogue != "softmax" or spatial or output.epilogue_axis % rank != 1:
            self._refuse(output.name, output.epilogue, "the format has softmax over the channels of a 1 x 1 map")
        record = self._as_vector(record) if rank == 2 else self._as_map(record)
        self.records.add(Record(output.name, "OP_SOFTMAX", (record,), output.onnx_shape), exactly=True)
