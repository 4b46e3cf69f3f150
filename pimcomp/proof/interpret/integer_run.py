"""Executes a prepared program in the chip's integers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import IntArray
from pimcomp.proof.interpret import integer_kernel
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.integer_kernel import POISON, Scales, Weights
from pimcomp.proof.interpret.moves import BINS
from pimcomp.proof.interpret.resolve import fault
from pimcomp.proof.interpret.run import Prepared, Values, check_written, chunk_lanes, gather, no_probes, poisoned
from pimcomp.proof.interpret.world import scatter


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegerProgram:
    """What integers a program works with: q stands for q * 2 ** exponent.

    input_exponent, output_exponent: int32 per place (`Prepared.inputs`, `.outputs`). constants: of global memory, in
    the order of its values. weights: all matrices. bits: of an activation.
    """

    bits: int
    scales: Scales
    weights: Weights
    constants: IntArray
    input_exponent: IntArray
    output_exponent: IntArray


def to_integers(values: npt.NDArray[np.floating], exponent: IntArray | int, bits: int) -> IntArray:
    """round half up(values / 2 ** exponent), saturated to `bits` bits."""
    top = (1 << (bits - 1)) - 1
    scaled = np.floor(np.ldexp(values.astype(np.float64), -np.asarray(exponent)) + 0.5)
    return np.asarray(np.clip(scaled, -top - 1, top), np.int32)


def execute_integer(prepared: Prepared, program: IntegerProgram, inputs: Values) -> Values:
    """Run in integers; inputs and the returned outputs are real, per tensor [lanes, rounds, *shape of its addresses].

    Raises ExecutionError when a cell is read that holds no element, and InvariantError for outputs never written.
    """
    p = prepared
    source = scatter(p.inputs, inputs, p.rounds)
    source_integers = to_integers(source, program.input_exponent[None, :, None], program.bits)
    lanes = source.shape[2]
    outputs = np.empty((p.rounds, len(p.outputs.address), lanes), np.int32)
    chunk = chunk_lanes(p, 0)
    for start in range(0, lanes, chunk):
        part = slice(start, min(start + chunk, lanes))
        none = np.zeros(0, np.int32)
        memories = poisoned(
            p, np.ascontiguousarray(source_integers[:, :, part]), 0, POISON, none, np.zeros((0, BINS), np.int64)
        )
        memories.world[p.cells.constant_cell] = program.constants.reshape(-1, 1)
        code, row, detail = integer_kernel.execute(
            p.steps,
            p.stream,
            program.weights,
            p.cells,
            program.scales,
            no_probes(p),
            memories,
            (p.memory.output_round_delay, p.longest),
        )
        if code != Fault.OK:
            raise fault(p.decoded, code, int(p.stream.emitted[row]), int(detail))
        outputs[:, :, part] = memories.outputs
    missing = outputs == POISON
    check_written(p, np.asarray(missing.any(axis=2)))
    real = np.ldexp(outputs.astype(np.float32), program.output_exponent[None, :, None])
    real[missing] = np.nan
    return gather(p, real)
