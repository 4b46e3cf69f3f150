"""The invariants of a Graph, executable: shapes follow from operations, views point backwards and inside."""

from pimcomp.errors import InvariantError
from pimcomp.frontend.rewrite.rewire import sources
from pimcomp.ir.graph import Conv, Crop, Eltwise, Graph, Input, Lrn, Node, Pick, Pool, Standalone, View, Window

Shape = tuple[int, int, int]


def check_graph(graph: Graph) -> None:
    """Raises InvariantError naming the first node or output that contradicts its inputs."""
    for index, node in enumerate(graph.nodes):
        problem = _views(graph, node.inputs, index) or _problem(graph, node)
        if problem:
            raise InvariantError(f"{graph.name}: node {index} ({node.name}): {problem}")
    for output in graph.outputs:
        problem = _views(graph, (output.view,), len(graph.nodes))
        if problem:
            raise InvariantError(f"{graph.name}: output {output.name}: {problem}")


def _views(graph: Graph, views: tuple[View, ...], end: int) -> str:
    for view in views:
        if len(view.sources) == 0 or len(view.sources) != len(view.channels):
            return f"a view of {len(view.sources)} sources and {len(view.channels)} channels"
        read = sources(view)
        if read[0] < 0 or read[-1] >= end:
            return f"reads node {read[-1] if read[-1] >= end else read[0]}, which does not come before it"
        if len({(graph.nodes[source].height, graph.nodes[source].width) for source in read}) > 1:
            return f"reads maps of different sizes: nodes {read}"
        for source in read:
            channels = view.channels[view.sources == source]
            if channels.min() < 0 or channels.max() >= graph.nodes[source].channels:
                return f"reads channels {channels.min()} to {channels.max()} of node {source}"
    return ""


def view_shape(graph: Graph, view: View) -> Shape:
    """(channels, height, width) of what a view gathers."""
    first = graph.nodes[int(view.sources[0])]
    return len(view.channels), first.height, first.width


def _problem(graph: Graph, node: Node) -> str:
    found = (node.channels, node.height, node.width)
    shapes = [view_shape(graph, view) for view in node.inputs]
    operation = node.operation
    arity = 0 if isinstance(operation, Input) else 1
    if isinstance(operation, Eltwise):
        if len(shapes) < 2 or (operation.operation == "sub" and len(shapes) > 2):
            return f"{operation.operation} of {len(shapes)} operands"
        expected = (shapes[0][0], max(s[1] for s in shapes), max(s[2] for s in shapes))
        if any(shape not in (expected, (expected[0], 1, 1)) for shape in shapes):
            return f"operands of shapes {shapes}"
    elif len(shapes) != arity:
        return f"{type(operation).__name__} with {len(shapes)} operands"
    elif isinstance(operation, Input):
        expected = found
    elif isinstance(operation, Conv):
        wrong = _conv(operation, shapes[0])
        if wrong:
            return wrong
        expected = (len(operation.weights), *_windows(operation.window, shapes[0]))
    elif isinstance(operation, Pool):
        expected = (shapes[0][0], *_windows(operation.window, shapes[0]))
    else:
        expected = shapes[0]
        if isinstance(operation, Crop):
            expected = (shapes[0][0], *found[1:])
        elif isinstance(operation, Pick):
            expected = (shapes[0][0], len(operation.rows), len(operation.columns))
            for chosen, size in zip((operation.rows, operation.columns), shapes[0][1:], strict=True):
                if min(chosen) < -1 or max(chosen) >= size:
                    return f"picks {min(chosen)} to {max(chosen)} out of {size}"
    if isinstance(operation, Standalone | Lrn) and found != shapes[0]:
        return f"shape {found}, its input is {shapes[0]}"
    return "" if found == expected and min(found) > 0 else f"shape {found}, expected {expected}"


def _conv(conv: Conv, shape: Shape) -> str:
    outs, per_group, *kernel = conv.weights.shape
    if tuple(kernel) != conv.window.kernel or per_group * conv.groups != shape[0] or outs % conv.groups:
        return f"weights of shape {conv.weights.shape} in {conv.groups} groups for an input of shape {shape}"
    if conv.bias is not None and conv.bias.shape != (outs,):
        return f"a bias of shape {conv.bias.shape} for {outs} channels"
    return ""


def _windows(window: Window, shape: Shape) -> tuple[int, int]:
    top, left, bottom, right = window.pads
    rows, columns = (
        (size + pads - (kernel - 1) * dilation - 1) // stride + 1
        for size, pads, kernel, dilation, stride in zip(
            shape[1:], (top + bottom, left + right), window.kernel, window.dilation, window.stride, strict=True
        )
    )
    return rows, columns
