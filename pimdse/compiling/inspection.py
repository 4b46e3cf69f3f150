"""`pimdse inspect`: a network's feature maps and, on a chip, the crossbars and firings of its layers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console

from pimcomp.config import read_arch
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Graph, Node
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.bounds import bounds
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.schedule import ScheduleOptions
from pimdse.compiling.summary import clipping_text
from pimdse.display.output import Output, plain, wide_table
from pimdse.display.units import share_text, time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLine:
    """One feature map: what produces it, its shape (channels, height, width), parameters and multiplications."""

    index: int
    name: str
    operation: str
    inputs: tuple[int, ...]
    shape: tuple[int, int, int]
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLine:
    """One weighted layer on a chip, unfolded as one of its options: what one replica takes and does per inference.

    firings: per array group. work_ns: issue time over all cores together.
    """

    name: str
    block: int
    array_groups: int
    crossbars: int
    firings: int
    work_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOnChip:
    """A network on a chip: its layers, and proven lower bounds of any program's latency and period per image."""

    layers: tuple[LayerLine, ...]
    bound_ns: float
    bound_period_ns: float


def show_network(output: Output, model: str, weights: str | None, arch: str | None) -> None:
    """Show a network and, with a chip, what its layers take there.

    Raises ModelError, UnsupportedOp, ConfigError.
    """
    graph = load_network(model, weights=weights).graph
    nodes = [node_line(i, node) for i, node in enumerate(graph.nodes)]
    chip = read_arch(arch)[0] if arch is not None else None
    use = on_chip(graph, chip) if chip is not None else None
    data: dict[str, object] = {
        "name": graph.name,
        "nodes": [asdict(n) for n in nodes],
        "outputs": [{"name": o.name, "shape": list(o.onnx_shape), "host": o.epilogue} for o in graph.outputs],
        "parameters": sum(n.parameters for n in nodes),
        "macs": sum(n.macs for n in nodes),
        "notes": list(graph.notes),
    }
    if chip is not None and use is not None:
        data |= {"arch": chip.name, "crossbars": chip.crossbars, **asdict(use)}
        data |= {"adc_bits": chip.adc_resolution, "adc_bits_needed": chip.adc_bits_needed}

    def render(console: Console) -> None:
        _render_nodes(console, graph, nodes)
        if chip is not None and use is not None:
            _render_layers(console, chip, use)

    output.show(data, render)


def node_line(index: int, node: Node) -> NodeLine:
    """A node as one line."""
    parameters = macs = 0
    if isinstance(node.operation, Conv):
        bias = node.operation.bias
        parameters = node.operation.weights.size + (bias.size if bias is not None else 0)
        macs = node.operation.weights.size * node.height * node.width
    sources = sorted({int(s) for view in node.inputs for s in view.sources})
    return NodeLine(
        index=index,
        name=node.name,
        operation=operation_text(node),
        inputs=tuple(sources),
        shape=(node.channels, node.height, node.width),
        parameters=parameters,
        macs=macs,
    )


def operation_text(node: Node) -> str:
    """What a node does, in a few words: "conv 3x3 /2 + relu"."""
    operation = node.operation
    words = [type(operation).__name__.lower()]
    window = getattr(operation, "window", None)
    if window is not None:
        words.append(f"{window.kernel[0]}x{window.kernel[1]}")
        if window.stride != (1, 1):
            words.append(f"/{window.stride[0]}" if window.stride[0] == window.stride[1] else f"/{window.stride}")
    if (groups := getattr(operation, "groups", 1)) > 1:
        words.append(f"{groups} groups")
    words += [str(getattr(operation, field)) for field in ("method", "operation") if hasattr(operation, field)]
    if node.activation is not None:
        words.append(f"+ {node.activation.kind}")
    return " ".join(words)


def on_chip(graph: Graph, arch: Arch) -> NetworkOnChip:
    """The plain unfolding of every weighted layer on a chip, and what is proven for all unfoldings."""
    graph = rewrite(graph, arch, ScheduleOptions())
    parts = partition(graph, arch)
    problem = build_problem(graph, arch, parts, Pipeline.ELEMENT)
    lines = []
    for layer in problem.layers:
        option = layer.options[0]
        lines.append(
            LayerLine(
                name=layer.name,
                block=option.unfolding.block,
                array_groups=len(option.ag_crossbars),
                crossbars=option.crossbars,
                firings=option.firings,
                work_ns=option.work_ns,
            )
        )
    least = bounds(graph, arch, parts)
    return NetworkOnChip(layers=tuple(lines), bound_ns=float(least.latency_ns), bound_period_ns=float(least.period_ns))


def _render_nodes(console: Console, graph: Graph, nodes: Sequence[NodeLine]) -> None:
    header = ("#", "node", "operation", "from", "shape", "parameters", "MACs")
    rows = [
        (
            str(n.index),
            n.name,
            n.operation,
            " ".join(map(str, n.inputs)),
            "x".join(map(str, n.shape)),
            f"{n.parameters:,}" if n.parameters else "",
            f"{n.macs:,}" if n.macs else "",
        )
        for n in nodes
    ]
    wide_table(console, header, rows, numeric=("#", "shape", "parameters", "MACs"))
    total, macs = sum(n.parameters for n in nodes), sum(n.macs for n in nodes)
    outputs = ", ".join(
        f"{o.name} {list(o.onnx_shape)}" + (f" ({o.epilogue} on the host)" if o.epilogue else "") for o in graph.outputs
    )
    plain(console, f"{graph.name}: {total:,} parameters, {macs:,} MACs; outputs: {outputs}")
    for note in graph.notes:
        plain(console, f"note: {note}", "yellow")


def _render_layers(console: Console, arch: Arch, use: NetworkOnChip) -> None:
    header = ("layer", "array groups", "crossbars", "firings", "issue time")
    rows = [(x.name, str(x.array_groups), str(x.crossbars), f"{x.firings:,}", time_text(x.work_ns)) for x in use.layers]
    console.print()
    wide_table(console, header, rows, numeric=header[1:])
    need = sum(x.crossbars for x in use.layers)
    work = sum(x.work_ns for x in use.layers)
    plain(
        console,
        f"on {arch.name}: one replica of every layer takes {need:,} of {arch.crossbars:,} crossbars "
        f"({share_text(need, arch.crossbars)}) and {time_text(work)} of issue time, shared by up to {arch.total_cores} "
        "cores; window blocks and scattering, which the solvers may choose, take other numbers",
    )
    plain(
        console,
        f"bound: no program that the compiler can make here, with default options, takes less than "
        f"{time_text(use.bound_ns)} for an image or {time_text(use.bound_period_ns)} per image in steady state",
    )
    if arch.clips:
        plain(console, f"converters: {clipping_text(arch.adc_resolution, arch.adc_bits_needed)}", "yellow")
