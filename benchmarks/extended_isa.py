"""What transformers would gain if the vector unit had instructions for what is now made of many: timeline only.

    python benchmarks/extended_isa.py bert_tiny vit_tiny

A network is compiled for pimcomp_default as always. Then, in the same order of the same program, every softmax of some
pixels becomes one instruction over them, every GELU of a piece of a pixel one, and the iteration behind a normalisation
one reciprocal root; each takes as long as a `vsigm` of that length, or of one element per pixel. Inner products stay.
Such a program cannot be executed: no simulator has these instructions.
"""

import sys

import numpy as np

from pimcomp.compile import compile_network
from pimcomp.config import read_arch
from pimcomp.frontend import load_network
from pimcomp.ir.graph import Graph, Normalise, Softmax, Standalone
from pimcomp.ir.program import Op
from pimcomp.isa.table import UNIT, VECTOR
from pimcomp.schedule.constants import ITERATED_PIXELS
from pimcomp.timeline.timing import time_stream
from pimcomp.timeline.work import Instructions, stream_of
from solvers import get_solver

CHIP, SOLVER, WEIGHTS = "pimcomp_default", "stream", "random:0"


def shortened(stream: Instructions, graph: Graph, node: np.ndarray, kinds: tuple[str, ...]) -> Instructions:
    """The stream without what one instruction of these kinds stands for: "softmax", "gelu", "root"."""
    operations = [n.operation for n in graph.nodes]
    softmax = np.array([isinstance(o, Softmax) for o in operations])[node]
    root = np.array([isinstance(o, Normalise) for o in operations])[node]
    gelu = np.array(
        [isinstance(o, Standalone) and graph.nodes[i].activation is not None for i, o in enumerate(operations)]
    )
    vector = UNIT[stream.op] == VECTOR
    one = vector & (stream.op == Op.VSIGM)
    kept = np.ones(len(stream.op), dtype=bool)
    if "softmax" in kinds:
        kept &= ~(softmax & vector) | one
    if "gelu" in kinds:
        kept &= ~(gelu[node] & vector) | one
    if (
        "root" in kinds
    ):  # of the steps over the numbers of some pixels the first, which makes the argument, and the last
        step = root & vector & (stream.size <= ITERATED_PIXELS) & np.isin(stream.op, [Op.VMV, Op.VVMUL, Op.VVSUB])
        follows = np.concatenate([[False], step[:-1]]) & step
        kept &= ~follows
    start = np.concatenate([[0], np.cumsum(kept)])[stream.core_start]
    columns = {
        name: value[kept]
        for name, value in stream._asdict().items()
        if isinstance(value, np.ndarray) and len(value) == len(kept) and name not in ("core_start", "tail_bubbles")
    }
    return stream._replace(core_start=start, **columns)


def main(names: list[str]) -> None:
    """A line per network and set of instructions."""
    arch = read_arch(CHIP)[0]
    for name in names:
        compiled = compile_network(load_network(name, weights=WEIGHTS).graph, arch, get_solver(SOLVER))
        stream, node = stream_of(compiled.program, arch), compiled.program.table.node
        for kinds in ((), ("softmax",), ("gelu",), ("root",), ("softmax", "gelu", "root")):
            timing = time_stream(shortened(stream, compiled.graph, node, kinds), arch)
            print(f"{name:12} {' + '.join(kinds) or 'as it is':24} {timing.latency_ns / 1e6:.3f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
