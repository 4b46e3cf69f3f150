"""intermediate.json: the network, its array groups and the plan (PIMCOMP-NN's IntermediateInfo)."""

from dataclasses import asdict, fields
from typing import Any

import numpy as np
import orjson

from pimcomp.ir.array_group import LayerMatrix
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Activation, Node, View, Window
from pimcomp.ir.precision import Precision


def intermediate_json(compiled: Compiled) -> bytes:
    """{"nodes": [...], "outputs": [...], "layers": [...]}; layers: the chosen unfolding of every weighted node.

    A layer's groups: rows [start, stop) and column intervals of its weight matrix, crossbars; cores[r][a] as in
    plan.json.
    """
    plan, partition = compiled.plan, compiled.partition
    chosen = [options[o] for options, o in zip(partition.options, plan.option, strict=True)]
    layers = [
        {**_layer(compiled, matrix), "replication": replication, "cores": cores.tolist()}
        for matrix, replication, cores in zip(chosen, plan.replication, plan.core_of, strict=True)
    ]
    outputs = [
        {"name": output.name, "shape": list(output.onnx_shape), "layout": output.layout, "epilogue": output.epilogue,
         "view": _view(output.view)}
        for output in compiled.graph.outputs
    ]  # fmt: skip
    content = {
        "schema": "pimdse.intermediate.json/1",
        "nodes": [_node(node) for node in compiled.graph.nodes],
        "outputs": outputs,
        "layers": layers,
    }
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _node(node: Node) -> dict[str, Any]:
    operation = node.operation
    record: dict[str, Any] = {
        "name": node.name,
        "op": type(operation).__name__.lower(),
        "shape": [node.channels, node.height, node.width],
        "inputs": [_view(view) for view in node.inputs],
    }
    for field in fields(operation):
        value = getattr(operation, field.name)
        if isinstance(value, Window):
            record |= asdict(value)
        elif isinstance(value, Precision):
            record |= value._asdict()
        else:
            record[field.name] = list(value.shape) if isinstance(value, np.ndarray) else value
    if node.activation is not None:
        record["activation"] = _activation(node.activation)
    return record


def _activation(activation: Activation) -> dict[str, Any]:
    """The function with the parameters that are finite."""
    parameters = {"low": activation.low, "high": activation.high, "alpha": activation.alpha, "beta": activation.beta}
    return {"kind": activation.kind.value, **{name: v for name, v in parameters.items() if np.isfinite(v) and v}}


def _view(view: View) -> list[dict[str, int]]:
    """Runs of channels: `count` channels of node `source` from `channel` on."""
    return [{"source": source, "channel": first, "count": count} for _, source, first, count in view.runs.T.tolist()]


def _layer(compiled: Compiled, matrix: LayerMatrix) -> dict[str, Any]:
    return {
        "node": matrix.node,
        "name": compiled.graph.nodes[matrix.node].name,
        "block": matrix.unfolding.block,
        "rows": matrix.rows,
        "columns": matrix.columns,
        "groups": [
            {"rows": [g.row_start, g.row_stop], "columns": g.col_spans, "crossbars": g.crossbars} for g in matrix.groups
        ],
    }
