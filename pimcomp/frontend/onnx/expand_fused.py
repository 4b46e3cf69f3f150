"""ModelProto pass: onnxruntime's own FusedConv and FusedGemm as the layer, sum and activation that they stand for."""

import onnx
from onnx import helper

# The names of parameters in `activation_params`, in their order, by the activation.
_PARAMETERS = {
    **{"Relu": (), "Tanh": (), "Sigmoid": ()},
    **{"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Clip": ("min", "max")},
}


def expand_fused(model: onnx.ModelProto) -> None:
    """Spell out every such node whose activation has an operator of that name, in place; others stay, to be refused."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        kind = attributes["activation"].s.decode(errors="replace") if "activation" in attributes else ""
        if node.domain != "com.microsoft" or node.op_type not in ("FusedConv", "FusedGemm") or kind not in _PARAMETERS:
            nodes.append(node)
            continue
        name = node.output[0]
        plain = [a for key, a in attributes.items() if not key.startswith("activation")]
        nodes.append(helper.make_node(node.op_type[5:], list(node.input[:3]), [f"{name}.layer"], name=node.name))
        nodes[-1].attribute.extend(plain)
        before = f"{name}.layer"
        if len(node.input) > 3 and node.input[3]:
            nodes.append(helper.make_node("Add", [before, node.input[3]], [f"{name}.sum"], name=f"{node.name}.sum"))
            before = f"{name}.sum"
        given = attributes["activation_params"].floats if "activation_params" in attributes else ()
        given = given or [attributes[f"activation_{k}"].f for k in ("alpha", "beta") if f"activation_{k}" in attributes]
        named = dict(zip(_PARAMETERS[kind], given))
        inputs = [before]
        if kind == "Clip":
            for bound, value in named.items():
                inputs.append(f"{name}.{bound}")
                model.graph.initializer.append(helper.make_tensor(inputs[-1], onnx.TensorProto.FLOAT, (), [value]))
            named = {}
        nodes.append(helper.make_node(kind, inputs, [name], name=f"{node.name}.{kind}", **named))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
