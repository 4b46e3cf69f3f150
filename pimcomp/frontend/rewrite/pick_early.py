"""Graph pass: what a network picks from a row of tokens is all that is computed.

A classifier on the first token needs of the last block that token's queries, sums and perceptron only. An operation
that computes every pixel from the same pixel of its operands commutes with picking pixels; a product of maps does in
its operand 0.
"""

from dataclasses import replace

import numpy as np

from pimcomp.frontend.rewrite.rewire import resolve
from pimcomp.ir.graph import Conv, Copying, Eltwise, Graph, Node, PerPixel, Pick, Product, View, first_read, whole

Columns = tuple[int, ...]


def pick_early(graph: Graph) -> Graph:
    """The same function; nodes of one row of which everyone reads the same few columns have only those."""
    narrow = _narrow(graph)
    if not narrow:
        return graph
    nodes: list[Node] = []
    where: dict[int, View] = {}  # every node's channels, of the columns that it still has
    picked: dict[tuple[int, Columns], int] = {}

    def taken(view: View, columns: Columns) -> View:
        """These columns of a view."""
        chosen = dict(where)
        for source in view.nodes:
            if source in narrow and not isinstance(graph.nodes[source].operation, Copying):
                continue  # it has these columns alone; of what is picked there, a reader may want fewer
            if (source, columns) not in picked:
                wide = graph.nodes[source]
                picked[source, columns] = len(nodes)
                nodes.append(
                    replace(
                        wide, name=f"{wide.name}.picked{len(picked)}", operation=Pick((0,), columns), activation=None,
                        inputs=(where[source],), width=len(columns),
                    )
                )  # fmt: skip
            chosen[source] = whole(picked[source, columns], graph.nodes[source].channels)
        return resolve(view, chosen)

    for index, node in enumerate(graph.nodes):
        columns = narrow.get(index, ())
        inputs = tuple(
            taken(view, columns) if columns and _follows(graph, index, k) else resolve(view, where)
            for k, view in enumerate(node.inputs)
        )
        if columns and isinstance(node.operation, Copying):
            where[index] = inputs[0]
            continue
        where[index] = whole(len(nodes), node.channels)
        nodes.append(replace(node, inputs=inputs, width=len(columns) or node.width))
    outputs = tuple(replace(output, view=resolve(output.view, where)) for output in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def _narrow(graph: Graph) -> dict[int, Columns]:
    """The columns of a node's map (of a picking node: of its operand's) that are computed, where these are not all."""
    wanted: list[set[Columns]] = [set() for _ in graph.nodes]
    for output in graph.outputs:
        for source in output.view.nodes:
            wanted[source].add(())
    narrow: dict[int, Columns] = {}
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        columns = _picks(graph, node)
        if not columns and len(wanted[index]) == 1 and _commutes(node):
            (columns,) = wanted[index]
        if columns:
            narrow[index] = columns
        for k, view in enumerate(node.inputs):
            for source in view.nodes:
                wanted[source].add(columns if _follows(graph, index, k) else ())
    return narrow if any(not isinstance(graph.nodes[index].operation, Copying) for index in narrow) else {}


def _picks(graph: Graph, node: Node) -> Columns:
    """The columns that a node takes out of a row, none if it does anything else."""
    if not isinstance(node.operation, Copying) or node.activation is not None or node.height != 1:
        return ()
    source = graph.nodes[node.inputs[0].nodes[0]]
    columns = tuple(first_read(node.operation, 1, np.arange(node.width)).tolist())
    inside = min(columns) >= 0 and max(columns) < source.width and first_read(node.operation, 0, np.arange(1))[0] == 0
    return columns if source.height == 1 and len(columns) < source.width and inside else ()


def _commutes(node: Node) -> bool:
    operation = node.operation
    if isinstance(operation, Conv):
        window = operation.window
        return node.height == 1 and window.kernel == window.stride == (1, 1) and not any(window.pads)
    return node.height == 1 and isinstance(operation, Eltwise | PerPixel | Product)


def _follows(graph: Graph, index: int, operand: int) -> bool:
    """Whether an operand's pixels are those of the node: not one that is broadcast, nor the keys of a product."""
    node = graph.nodes[index]
    if isinstance(node.operation, Product):
        return operand == 0
    return isinstance(node.operation, Copying) or graph.nodes[node.inputs[operand].nodes[0]].width == node.width
