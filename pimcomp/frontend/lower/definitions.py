"""Operators that are lowered as what they are defined by: ONNX's own function bodies, and those of ONNX Runtime's fused
transformer operators, written here in ONNX's text form."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import TensorProto, helper, numpy_helper

from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode, Unsupported
from pimcomp.frontend.lower.tensor import Tensor

DEFINED = frozenset({"Attention", "CenterCropPad", "Einsum"})  # by ONNX, in operators that are lowered
BODY_OPSET = 23  # whose operators the bodies are made of, in a network of any opset up to it

# Inputs that a body does not read, and attributes that it does not declare, are refused where they are given.
_TEXTS = """
SimplifiedLayerNormalization <axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1> (x, scale) => (y)
{ y = RMSNormalization <axis: int = @axis, epsilon: float = @epsilon> (x, scale) }

SkipLayerNormalization <epsilon: float = 1e-12> (x, skip, scale, shift, bias) => (y, mean, deviation, sum)
{
  sum = Sum (x, skip, bias)
  y = LayerNormalization <axis = -1, epsilon: float = @epsilon> (sum, scale, shift)
}

SkipSimplifiedLayerNormalization <epsilon: float = 1e-5> (x, skip, scale, bias) => (y, mean, deviation, sum)
{
  sum = Sum (x, skip, bias)
  y = RMSNormalization <axis = -1, epsilon: float = @epsilon> (sum, scale)
}

Gelu (x) => (y)
{ y = Gelu (x) }

BiasGelu (x, bias) => (y)
{ sum = Sum (x, bias)  y = Gelu (sum) }

FastGelu (x, bias) => (y)
{ sum = Sum (x, bias)  y = Gelu <approximate = "tanh"> (sum) }

QuickGelu <alpha: float = 1.702> (x) => (y)
{ y = Swish <alpha: float = @alpha> (x) }

Attention <num_heads, scale, unidirectional: int = 0, mask_filter_value> (x, weights, bias, mask, past, added) => (y)
{
  product = MatMul (x, weights)
  sum = Sum (product, bias)
  q, k, v = Split <axis = -1, num_outputs = 3> (sum)
  y = Attention <q_num_heads: int = @num_heads, kv_num_heads: int = @num_heads, scale: float = @scale,
                 is_causal: int = @unidirectional> (q, k, v, added)
}

MultiHeadAttention <num_heads, scale, unidirectional: int = 0, mask_filter_value> (q, k, v, bias, mask, added) => (y)
{
  b, c, d = Split <axis = 0, num_outputs = 3> (bias)
  s = Sum (q, b)
  t = Sum (k, c)
  u = Sum (v, d)
  y = Attention <q_num_heads: int = @num_heads, kv_num_heads: int = @num_heads, scale: float = @scale,
                 is_causal: int = @unidirectional> (s, t, u, added)
}
"""
_WRITTEN = {
    found.name: found
    for text in _TEXTS.strip().split("\n\n")
    for found in [onnx.parser.parse_function(f'<domain: "com.microsoft", opset_import: ["" : {BODY_OPSET}]>\n{text}')]
}


def is_defined(proto: onnx.NodeProto) -> bool:
    """Whether an operator is lowered as its definition."""
    return _defined_by_onnx(proto) or _written_here(proto)


def _defined_by_onnx(proto: onnx.NodeProto) -> bool:
    return proto.domain in ("", "ai.onnx") and proto.op_type in DEFINED


def _written_here(proto: onnx.NodeProto) -> bool:
    in_onnx = proto.domain in ("", "ai.onnx") and proto.op_type == "SimplifiedLayerNormalization"
    return in_onnx or (proto.domain == "com.microsoft" and proto.op_type in _WRITTEN)


def definition(proto: onnx.NodeProto, node: OnnxNode) -> list[onnx.NodeProto]:
    """The nodes that a node stands for; it gives the node's own outputs.

    node: the same node with its operands, whose shapes may decide. Raises Unsupported.
    """
    if proto.op_type == "Einsum":
        return _contraction(proto, node)
    body = _onnx_body(proto, node) if _defined_by_onnx(proto) else _WRITTEN[proto.op_type]
    given = {attribute.name: attribute for attribute in proto.attribute}
    declared = {attribute.name: attribute for attribute in body.attribute_proto}
    unread = [name for name in given if name not in declared and name not in body.attribute]
    read = {name for inner in body.node for name in inner.input}
    names = dict(zip(body.input, proto.input))
    unread += [f"input {place!r}" for place, name in names.items() if name and place not in read]
    unread += [f"input {place}" for place in range(len(body.input), len(proto.input)) if proto.input[place]]
    if unread:
        raise Unsupported(f"{', '.join(unread)} of {proto.op_type}")
    names = {name: names.get(name, "") for name in body.input} | dict(zip(body.output, proto.output))
    return list(_renamed(body.node, names, node.name, declared | given))


def _contraction(proto: onnx.NodeProto, node: OnnxNode) -> list[onnx.NodeProto]:
    """An Einsum of two operands as MatMul between rearrangements.

    What comes first in the result is of the left factor: its rows are the result's rows.
    """
    equation = node.text("equation", "").replace(" ", "")
    terms, _, result = equation.partition("->")
    left, _, right = terms.partition(",")
    result = result or "".join(sorted(k for k in set(left + right) if (left + right).count(k) == 1))
    alone = set(left) ^ set(right)
    if len(node.operands) != 2 or not equation.replace(",", "").replace("->", "").isalpha() or not alone <= set(result):
        raise Unsupported(f"the equation {equation!r}: products of two operands are supported")
    if any(len(set(term)) < len(term) for term in (left, right, result)):
        raise Unsupported(f"the equation {equation!r} takes a diagonal")
    shapes = [node.operand(place).shape for place in (0, 1)]
    if (len(left), len(right)) != (len(shapes[0]), len(shapes[1])):
        raise BadShape(f"the equation {equation!r} for operands of {list(shapes[0])} and {list(shapes[1])}")
    size = {k: n for term, shape in zip((left, right), shapes) for k, n in zip(term, shape)}
    if not result or any(size[k] != n for term, shape in zip((left, right), shapes) for k, n in zip(term, shape)):
        raise Unsupported(f"the equation {equation!r} gives a number, or repeats an operand")
    names = list(proto.input)
    if next((k in right for k in result if k in alone), False):
        left, right, names = right, left, names[::-1]
    shared = [k for k in result if k not in alone]
    inner = [k for k in left if k in right and k not in result]
    rows, columns = ([k for k in result if k in alone and k in term] for term in (left, right))
    nodes: list[onnx.NodeProto] = []

    def add(operator: str, inputs: list[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"{node.name}/{len(nodes)}"], **attributes))
        nodes[-1].name = f"{node.name}/{operator}"
        return str(nodes[-1].output[0])

    def shaped(name: str, *groups: list[str]) -> str:
        merged = [size[k] for k in groups[0]] + [math.prod(size[k] for k in group) for group in groups[1:]]
        return add("Reshape", [name, add("Constant", [], value=numpy_helper.from_array(np.array(merged, np.int64)))])

    factors = []
    for name, term, order in ((names[0], left, (rows, inner)), (names[1], right, (inner, columns))):
        turned = add("Transpose", [name], perm=[term.index(k) for k in (*shared, *order[0], *order[1])])
        factors.append(shaped(turned, shared, *order))
    product = shaped(add("MatMul", factors), [*shared, *rows, *columns])
    add("Transpose", [product], perm=[[*shared, *rows, *columns].index(k) for k in result])
    nodes[-1].output[0] = proto.output[0]
    return nodes


def _renamed(
    nodes: Iterable[onnx.NodeProto], names: dict[str, str], stem: str, attributes: Mapping[str, onnx.AttributeProto]
) -> Iterable[onnx.NodeProto]:
    """Nodes of a body with names that are the caller's. What only reads operands that are left out is left out."""
    for inner in nodes:
        if inner.input and not any(names[name] for name in inner.input):
            names.update(dict.fromkeys(inner.output, ""))
            continue
        for name in inner.output:
            if not names.get(name):
                names[name] = f"{stem}/{name}"
        found = onnx.NodeProto(op_type=inner.op_type, domain=inner.domain, name=f"{stem}/{inner.op_type}")
        found.input.extend(names[name] if name else "" for name in inner.input)
        found.output.extend(names[name] for name in inner.output)
        for attribute in inner.attribute:
            if not attribute.ref_attr_name:
                found.attribute.append(attribute)
            elif attribute.ref_attr_name in attributes:
                found.attribute.append(attributes[attribute.ref_attr_name])
                found.attribute[-1].name = attribute.name
        yield found


def _onnx_body(proto: onnx.NodeProto, node: OnnxNode) -> onnx.FunctionProto:
    """The definition of attention, which depends on its attributes and the shapes of its operands."""
    types = []
    for operand in node.operands:
        if operand is None:
            types.append(b"")
            continue
        kind = TensorProto.FLOAT if isinstance(operand, Tensor) else helper.np_dtype_to_tensor_dtype(operand.dtype)
        types.append(helper.make_tensor_type_proto(kind, operand.shape).SerializeToString())
    schema: Any = onnx.defs.get_schema(proto.op_type, max(node.opset, BODY_OPSET))
    body = onnx.FunctionProto()
    body.ParseFromString(schema.get_context_dependent_function(proto.SerializeToString(), types))
    return body
