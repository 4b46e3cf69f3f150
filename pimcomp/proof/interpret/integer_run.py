"""Executes a prepared program in the chip's integers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import IntArray
from pimcomp.proof.interpret.integer_kernel import POISON, Scales, Weights
from pimcomp.proof.interpret.run import Numbers, Prepared, Values, check_written, gather, run_lanes
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
    numbers = Numbers(POISON, program.constants, program.weights, None, program.scales)
    outputs, _ = run_lanes(p, numbers, source_integers, p.memory.output_round_delay)
    missing = outputs == POISON
    check_written(p, np.asarray(missing.any(axis=2)))
    real = np.ldexp(outputs.astype(np.float32), program.output_exponent[None, :, None])
    real[missing] = np.nan
    return gather(p, real)
