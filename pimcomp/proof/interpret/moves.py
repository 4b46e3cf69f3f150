"""What moves cells without looking at them, and how elements are read from and written to cells.

Memories are arrays [cells, lanes]: a cell is one byte's place, a lane one independent image. An element lives in the
cell of its first byte; its other bytes' cells hold poison, so that a misaligned read finds none.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import Flag, Whole, kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Op
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.resolve import Resolved
from pimcomp.proof.interpret.world import Cells

_OK, _WRITES_INPUT = int(Fault.OK), int(Fault.WRITES_INPUT)


Lanes = npt.NDArray[Any]
"""[cells or elements, lanes], float32 or int32."""
OCTAVES = 40
BINS = 2 + 8 * OCTAVES
"""Bins of magnitudes: see `magnitude_bin`."""


class Memories(NamedTuple):
    """All state of a run, float32 (poison: NaN) or int32 (poison: the smallest integer).

    local, world: [cells, lanes] of all cores' local memories and of global memory.
    inputs, outputs: [rounds, places, lanes]. seen: [probed elements, lanes].
    kind: int32[rows], what a row's results are counted under (negative: not; empty: nothing is counted). counts:
    int64[kinds, BINS], see `magnitude_bin`. poison: what a cell holds that holds nothing.
    """

    local: Lanes
    world: Lanes
    inputs: Lanes
    outputs: Lanes
    seen: Lanes
    kind: IntArray
    counts: LongArray
    poison: Any


class Probes(NamedTuple):
    """Elements to copy out after some rows: probes of row r are [first[r], first[r + 1]); taken in round `turn`."""

    first: LongArray
    cell: LongArray
    length: LongArray
    width: IntArray
    place: LongArray
    turn: int


@kernel
def magnitude_bin(value: Any) -> int:
    """The bin of a value: 0 for zero and NaN, else four per octave, from 2**-40 to 2**40."""
    if not abs(value) > 0:
        return 0
    mantissa, exponent = math.frexp(abs(value))  # 0.5 <= mantissa < 1
    return 1 + min(max(4 * (exponent + OCTAVES) + int((mantissa - 0.5) * 8), 0), BINS - 2)


def bin_magnitudes() -> npt.NDArray[np.float64]:
    """float64[BINS]: the middle magnitude of every bin."""
    octave, quarter = np.divmod(np.arange(BINS - 1), 4)
    return np.concatenate([[0.0], np.ldexp(0.5 + (quarter + 0.5) / 8, octave - OCTAVES)])


@kernel
def load(local: Lanes, cell: Whole, step: Whole, n: Whole, out: Lanes, poison: Any, strict: Flag) -> Whole:
    """Read n elements, `step` cells apart, into out[:n]; returns -1 or the position of the first that is poison."""
    lanes = local.shape[1]
    for i in range(n):
        at = cell + i * step
        for k in range(lanes):
            x = local[at, k]
            if strict and (x == poison or np.isnan(x)):
                return i
            out[i, k] = x
    return -1


@kernel
def store(
    local: Lanes, cell: Whole, width: Whole, n: Whole, values: Lanes, poison: Any, memories: Memories, row: Whole
) -> None:
    """Write n consecutive elements of `width` cells and count their magnitudes if that is asked for."""
    lanes = local.shape[1]
    for i in range(n):
        at = cell + i * width
        for k in range(lanes):
            local[at, k] = values[i, k]
        for byte in range(1, width):
            local[at + byte, :] = poison
    if len(memories.kind) > 0 and memories.kind[row] >= 0:
        counts = memories.counts[memories.kind[row]]
        for i in range(n):
            for k in range(lanes):
                counts[magnitude_bin(values[i, k])] += 1


@kernel
def fill_value(byte: Whole, width: Whole) -> Whole:
    """The signed integer whose `width` bytes all equal `byte`."""
    value: Whole = 0
    for _ in range(max(width, 1)):
        value = (value << 8) | byte
    half = 1 << (8 * max(width, 1) - 1)
    return value - 2 * half if value >= half else value


@kernel
def _copy_lanes(to: Lanes, at: Lanes) -> None:
    """Copy a cell. (Assigning a slice would take numba seconds to compile.)"""
    for k in range(len(to)):
        to[k] = at[k]


@kernel
def _copy(local: Lanes, to: Whole, at: Whole, size: Whole) -> None:
    """Copy cells to others, which may be partly the same."""
    for n in range(size):
        i = n if to <= at else size - 1 - n
        _copy_lanes(local[to + i], local[at + i])


@kernel
def move(
    stream: Resolved,
    row: Whole,
    mate: Whole,
    turn: Whole,
    base: Whole,
    mate_base: Whole,
    cells: Cells,
    memories: Memories,
) -> tuple[Whole, Whole]:
    """Execute ld, st, lldi, lmv or a transfer; returns (fault, detail)."""
    op, size, local = stream.op[row], stream.size[row], memories.local
    if op == Op.SEND:
        to, at = mate_base + stream.dst[mate], base + stream.src[row]
        _copy(local, to, at, size)
    elif op == Op.LMV:
        to, at = base + stream.dst[row], base + stream.src[row]
        _copy(local, to, at, size)
    elif op == Op.LLDI:
        to = base + stream.dst[row]
        value = fill_value(stream.src2[row], stream.ibytes[row])
        for i in range(size):
            for k in range(local.shape[1]):
                local[to + i, k] = value
    elif op == Op.LD:
        to, at = base + stream.dst[row], cells.row_cell[row]
        for i in range(size):
            slot = cells.input_slot[at + i]
            if slot >= 0:
                _copy_lanes(local[to + i], memories.inputs[turn, slot])
            else:
                _copy_lanes(local[to + i], memories.world[at + i])
    elif op == Op.ST:
        to, at = cells.row_cell[row], base + stream.src[row]
        for i in range(size):
            if cells.input_slot[to + i] >= 0:
                return _WRITES_INPUT, stream.dst[row] + i
            slot = cells.output_slot[to + i]
            if slot >= 0:
                _copy_lanes(memories.outputs[turn, slot], local[at + i])
            _copy_lanes(memories.world[to + i], local[at + i])
    return _OK, 0


@kernel
def look(probes: Probes, row: Whole, memories: Memories) -> None:
    """Copy out what is to be seen after this row."""
    for p in range(probes.first[row], probes.first[row + 1]):
        for i in range(probes.length[p]):
            _copy_lanes(memories.seen[probes.place[p] + i], memories.local[probes.cell[p] + i * probes.width[p]])
