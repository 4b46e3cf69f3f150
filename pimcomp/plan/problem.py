"""Everything a solver needs to know about a network on a chip, as plain numbers."""

from itertools import islice, pairwise

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition, Unfolding, Unfoldings
from pimcomp.ir.graph import Graph, Loaded, Node, vector_passes
from pimcomp.ir.plan import Layer, LayerOption, MappingProblem, Pipeline
from pimcomp.plan.unfoldings import sums

# At rob_size 1 an instruction costs its unit time plus 2 cycles (mvmul: 3), and about one `sldi` per changed operand
# (docs/timing.md): added to every instruction that a closed form counts.
PLANNED_OVERHEAD_CYCLES = 4


def build_problem(graph: Graph, arch: Arch, partition: Partition, pipeline: Pipeline) -> MappingProblem:
    """The replication and core mapping problem of a network on a chip."""
    layers, options = [], iter(layer_options(arch, partition.flat))
    hop_ns = float(arch.noc_latency_ns[:-1, :-1].mean())
    for node_index, matrices, depends in zip(partition.nodes, partition.options, partition.depends, strict=True):
        node = graph.nodes[node_index]
        layers.append(
            Layer(
                name=node.name,
                windows=node.height * node.width,
                out_height=node.height,
                out_width=node.width,
                output_bytes=node.channels * arch.element_bytes,
                fully_connected=node.height * node.width == 1,
                options=tuple(islice(options, len(matrices))),
                depends=depends,
                join_ns=_join_ns(arch, node.channels, hop_ns),
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
        load_ns=sum(_load_ns(arch, node) for node in graph.nodes if isinstance(node.operation, Loaded)),
    )


def layer_options(arch: Arch, flat: Unfoldings) -> tuple[LayerOption, ...]:
    """Unfoldings as a solver sees them, one after the other."""
    overhead = PLANNED_OVERHEAD_CYCLES * arch.core_period_ns
    run_bytes, groups = flat.run * arch.element_bytes, np.diff(flat.group_start)
    run_ns = arch.local_read_ns(run_bytes) + arch.local_write_ns(run_bytes) + overhead
    gathered = (np.diff(flat.run_start) > 1) | (flat.rows > arch.crossbar_rows)
    copies_ns = np.where(gathered, sums(run_ns, flat.run_start), 0.0)
    add_ns = arch.vector_ns(flat.group_columns, 2) + overhead
    adds_ns = sums(add_ns, flat.group_start) - add_ns[flat.group_start[:-1]]
    # Scattering: every MVM's contributions are added per kernel row.
    scattered_ns = groups * flat.kernel_rows * (arch.vector_ns(flat.columns // flat.kernel_rows, 2) + overhead)
    scatter = flat.scatter > 0
    outputs = np.where(scatter, flat.scatter * flat.channels, flat.columns)
    finish_ns = arch.vector_ns(outputs, 2) + arch.vector_ns(outputs, 1) + 2 * overhead
    vector_ns = copies_ns + np.where(scatter, scattered_ns, adds_ns) + finish_ns
    mvm_ns = arch.mvm_ns(flat.crossbars, flat.weight_bits, flat.activation_bits) + overhead
    crossbars = flat.crossbars.astype(np.int32)
    return tuple(
        LayerOption(
            unfolding=Unfolding(block, shape),
            firings=firings,
            ag_crossbars=crossbars[start:stop],
            mvm_ns=mvm_ns[start:stop],
            vector_ns=cost_ns,
        )
        for block, shape, firings, cost_ns, (start, stop) in zip(
            flat.block.tolist(),
            flat.scatter.tolist(),
            flat.firings.tolist(),
            vector_ns.tolist(),
            pairwise(flat.group_start.tolist()),
            strict=True,
        )
    )


def _join_ns(arch: Arch, channels: int, hop_ns: float) -> float:
    """Partial sums of one output position: two handshakes, the flits, both memories' ports, the addition."""
    size = channels * arch.element_bytes
    message_ns = (2 - (-size // arch.bus_width_bytes)) * hop_ns + arch.local_read_ns(size) + arch.local_write_ns(size)
    return message_ns + arch.vector_ns(channels, 2) + 3 * PLANNED_OVERHEAD_CYCLES * arch.core_period_ns


def _load_ns(arch: Arch, node: Node) -> float:
    """Service time of an input map at the global memory, one request per row."""
    beats = -(-node.width * node.channels * arch.element_bytes // arch.global_width_bytes)
    return node.height * beats * arch.global_read_cycles * arch.global_period_ns


def _vector_work_ns(graph: Graph, arch: Arch, index: int) -> float:
    """Issue time of a node that is not a layer: one vector instruction per row-segment-sized piece of work."""
    node = graph.nodes[index]
    one = arch.vector_ns(node.channels, 2) + PLANNED_OVERHEAD_CYCLES * arch.core_period_ns
    return node.height * node.width * vector_passes(node) * one
