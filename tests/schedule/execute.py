"""Compile, write, read back and execute: what the emitted files compute."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pimcomp.compile import compile_network
from pimcomp.emit.decode import decode_program, read_memory
from pimcomp.emit.memory_npz import write_memory
from pimcomp.emit.pimsim import write_program
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph, Input
from pimcomp.ir.plan import Pipeline, Solver
from pimcomp.proof.interpret.run import execute, prepare
from pimcomp.schedule import ScheduleOptions
from tests.graph_oracle import evaluate

ROUNDS = 2

Values = dict[str, npt.NDArray[np.float64]]


def compiled_files(
    graph: Graph, arch: Arch, solver: Solver, pipeline: Pipeline, options: ScheduleOptions, folder: Path
) -> Compiled:
    """Compile and write program.gz and memory.npz."""
    compiled = compile_network(graph, arch, solver, pipeline=pipeline, options=options)
    write_program(compiled.program, arch, folder / "program.gz")
    write_memory(compiled.program, folder / "memory.npz")
    return compiled


def largest_error(graph: Graph, folder: Path, images: int, seed: int = 0) -> float:
    """Largest difference to the oracle over all outputs, images and rounds, relative to each output's largest value."""
    memory = read_memory(folder / "memory.npz")
    delay = memory.output_round_delay
    prepared = prepare(decode_program(folder / "program.gz"), memory, rounds=ROUNDS + delay)
    rng = np.random.default_rng(seed)
    feed, cases = {}, [dict[str, npt.NDArray[np.float64]]() for _ in range(ROUNDS * images)]
    for node in graph.nodes:
        if isinstance(node.operation, Input):
            shape = (1, ROUNDS + delay, images, *node.operation.onnx_shape)
            values = rng.standard_normal(shape).astype(np.float32)
            feed[node.name] = values if images > 1 else values[:, :, 0]
            for i, case in enumerate(cases):
                case[node.name] = values[0, i // images, i % images].astype(np.float64)
    outputs = execute(prepared, feed).outputs
    worst = 0.0
    for i, case in enumerate(cases):
        _, expected = evaluate(graph, case)
        for name, want in expected.items():
            got = outputs[name][0, i // images + delay]
            got = got[i % images] if images > 1 else got
            worst = max(worst, float(np.abs(got - want).max() / max(np.abs(want).max(), 1.0)))
    return worst
