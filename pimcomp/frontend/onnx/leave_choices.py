"""Outputs that say which element is the largest: the program gives the elements themselves, the host chooses."""

import onnx
from onnx import TensorProto

from pimcomp.frontend.onnx.read import drop_dead_nodes

_CHOICES = frozenset({"ArgMax", "ArgMin", "TopK"})
_PASSING_ON = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})


def leave_choices(model: onnx.ModelProto) -> tuple[str, ...]:
    """Replace outputs that ArgMax, ArgMin or TopK computes by what these read, in place; notes that say so.

    What only renames, casts or reshapes such a result is left to the host with it.
    """
    graph = model.graph
    computed: set[str] = set()
    chosen: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        first = node.input[0] if node.input else ""
        if node.op_type in _CHOICES and not node.domain and first in computed:
            chosen.update(dict.fromkeys(node.output, node))
        elif node.op_type in _PASSING_ON and first in chosen:
            chosen.update(dict.fromkeys(node.output, chosen[first]))
        computed.update(node.output)
    outputs, notes = {value.name: value for value in graph.output}, []
    for name in [name for name in outputs if name in chosen]:
        value, scores = outputs.pop(name), chosen[name].input[0]
        notes.append(
            f"output {name!r} is left to the host: the program gives {scores!r}, what {chosen[name].op_type} reads"
        )
        if scores not in outputs:
            value.name, value.type.tensor_type.elem_type = scores, TensorProto.FLOAT
            outputs[scores] = value
    if notes:
        del graph.output[:]
        graph.output.extend(outputs.values())
        drop_dead_nodes(model)
    return tuple(notes)
