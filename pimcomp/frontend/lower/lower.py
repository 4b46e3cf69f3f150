"""ModelProto -> Graph: one node after the other through the table of lowerings.

All that is unsupported is collected, for one UnsupportedOp; behind it, shape inference gives the nodes a stand-in.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import onnx

from pimcomp.errors import ModelError, Offender, UnsupportedOp
from pimcomp.frontend.lower import activation as lower_activation
from pimcomp.frontend.lower import attention as lower_attention
from pimcomp.frontend.lower import elementwise as lower_elementwise
from pimcomp.frontend.lower import layout as lower_layout
from pimcomp.frontend.lower import pooling as lower_pooling
from pimcomp.frontend.lower import resample as lower_resample
from pimcomp.frontend.lower import transposed as lower_transposed
from pimcomp.frontend.lower import weighted as lower_weighted
from pimcomp.frontend.lower.constant_fold import fold, tensor_values
from pimcomp.frontend.lower.definitions import BODY_OPSET, definition, is_defined
from pimcomp.frontend.lower.graph_builder import LARGEST_MAP, GraphBuilder
from pimcomp.frontend.lower.graph_interface import declare_input, describe_output
from pimcomp.frontend.lower.onnx_node import BadShape, Constant, NotRepeatable, OnnxNode, Operand, Unsupported, opset_of
from pimcomp.frontend.lower.tensor import LayoutError, Tensor, of_map
from pimcomp.frontend.onnx.drop_quantization import QUANTIZING
from pimcomp.frontend.onnx.input_axes import input_axes
from pimcomp.frontend.onnx.mixed_batch import Shapes, static_shapes
from pimcomp.frontend.onnx.read import live_nodes, used_names
from pimcomp.frontend.onnx.real_inputs import INTEGERS
from pimcomp.frontend.onnx.recognise import recognise
from pimcomp.ir.graph import Graph, Input, Node

Lowered = Tensor | Constant | tuple[Operand, ...]
Lower = Callable[[OnnxNode, GraphBuilder], Lowered]

LOWERINGS: Mapping[str, Lower] = MappingProxyType(
    {
        "Conv": lower_weighted.lower_conv,
        "ConvTranspose": lower_transposed.lower_conv_transpose,
        "Gemm": lower_weighted.lower_gemm,
        "MatMul": lower_weighted.lower_matmul,
        "MaxPool": lower_pooling.lower_pool,
        "AveragePool": lower_pooling.lower_pool,
        "GlobalAveragePool": lower_pooling.lower_global_pool,
        "GlobalMaxPool": lower_pooling.lower_global_pool,
        "ReduceMean": lower_pooling.lower_reduce,
        "ReduceSum": lower_pooling.lower_reduce,
        "ReduceMax": lower_pooling.lower_reduce,
        "ReduceMin": lower_pooling.lower_reduce,
        "ReduceL1": lower_pooling.lower_reduce,
        "ReduceSumSquare": lower_pooling.lower_reduce,
        "Add": lower_elementwise.lower_sum,
        "Sum": lower_elementwise.lower_sum,
        "Mean": lower_elementwise.lower_sum,
        "Sub": lower_elementwise.lower_binary,
        "Mul": lower_elementwise.lower_binary,
        "Div": lower_elementwise.lower_binary,
        "Neg": lower_elementwise.lower_negative,
        "Pow": lower_elementwise.lower_power,
        "Min": lower_elementwise.lower_bound,
        "Max": lower_elementwise.lower_bound,
        "Where": lower_elementwise.lower_where,
        "BatchNormalization": lower_elementwise.lower_batch_norm,
        "LRN": lower_elementwise.lower_lrn,
        "LayerNormalization": lower_attention.lower_layer_norm,
        "RMSNormalization": lower_attention.lower_layer_norm,
        **dict.fromkeys(lower_activation.PLAIN_OPS, lower_activation.lower_plain),
        "Clip": lower_activation.lower_clip,
        "LeakyRelu": lower_activation.lower_leaky_relu,
        "PRelu": lower_activation.lower_leaky_relu,
        "Abs": lower_activation.lower_leaky_relu,
        "HardSigmoid": lower_activation.lower_hard_sigmoid,
        "Swish": lower_activation.lower_swish,
        "SwiGLU": lower_activation.lower_swish,
        "Gelu": lower_activation.lower_gelu,
        "Identity": lower_layout.lower_identity,
        "Dropout": lower_layout.lower_identity,
        "Cast": lower_layout.lower_cast,
        "CastLike": lower_layout.lower_cast,
        "Reshape": lower_layout.lower_reshape,
        "Flatten": lower_layout.lower_reshape,
        "Transpose": lower_layout.lower_transpose,
        "Squeeze": lower_layout.lower_squeeze,
        "Unsqueeze": lower_layout.lower_squeeze,
        "Concat": lower_layout.lower_concat,
        "Gather": lower_layout.lower_gather,
        "Slice": lower_layout.lower_slice,
        "Split": lower_layout.lower_split,
        "Pad": lower_layout.lower_pad,
        "Expand": lower_layout.lower_expand,
        "Tile": lower_layout.lower_tile,
        "Resize": lower_resample.lower_resize,
        "Upsample": lower_resample.lower_resize,
        "DepthToSpace": lower_resample.lower_blocks,
        "SpaceToDepth": lower_resample.lower_blocks,
        "Shape": lower_layout.lower_shape,
        "Softmax": lower_layout.lower_softmax,
        "LogSoftmax": lower_layout.lower_softmax,
    }
)
_NO_INTEGERS = (
    "expected real numbers, found integers: an input that only Cast or DequantizeLinear reads is taken as real"
)
_LEFT_TO_THE_HOST = "`pimdse compile` and `pimdse verify` leave such nodes to the host, without --host forbid"
_RANDOM = "random numbers: export the model in evaluation mode"
# Why operators that no pass lowers cannot be lowered, for the message that lists them.
_REASONS = {
    "the vector unit has no exponential, logarithm, root or division": (
        "ReduceLogSum ReduceLogSumExp Softsign Exp Log Elu Selu Celu Softplus Mish Sqrt Reciprocal"
    ),
    "the vector unit has no sines or their inverses": "Acos Acosh Asin Asinh Atan Atanh Cos Cosh Sin Sinh Tan DFT STFT",
    "write it as LayerNormalization between Reshapes, or train with BatchNormalization, which folds": (
        "InstanceNormalization GroupNormalization MeanVarianceNormalization"
    ),
    "it jumps at a threshold, and the vector unit compares nothing": (
        "ThresholdedRelu Shrink Sign Round Floor Ceil Greater Less Equal GreaterOrEqual LessOrEqual Hardmax "
        "Mod IsInf IsNaN"
    ),
    "no roots, and no products of many elements": "LpNormalization ReduceL2 ReduceProd LpPool GlobalLpPool Det CumProd",
    "streams have no loops over time steps": "LSTM GRU RNN CumSum CausalConvWithState",
    "it picks or puts single elements, and programs move rows, columns and channels": (
        "GatherElements GatherND Scatter ScatterElements ScatterND TensorScatter ReverseSequence MaxUnpool Trilu "
        "GridSample AffineGrid RoiAlign MaxRoiPool DeformConv"
    ),
    "write it as ConvTranspose with constant weights": "Col2Im",
    "write it as Slice, Concat, Mul and Add": "RotaryEmbedding",
    "it is for training": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    _RANDOM: "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
    "it makes a constant, and its operands are computed by the network": (
        "Constant ConstantOfShape EyeLike OneHot Range Size BlackmanWindow HammingWindow HannWindow MelWeightMatrix"
    ),
    "bits and truth values are no real numbers": (
        "And Or Xor Not BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor"
    ),
    "texts, sequences and optional values are no feature maps": (
        "ConcatFromSequence ImageDecoder Optional OptionalGetElement OptionalHasElement RegexFullMatch SequenceAt "
        "SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap SplitToSequence "
        "StringConcat StringNormalizer StringSplit TfIdfVectorizer"
    ),
    "export the quantized network with QuantizeLinear and DequantizeLinear pairs (QDQ), or in float32": (
        "QLinearConv QLinearMatMul ConvInteger MatMulInteger DynamicQuantizeLinear QuantizeLinear DequantizeLinear"
    ),
    "export attention as MatMul, Softmax and MatMul": "LinearAttention",
    "which elements come out depends on the data": "NonZero NonMaxSuppression Unique Compress",
    "which elements come out depends on the data (behind the last layer the host chooses)": "ArgMax ArgMin TopK",
}

_WHY_NOT: Mapping[str, str] = MappingProxyType(
    {operator: reason for reason, operators in _REASONS.items() for operator in operators.split()}
)
AFTER_SOFTMAX = frozenset(
    {"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Shape"}
)


def lower(model: onnx.ModelProto, name: str, source: str) -> Graph:
    """The network as a Graph, every ONNX operator lowered on its own; passes clean up behind it.

    model: as `read_onnx` leaves it. Raises UnsupportedOp listing every node that cannot be lowered,
    ModelError naming the node whose shapes contradict each other.
    """
    nodes = recognise(model)
    lowering = _Lowering(model, nodes, source)
    for node in nodes:
        lowering.add(node)
    return lowering.graph(name)


class Examined(NamedTuple):
    """What lowering finds without refusing: the nodes that cannot be lowered, what constants alone give, and the
    network's inputs."""

    offenders: tuple[Offender, ...]
    constants: dict[str, Constant]
    inputs: tuple[Node, ...]


def examine(model: onnx.ModelProto, source: str) -> Examined:
    """Which nodes `lower` would refuse. Raises ModelError as `lower` does."""
    nodes = recognise(model)
    lowering = _Lowering(model, nodes, source)
    inputs = tuple(lowering.builder.nodes)
    for node in nodes:
        lowering.add(node)
    values = lowering.values.items()
    constants = {k: v for k, v in values if not isinstance(v, Tensor) and k not in lowering.weights}
    if not any(value.name in constants for value in model.graph.output):
        with suppress(UnsupportedOp):
            lowering.graph("")
    return Examined(tuple(lowering.offenders.values()), constants, inputs)


def why_not(operator: str) -> str:
    """Why an operator without a lowering has no program."""
    if operator in ("If", "Loop", "Scan"):
        return "control flow is not supported: instruction streams have no branches"
    reason = _WHY_NOT.get(operator)
    return "no instruction sequence computes it" + (f": {reason}" if reason else "")


def node_label(proto: onnx.NodeProto) -> str:
    """What a node is called in messages and in the Graph."""
    return str(proto.name or next(iter(proto.output), proto.op_type))


class _Lowering:
    """What is known so far: tensors and constants by name, offenders, and names whose value is unknown."""

    def __init__(self, model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], source: str) -> None:
        self.model, self.source, self.opset = model, source, opset_of(model)
        self.builder = GraphBuilder()
        self.values: dict[str, Operand] = {}
        self.unknown: set[str] = set()
        self.offenders: dict[str, Offender] = {}
        self.inferred: Shapes | None = None
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.used = used_names(model.graph)
        axes = input_axes(model, nodes, self.opset)
        for value in model.graph.input:
            if value.name in self.weights:
                continue
            if value.name in self.used:
                if value.type.tensor_type.elem_type in INTEGERS:
                    self.offenders[value.name] = Offender(value.name, "input", self.opset, _NO_INTEGERS)
                self.values[value.name] = declare_input(value, axes.get(value.name), self.builder, source)
            else:
                self.builder.notes.append(f"input {value.name!r} dropped: no output depends on it")

    def add(self, proto: onnx.NodeProto) -> None:
        """Lower one node; what it cannot express becomes an offender."""
        label = node_label(proto)
        if proto.op_type == "If" and proto.domain in ("", "ai.onnx") and self._is_constant(proto.input[0]):
            self._take_branch(proto, label)
            return
        reason, repeatable = self._unknown_operator(proto), _WHY_NOT.get(proto.op_type) != _RANDOM
        if not reason and any(name in self.unknown for name in proto.input):
            reason = self._always_unsupported(proto)
        elif not reason:
            try:
                self._lower(proto, label, self.opset)
            except (Unsupported, LayoutError) as error:
                reason, repeatable = str(error), not isinstance(error, NotRepeatable)
            except BadShape as error:
                if not self.offenders:
                    raise ModelError(f"{self.source}: node {label!r} ({proto.op_type}): {error}") from error
                self.unknown.update(proto.output)  # possibly the fault of a stand-in: not for the user's eyes
            else:
                return
        if reason:
            self.offenders.setdefault(label, Offender(label, proto.op_type, self.opset, reason, repeatable))
        for output in proto.output:
            self._stand_in(output)

    def _take_branch(self, proto: onnx.NodeProto, label: str) -> None:
        """The nodes of the branch that a constant condition chooses."""
        name = "then_branch" if np.any(np.asarray(self._operand(proto.input[0], label))) else "else_branch"
        branch = next((a.g for a in proto.attribute if a.name == name), onnx.GraphProto())
        self.weights |= {tensor.name: tensor for tensor in branch.initializer}
        self.used.update(found.name for found in branch.output)
        self.used.update(name for node in branch.node for name in node.input)
        for node in branch.node:
            self.add(node)
        for result, found in zip(proto.output, branch.output):
            if found.name in self.unknown:
                self.unknown.add(result)
            else:
                self.values[result] = self._operand(found.name, label)

    def _unknown_operator(self, proto: onnx.NodeProto) -> str:
        constant = all(self._is_constant(name) for name in proto.input if name)
        if is_defined(proto):
            return ""
        if proto.domain not in ("", "ai.onnx") and not (constant and proto.op_type in QUANTIZING):
            return f"operators of domain {proto.domain!r} are not supported"
        if proto.op_type in LOWERINGS or constant:
            return ""
        return why_not(proto.op_type)

    def _always_unsupported(self, proto: onnx.NodeProto) -> str:
        """What no shape could make possible, seen from the operators alone; empty if nothing."""
        computed = [name for name in proto.input if name and not self._is_constant(name)]
        if proto.op_type == "Gemm" and len(set(computed)) > 1 and proto.input[1] in computed:
            return "both operands are computed by the network: crossbars multiply with constant weights"
        if proto.op_type == "Div" and len(computed) > 1:
            return "a quotient of two feature maps; division by a constant is supported"
        return ""

    def _is_constant(self, name: str) -> bool:
        return name in self.weights or (name in self.values and not isinstance(self.values[name], Tensor))

    def _lower(self, proto: onnx.NodeProto, label: str, opset: int) -> None:
        node = OnnxNode(
            name=label,
            op=proto.op_type,
            opset=opset,
            operands=tuple(self._operand(name, label) if name else None for name in proto.input),
            outputs=tuple(proto.output),
            attributes={attribute.name: attribute for attribute in proto.attribute},
            used_outputs=frozenset(self.used.intersection(proto.output)),
        )
        if not any(isinstance(operand, Tensor) for operand in node.operands):
            results: Lowered = fold(node)
        elif is_defined(proto):
            node = self._with_softmax_applied(proto, node)
            for inner in live_nodes(definition(proto, node), self.used.intersection(proto.output)):
                self._lower(inner, inner.name, max(opset, BODY_OPSET))
            return
        elif node.op not in LOWERINGS:  # in a definition
            raise Unsupported(f"it is defined by {node.op}: {why_not(node.op)}")
        else:
            try:
                results = LOWERINGS[node.op](self._with_softmax_applied(proto, node), self.builder)
            except LayoutError:
                if not any(isinstance(operand, Tensor) and operand.softmax for operand in node.operands):
                    raise
                results = LOWERINGS[node.op](self._with_softmax_applied(proto, node, ()), self.builder)
        found = results if isinstance(results, tuple) else (results,)
        self.values.update(zip(node.outputs, found))

    def _operand(self, name: str, label: str) -> Operand:
        if name not in self.values:
            if name not in self.weights:
                raise ModelError(f"{self.source}: node {label!r} reads {name!r}, which nothing before it produces")
            self.values[name] = tensor_values(self.weights[name])
        return self.values[name]

    def _with_softmax_applied(
        self, proto: onnx.NodeProto, node: OnnxNode, later: Collection[str] = AFTER_SOFTMAX
    ) -> OnnxNode:
        """The node, reading what a softmax that is no output gives: computed once, for all its readers.

        later: operators behind which it may still be left to the host.
        """
        if any(isinstance(o, Tensor) and o.border for o in node.operands) and node.op not in ("MaxPool", "Identity"):
            raise Unsupported("a map padded with minus infinity; only a MaxPool can read that")
        if node.op in later:
            return node
        for name in proto.input:
            found = self.values.get(name)
            if not isinstance(found, Tensor) or found.softmax is None:
                continue
            inner = found.softmax
            try:
                self.values[name] = lower_attention.applied_softmax(self.builder, found)
            except (Unsupported, LayoutError) as error:
                self.offenders.setdefault(inner.node, Offender(inner.node, inner.op, inner.opset, str(error)))
                self.values[name] = replace(found, softmax=None)
        return replace(node, operands=tuple(self.values[name] if name else None for name in proto.input))

    def _stand_in(self, name: str) -> None:
        """A placeholder of the inferred shape, so that the nodes behind an offender are examined too."""
        if self.inferred is None:
            self.inferred = static_shapes(self.model)
        shape = self.inferred.get(name, ())
        if len(shape) not in (2, 4) or shape[0] != 1 or min(shape) < 1 or math.prod(shape) > LARGEST_MAP:
            self.unknown.add(name)
            return
        height, width = shape[2:] or (1, 1)
        try:
            index = self.builder.emit(name, Input(shape), (), (shape[1], height, width))
        except BadShape:  # the offender stands anyway
            self.unknown.add(name)
            return
        self.values[name] = of_map(index, shape[1], height, width, "nchw"[: len(shape)])
        self.unknown.discard(name)

    def graph(self, name: str) -> Graph:
        """The graph of everything added."""
        outputs, left_out = [], ""
        for value in self.model.graph.output:
            found = self.values.get(value.name)
            if isinstance(found, Tensor):
                try:
                    outputs.append(describe_output(value.name, found, self.builder))
                except LayoutError as error:
                    self.offenders.setdefault(value.name, Offender(value.name, "output", self.opset, str(error)))
            elif self._is_constant(value.name):
                left_out = value.name
                self.builder.notes.append(f"output {left_out!r} left out: it is a constant")
            elif value.name not in self.unknown:
                raise ModelError(f"{self.source}: output {value.name!r} is produced by no node")
        if left_out and not outputs and not self.offenders:
            raise ModelError(f"{self.source}: output {left_out!r} is a constant: nothing to compile")
        if self.offenders:
            raise UnsupportedOp(self.source, tuple(self.offenders.values()), _LEFT_TO_THE_HOST)
        return Graph(
            name=name, nodes=tuple(self.builder.nodes), outputs=tuple(outputs), notes=tuple(self.builder.notes)
        )
