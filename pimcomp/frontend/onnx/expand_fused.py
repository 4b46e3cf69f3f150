"""ModelProto pass: onnxruntime's own FusedConv as the convolution, sum and activation that it stands for."""

import onnx
from onnx import helper

# The names of parameters in `activation_params`, in their order, by the activation.
_PARAMETERS = {
    **{"Relu": (), "Tanh": (), "Sigmoid": ()},
    **{"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Clip": ("min", "max")},
}


def expand_fused(model: onnx.ModelProto) -> None:
    """Spell out every FusedConv whose activation has an operator of that name, in place; others stay, to be refused."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        kind = attributes["activation"].s.decode(errors="replace") if "activation" in attributes else ""
        if node.domain != "com.microsoft" or node.op_type != "FusedConv" or kind not in _PARAMETERS:
            nodes.append(node)
            continue
        name = node.output[0]
        plain = [a for key, a in attributes.items() if not key.startswith("activation")]
        nodes.append(helper.make_node("Conv", list(node.input[:3]), [f"{name}.conv"], name=node.name))
        nodes[-1].attribute.extend(plain)
        before = f"{name}.conv"
        if len(node.input) > 3 and node.input[3]:
            nodes.append(helper.make_node("Add", [before, node.input[3]], [f"{name}.sum"], name=f"{node.name}.sum"))
            before = f"{name}.sum"
        given = attributes["activation_params"].floats if "activation_params" in attributes else ()
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
