"""Executes a decoded program: `prepare` once, `execute` for any number of images and rounds.

A *lane* is one independent run of the chip (its own memories); lanes go through the kernels side by side. Within a lane
the program runs `rounds` times, one round after the other without clearing memory, each with its own input.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.emit.decode import Decoded, MemoryImage
from pimcomp.errors import InvariantError, ModelError
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import COMPUTES
from pimcomp.proof.interpret import loop
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.integer_kernel import Scales, Weights
from pimcomp.proof.interpret.moves import BINS, Memories, Probes
from pimcomp.proof.interpret.order import Steps, linearise
from pimcomp.proof.interpret.resolve import Matrices, Resolved, fault, gather_matrices, resolve
from pimcomp.proof.interpret.world import Cells, Tensors, lay_out, scatter, tensors

Values = dict[str, FloatArray]
DEFAULT_LOCAL_BYTES = 1 << 24  # when the chip's local memory size is not known
_CHUNK_BYTES = 256 << 20  # of memories at a time
_CHUNK_LANES = 64  # more lanes no longer fit the caches


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Prepared:
    """Everything about a program that does not depend on data."""

    decoded: Decoded
    memory: MemoryImage
    stream: Resolved
    steps: Steps
    matrices: Matrices
    group_start: LongArray
    inputs: Tensors
    outputs: Tensors
    cells: Cells
    bounds: FloatArray
    rounds: int
    longest: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Looks:
    """Where to look during a run: after emitted instruction `index` of `core`, `length` elements at `address`."""

    core: IntArray
    index: LongArray
    address: LongArray
    length: LongArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Execution:
    """outputs: per tensor [lanes, rounds, *shape of its addresses]. seen: [lanes, elements] of the looks, end to end.

    counts: int64[kinds, BINS], how many values of which magnitude the rows of each kind wrote (`magnitude_bin`).
    """

    outputs: Values
    seen: FloatArray
    counts: LongArray


def prepare(
    decoded: Decoded, memory: MemoryImage, *, rounds: int = 1, local_memory_bytes: int = DEFAULT_LOCAL_BYTES
) -> Prepared:
    """Resolve registers, find an order for `rounds` rounds and lay out memories.

    Raises ExecutionError or InvariantError for anything the instruction set does not allow, Deadlock included.
    """
    group_start, matrices = gather_matrices(decoded, memory)
    stream = resolve(decoded, group_start, matrices, local_memory_bytes)
    steps = linearise(decoded, stream, rounds)
    inputs, outputs = tensors(memory.inputs), tensors(memory.outputs)
    sizes = np.where(COMPUTES[stream.op], stream.size, 0)
    return Prepared(
        decoded=decoded,
        memory=memory,
        stream=stream,
        steps=steps,
        matrices=matrices,
        group_start=group_start,
        inputs=inputs,
        outputs=outputs,
        cells=lay_out(stream, memory, inputs, outputs),
        bounds=_bounds(decoded, memory, stream),
        rounds=rounds,
        longest=int(max(sizes.max(initial=1), matrices.rows.max(initial=1), matrices.cols.max(initial=1))),
    )


def execute(
    prepared: Prepared,
    inputs: Values,
    *,
    looks: Looks | None = None,
    look_round: int = 0,
    kinds: IntArray | None = None,
    strict: bool = True,
) -> Execution:
    """Run the program in real numbers. inputs: per tensor float[lanes, rounds, *shape of its addresses].

    kinds: int32[rows of the stream], what to count the magnitude of each row's results under (-1: not at all).
    looks are taken in round `look_round`. strict=False runs on where cells hold no element (results are NaN), to find
    out what went wrong. Raises ExecutionError when a cell is read that holds no element, and
    InvariantError when an output element of a round from output_round_delay on was never written.
    """
    p = prepared
    source = scatter(p.inputs, inputs, p.rounds)
    probes, seen_length = _probes(p, looks, look_round)
    kind = np.zeros(0, np.int32) if kinds is None else kinds
    counts = np.zeros((int(kind.max(initial=-1)) + 1, BINS), np.int64)
    real = Numbers(np.float32(np.nan), p.memory.global_values, p.matrices, p.bounds, None)
    delay = p.memory.output_round_delay if strict else p.rounds
    outputs, seen = run_lanes(p, real, source, delay, probes=(probes, seen_length), counting=(kind, counts))
    if strict:
        check_written(p, np.asarray(np.isnan(outputs).any(axis=2)))
    return Execution(outputs=gather(p, outputs), seen=seen.T, counts=counts)


class Numbers(NamedTuple):
    """What a program works with: real numbers, or integers.

    poison: what a cell holds that holds nothing. constants: of global memory. matrices, bounds, scales: see `loop`.
    """

    poison: np.generic
    constants: npt.NDArray[Any]
    matrices: Matrices | Weights
    bounds: FloatArray | None
    scales: Scales | None


def run_lanes(
    prepared: Prepared,
    numbers: Numbers,
    source: npt.NDArray[Any],
    delay: int,
    *,
    probes: tuple[Probes, int] | None = None,
    counting: tuple[IntArray, LongArray] | None = None,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(outputs [rounds, places, lanes], seen [elements, lanes]), as many lanes at a time as memory and caches bear.

    source: inputs [rounds, places, lanes]. delay: the first round in which poison is an error. probes, and how many
    elements they see. counting: see `Memories`. Raises ExecutionError.
    """
    p, lanes, dtype = prepared, source.shape[2], source.dtype
    look_at, seen_length = probes or (_no_probes(p), 0)
    kind, counts = counting or (np.zeros(0, np.int32), np.zeros((0, BINS), np.int64))
    outputs = np.empty((p.rounds, len(p.outputs.address), lanes), dtype)
    seen = np.empty((seen_length, lanes), dtype)
    local_cells, cells = int(p.stream.local_start[-1]), p.cells.cells
    chunk = max(1, min(_CHUNK_LANES, _CHUNK_BYTES // max(4 * (local_cells + cells + seen_length), 1)))
    for start in range(0, lanes, chunk):
        part = slice(start, min(start + chunk, lanes))
        width = part.stop - part.start
        memories = Memories(
            local=np.full((local_cells, width), numbers.poison, dtype),
            world=np.full((cells, width), numbers.poison, dtype),
            inputs=np.ascontiguousarray(source[:, :, part]),
            outputs=np.full((p.rounds, len(p.outputs.address), width), numbers.poison, dtype),
            seen=np.empty((seen_length, width), dtype),
            kind=kind,
            counts=counts,
            poison=numbers.poison,
        )
        memories.world[p.cells.constant_cell] = numbers.constants.reshape(-1, 1)
        code, row, detail = loop.execute(
            p.steps, p.stream, numbers.matrices, p.cells, numbers.bounds, numbers.scales, look_at, memories,
            (delay, p.longest),
        )  # fmt: skip
        if code != Fault.OK:
            raise fault(p.decoded, int(code), int(p.stream.emitted[row]), int(detail))
        outputs[:, :, part], seen[:, part] = memories.outputs, memories.seen
    return outputs, seen


def check_written(prepared: Prepared, missing: npt.NDArray[np.bool_]) -> None:
    """Raise InvariantError if an output element is missing (bool[rounds, places]) in a round that must deliver it."""
    late = missing.copy()
    late[: prepared.memory.output_round_delay] = False
    if late.any():
        turn, place = np.argwhere(late)[0]
        address = int(prepared.outputs.address[place])
        raise InvariantError(
            f"{int(late.sum())} output elements hold nothing, the first in round {turn} at global address {address}"
        )


def gather(prepared: Prepared, outputs: FloatArray) -> Values:
    """[rounds, places, lanes] as one array [lanes, rounds, *shape] per tensor."""
    turned = outputs.transpose(2, 0, 1)
    return {name: turned[:, :, slot] for name, slot in prepared.outputs.slot.items()}


def _bounds(decoded: Decoded, memory: MemoryImage, stream: Resolved) -> FloatArray:
    """float32[rows]: the real bound of each vrsu/vrsl, NaN elsewhere."""
    by_position = np.full(decoded.instructions, np.nan, np.float32)
    by_position[decoded.core_start[memory.clip_core] + memory.clip_index] = memory.clip_value
    return by_position[stream.emitted]


def _probes(prepared: Prepared, looks: Looks | None, turn: int) -> tuple[Probes, int]:
    """The looks as kernels want them, sorted by row; and the number of elements they copy."""
    stream, decoded = prepared.stream, prepared.decoded
    if looks is None or not len(looks.core):
        return _no_probes(prepared), 0
    if ((looks.core < 0) | (looks.core >= len(decoded.core_start) - 1)).any():
        raise ModelError("checkpoints.npz: a checkpoint is on a core that the program does not have")
    emitted = decoded.core_start[looks.core] + looks.index
    row = np.searchsorted(stream.emitted, emitted)
    if (row >= len(stream.emitted)).any() or (stream.emitted[row] != emitted).any():
        raise ModelError("checkpoints.npz: a checkpoint does not name a vector, matrix or transfer instruction")
    place = np.concatenate([[0], np.cumsum(looks.length)])
    width = np.maximum(stream.obytes[row], 1).astype(np.int32)
    cell = stream.local_start[looks.core] + looks.address
    if ((looks.address < 0) | (cell + (looks.length - 1) * width >= stream.local_start[looks.core + 1])).any():
        raise ModelError("checkpoints.npz: a checkpoint lies outside the memory its core uses")
    order = np.argsort(row, kind="stable")
    first = np.searchsorted(row[order], np.arange(len(stream.op) + 1))
    probes = Probes(first, cell[order], np.asarray(looks.length)[order], width[order], place[:-1][order], turn)
    return probes, int(place[-1])


def _no_probes(prepared: Prepared) -> Probes:
    """Nothing to look at."""
    none = np.zeros(0, np.int64)
    return Probes(np.zeros(len(prepared.stream.op) + 1, np.int64), none, none, none.astype(np.int32), none, -1)
