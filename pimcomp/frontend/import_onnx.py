"""ONNX file -> Graph: read, lower every operator on its own, then clean up pass by pass."""

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from pimcomp.errors import ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.lower.constant_fold import set_values
from pimcomp.frontend.lower.graph_builder import LARGEST_MAP
from pimcomp.frontend.lower.lower import lower, node_label
from pimcomp.frontend.onnx.drop_quantization import drop_quantization
from pimcomp.frontend.onnx.leave_choices import leave_choices
from pimcomp.frontend.onnx.read import inputs_without_values
from pimcomp.frontend.onnx.widen_halves import widen_halves
from pimcomp.frontend.random_weights import parse_weights_option
from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.frontend.rewrite.fold_scales import fold_scales
from pimcomp.frontend.rewrite.fuse_activations import fuse_activations
from pimcomp.frontend.rewrite.merge_padding import merge_padding
from pimcomp.frontend.rewrite.pick_early import pick_early
from pimcomp.frontend.rewrite.rewire import drop_dead
from pimcomp.frontend.rewrite.sort_channels import sort_channels
from pimcomp.frontend.rewrite.split_pools import split_pools
from pimcomp.frontend.seeded_onnx_weights import randomize
from pimcomp.ir.graph import Conv, Graph, Pool

PASSES = (
    fold_scales,
    fuse_activations,
    fold_scales,  # through the activations that are fused now
    merge_padding,
    sort_channels,
    drop_dead,
    pick_early,
    split_pools,
)
SERIALISED_LIMIT_BYTES = 2**31 - 1  # protobuf's limit for one message


def import_onnx(model: onnx.ModelProto, path: Path, weights: str | None) -> LoadedNetwork:
    """The network in a model as `read_onnx` leaves it; `weights` "random:SEED" replaces its weights by seeded ones.

    Raises ModelError, UnsupportedOp (every operator that cannot be lowered), ConfigError (another form of `weights`).
    """
    notes = leave_choices(model) + with_weights(model, path, weights)
    network = import_part(model, path.stem, str(path))
    return replace(network, graph=replace(network.graph, notes=(*network.graph.notes, *notes)))


def with_weights(model: onnx.ModelProto, path: Path, weights: str | None) -> tuple[str, ...]:
    """Give a model as `read_onnx` leaves it real numbers and its weights, in place; notes on what was changed."""
    seed = None if weights is None else parse_weights_option(weights)
    notes = in_real_numbers(model, path)
    _fill_missing(model, str(path), seed)
    if seed is not None:
        randomize(model, seed)
    return notes


def import_part(model: onnx.ModelProto, name: str, source: str) -> LoadedNetwork:
    """The network of a model whose every node can be lowered; the model becomes its reference.

    Raises ModelError, UnsupportedOp.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # folded weights beyond float32 are found below
        lowered = lower(model, name, source)
        graph = clean(lowered)
    _refuse_infinities(graph, source)
    _match_interface(model, graph)
    _spell_out_padding(model, lowered)
    return LoadedNetwork(graph, Reference(model, source), source)


def _fill_missing(model: onnx.ModelProto, source: str, seed: int | None) -> None:
    """Weights that an exporter has left out, as zeros for `randomize`, in place; ModelError without a seed."""
    missing = inputs_without_values(model)
    for value in [value for value in model.graph.input if value.name in missing]:
        if seed is None:
            raise ModelError(
                f"{source}: {value.name!r} is an input of the file that only layers read as weights: it has no values: "
                "export with export_params=True, or give --weights random:SEED"
            )
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if math.prod(shape) > LARGEST_MAP:
            raise ModelError(f"{source}: weights {value.name!r} of shape {shape}: at most {LARGEST_MAP} elements")
        set_values(model.graph.initializer.add(), value.name, np.zeros(shape, np.float32))
        model.graph.input.remove(value)


def in_real_numbers(model: onnx.ModelProto, path: Path) -> tuple[str, ...]:
    """Take number formats of its own out of a model, in place; gives notes on what was changed for that.

    Raises ModelError.
    """
    try:
        return widen_halves(model) + drop_quantization(model)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: weights: {error}") from error


def clean(graph: Graph) -> Graph:
    """All passes in order, and the proof that the result is a Graph."""
    for run in PASSES:
        graph = run(graph)
    check_graph(graph)
    return graph


def _refuse_infinities(graph: Graph, source: str) -> None:
    """Weights that are infinite or not a number would silently spoil every result."""
    for node in graph.nodes:
        if not isinstance(node.operation, Conv):
            continue
        parts = [node.operation.weights] + ([] if node.operation.bias is None else [node.operation.bias])
        if not all(np.isfinite(part.min()) and np.isfinite(part.max()) for part in parts):
            raise ModelError(f"{source}: node {node.name!r}: expected finite weights, found infinite ones or NaN")


def _match_interface(model: onnx.ModelProto, graph: Graph) -> None:
    """Give the reference model the graph's inputs, and its outputs with their concrete shapes, in place."""
    keep_inputs(model, {node.name for node in graph.nodes})
    shapes = {output.name: output.onnx_shape for output in graph.outputs}
    for value in [value for value in model.graph.output if value.name not in shapes]:
        model.graph.output.remove(value)  # a constant
    for value in model.graph.output:
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for size in shapes[value.name]:
            shape.dim.add().dim_value = size


def keep_inputs(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Drop the other inputs of a model, but those that are weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name in weights or value.name in names]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _spell_out_padding(model: onnx.ModelProto, lowered: Graph) -> None:
    """Give dilated windows of the reference model explicit pads, in place: onnxruntime refuses SAME ones of Conv, and
    pads those of MaxPool as if they were not dilated."""
    windows = {node.name: node.operation.window for node in lowered.nodes if isinstance(node.operation, Conv | Pool)}
    for proto in model.graph.node:
        attributes = {attribute.name: attribute for attribute in proto.attribute}
        dilations = attributes["dilations"].ints if "dilations" in attributes else ()
        window = windows.get(node_label(proto))
        auto = attributes.get("auto_pad")
        if proto.op_type not in ("Conv", "MaxPool") or window is None or auto is None or not auto.s.startswith(b"SAME"):
            continue
        if max(dilations, default=1) > 1:
            top, left, bottom, right = window.pads
            pads = (left, right) if len(dilations) == 1 else (top, left, bottom, right)
            proto.attribute.remove(auto)
            if "pads" in attributes:
                proto.attribute.remove(attributes["pads"])
            proto.attribute.append(onnx.helper.make_attribute("pads", pads))


class Reference:
    """Serialises the model when called."""

    def __init__(self, model: onnx.ModelProto, source: str) -> None:
        self.model, self.source = model, source

    def __call__(self) -> bytes:
        """Raises ModelError for more than protobuf can hold."""
        if self.model.ByteSize() > SERIALISED_LIMIT_BYTES:
            raise ModelError(f"{self.source}: the model with its weights is larger than 2 GB, more than ONNX can hold")
        return bytes(self.model.SerializeToString(deterministic=True))
