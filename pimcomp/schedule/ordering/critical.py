"""Which layers the last result waited for: the critical path of an order, by layer."""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.array_group import Partition
from pimcomp.ir.graph import Graph
from pimcomp.plan.rows import sources_of
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.ordering.placing import Placed
from pimcomp.schedule.work import DoubleArray, LongArray


def layer_of_node(graph: Graph, partition: Partition) -> LongArray:
    """int64[nodes]: the weighted layer (by k) that a node is or follows; -1 before the first."""
    weighted = {node: k for k, node in enumerate(partition.nodes)}
    layer = np.full(len(graph.nodes), -1, dtype=np.int64)
    for index, node in enumerate(graph.nodes):
        layer[index] = weighted.get(index, max((int(layer[s]) for s in sources_of(node)), default=-1))
    return layer


def critical_share(flow: Flow, placed: Placed, layer_of_node: LongArray, layers: int) -> DoubleArray:
    """float64[layers]: time between the starts of consecutive actions on the critical path, by the earlier one's layer.

    A message counts for the layer that sends it.
    """
    actions = placed.actions
    task = np.where(actions.flow_action < flow.tasks, actions.flow_action, 0)
    moves = actions.flow_action >= flow.tasks
    task[moves] = flow.transfers.producer[actions.flow_action[moves] - flow.tasks]
    layer = layer_of_node[flow.task.node[task]]
    last = int(placed.timed.order[-1])  # the last to start: near the end, and on no shorter path
    return _walk(placed.timed.cause, placed.timed.start, layer, last, placed.timed.makespan_ns, layers)


@kernel
def _walk(cause: LongArray, start: DoubleArray, layer: LongArray, last: int, end: float, layers: int) -> DoubleArray:
    share = np.zeros(layers)
    a = last
    while a >= 0:
        if layer[a] >= 0:
            share[layer[a]] += end - start[a]
        end = start[a]
        a = cause[a]
    return share
