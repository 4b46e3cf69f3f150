"""Everything a solver needs to know about a network on a chip, as plain numbers."""

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import LayerMatrix, Partition
from pimcomp.ir.graph import Conv, Graph, Input, Node, View, vector_passes
from pimcomp.ir.plan import Layer, LayerOption, MappingProblem, Pipeline
from pimcomp.plan.partition import firings

# At rob_size 1 an instruction costs its unit time plus 2 cycles (mvmul: 3), and about one `sldi` per changed operand
# (docs/timing.md): added to every instruction that a closed form counts.
OVERHEAD_CYCLES = 4


def build_problem(graph: Graph, arch: Arch, partition: Partition, pipeline: Pipeline) -> MappingProblem:
    """The replication and core mapping problem of a network on a chip."""
    weighted = {node: k for k, node in enumerate(partition.nodes)}
    depends = _weighted_ancestors(graph, weighted)
    layers = []
    for node_index, matrices in zip(partition.nodes, partition.options, strict=True):
        node = graph.nodes[node_index]
        layers.append(
            Layer(
                name=node.name,
                windows=node.height * node.width,
                out_height=node.height,
                out_width=node.width,
                output_bytes=node.channels * arch.element_bytes,
                fully_connected=node.height * node.width == 1,
                options=tuple(layer_option(graph, arch, matrix) for matrix in matrices),
                depends=depends[node_index],
                join_ns=_join_ns(arch, node.channels),
            )
        )
    return MappingProblem(
        name=f"{graph.name} on {arch.name}",
        pipeline=pipeline,
        cores=arch.total_cores,
        crossbars_per_core=arch.crossbars_per_core,
        rob_size=arch.rob_size,
        layers=tuple(layers),
        vector_work_ns=sum(_vector_work_ns(graph, arch, index) for index in range(len(graph.nodes))),
        hops_ns=arch.noc_latency_ns[:-1, :-1],
        load_ns=sum(_load_ns(arch, node) for node in graph.nodes if isinstance(node.operation, Input)),
    )


def copy_pieces(graph: Graph, matrix: LayerMatrix) -> np.ndarray:
    """Row indices where a new contiguous run of the feature map begins (0 included): int64[runs]."""
    channels = np.array([node.channels for node in graph.nodes])
    linear = matrix.row_dx.astype(np.int64) * channels[matrix.row_source] + matrix.row_channel
    breaks = (np.diff(linear) != 1) | (np.diff(matrix.row_dy) != 0) | (np.diff(matrix.row_source) != 0)
    return np.concatenate([[0], np.flatnonzero(breaks) + 1])


def layer_option(graph: Graph, arch: Arch, matrix: LayerMatrix) -> LayerOption:
    """One unfolding as a solver sees it."""
    overhead = OVERHEAD_CYCLES * arch.core_period_ns
    outputs = matrix.columns
    starts = copy_pieces(graph, matrix)
    lengths = np.diff(np.append(starts, matrix.rows)) * arch.element_bytes
    copies = 0.0
    if len(starts) > 1 or matrix.rows > arch.crossbar_rows:
        copies = sum(arch.local_read_ns(int(n)) + arch.local_write_ns(int(n)) + overhead for n in lengths)
    adds = sum(arch.vector_ns(group.columns, 2) + overhead for group in matrix.groups[1:])
    scatter = matrix.unfolding.scatter
    if scatter:  # every MVM's contributions are added per kernel row
        conv = graph.nodes[matrix.node].operation
        assert isinstance(conv, Conv)
        kernel_rows = conv.window.kernel[0]
        adds = len(matrix.groups) * kernel_rows * (arch.vector_ns(matrix.columns // kernel_rows, 2) + overhead)
        outputs = scatter * graph.nodes[matrix.node].channels
    finish = arch.vector_ns(outputs, 2) + arch.vector_ns(outputs, 1) + 2 * overhead
    return LayerOption(
        unfolding=matrix.unfolding,
        firings=firings(graph, matrix),
        ag_crossbars=np.array([g.crossbars for g in matrix.groups], dtype=np.int32),
        mvm_ns=np.array([arch.mvm_ns(g.crossbars) + overhead for g in matrix.groups]),
        vector_ns=copies + adds + finish,
    )


def _join_ns(arch: Arch, channels: int) -> float:
    """Partial sums of one output position: two handshakes, the flits, both memories' ports, the addition."""
    size = channels * arch.element_bytes
    hop_ns = float(arch.noc_latency_ns[:-1, :-1].mean())
    message_ns = (2 - (-size // arch.bus_width_bytes)) * hop_ns + arch.local_read_ns(size) + arch.local_write_ns(size)
    return message_ns + arch.vector_ns(channels, 2) + 3 * OVERHEAD_CYCLES * arch.core_period_ns


def _load_ns(arch: Arch, node: Node) -> float:
    """Service time of an input map at the global memory, one request per row."""
    beats = -(-node.width * node.channels * arch.element_bytes // arch.global_width_bytes)
    return node.height * beats * arch.global_read_cycles * arch.global_period_ns


def _sources(view: View) -> list[int]:
    return [int(s) for s in np.unique(view.sources)]


def _weighted_ancestors(graph: Graph, weighted: dict[int, int]) -> list[tuple[int, ...]]:
    """Per node: the weighted layers (by k) it depends on without another weighted layer between."""
    result: list[tuple[int, ...]] = []
    for node in graph.nodes:
        found: set[int] = set()
        for view in node.inputs:
            for source in _sources(view):
                found |= {weighted[source]} if source in weighted else set(result[source])
        result.append(tuple(sorted(found)))
    return result


def _vector_work_ns(graph: Graph, arch: Arch, index: int) -> float:
    """Issue time of a node that is not a layer: one vector instruction per row-segment-sized piece of work."""
    node = graph.nodes[index]
    one = arch.vector_ns(node.channels, 2) + OVERHEAD_CYCLES * arch.core_period_ns
    return node.height * node.width * vector_passes(node) * one
