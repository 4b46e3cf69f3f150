"""A pass of one's own: average pooling on crossbars instead of the vector unit, proven and timed."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import pimcomp
from pimcomp.compile import compile_network
from pimcomp.emit.outputs import emit
from pimcomp.ir.graph import Conv, Graph, Node, Pool
from pimcomp.proof.executed import verify_program
from pimcomp.schedule import ScheduleOptions
from solvers import get_solver


def pool_on_crossbars(graph: Graph) -> Graph:
    """The graph with average pools as depthwise convolutions whose weights are all 1 / taps."""
    return replace(graph, nodes=tuple(_convolved(node) for node in graph.nodes))


def _convolved(node: Node) -> Node:
    pool = node.operation
    if not isinstance(pool, Pool) or pool.method != "avg" or any(pool.window.pads):
        return node
    kernel = pool.window.kernel
    weights = np.full((node.channels, 1, *kernel), 1 / (kernel[0] * kernel[1]), np.float32)
    return replace(node, operation=Conv(window=pool.window, weights=weights, groups=node.channels))


if __name__ == "__main__":
    network, chip = pimcomp.load_network("digits_resnet8"), pimcomp.load_arch("pimcomp_default")
    options = ScheduleOptions(vector_depthwise=False)  # or the compiler may move the pools back
    for place, graph in (("vector unit", network.graph), ("crossbars", pool_on_crossbars(network.graph))):
        compiled = compile_network(graph, chip, get_solver("auto"), options=options)
        with tempfile.TemporaryDirectory() as folder:
            emit(compiled, Path(folder) / "program")
            passed = verify_program(Path(folder) / "program", network).passed  # against the network as it was
        crossbars = compiled.outcome.plan.crossbars_used(compiled.problem)
        latency_us = compiled.timing.latency_ns / 1e3
        print(f"pools on the {place}: {latency_us:.1f} us, {crossbars} crossbars, {'verified' if passed else 'wrong'}")
