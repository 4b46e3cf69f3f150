"""Runs the scalar instructions: registers become addresses, setbw becomes element widths.

There are no branches and registers never depend on data, so this is done once per program, for any number of images.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.emit.decode import Decoded, MemoryImage
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op
from pimcomp.isa.listing import execute
from pimcomp.isa.operands import operand_bytes
from pimcomp.isa.table import (
    BUBBLE,
    BYTES,
    CLEAR,
    COMPUTES,
    COUNTS_LEN,
    DST,
    EFFECT,
    GLOBAL_SLOT,
    IMMEDIATE,
    IN_REGISTERS,
    MATRIX,
    NEEDS_PEER,
    NO_EFFECT,
    SRC,
    SRC2,
    STRIDE,
    SYNC,
    UNIT,
)
from pimcomp.proof.interpret.faults import ExecutionError, Fault

_EVENTS = 32  # event registers of a core


class Resolved(NamedTuple):
    """The program without its scalar instructions, operands as addresses. A tuple of arrays, so that kernels take it.

    core_start int64[cores + 1] into the rows, core: of each row. emitted: position in `Decoded`. dst, src, src2: byte
    addresses; src2 is the stride of vmv/vavg in elements, the fill byte of lldi, the event register of wait/sync.
    size: elements for vector instructions, bytes for the rest, the awaited value of wait. group: index over all array
    groups of the chip, or -1.
    ibytes, obytes, ibits, obits: element widths in force. local_start int64[cores + 1]: cells of each core's memory.
    """

    core_start: LongArray
    core: IntArray
    emitted: LongArray
    op: ByteArray
    dst: LongArray
    src: LongArray
    src2: LongArray
    size: LongArray
    peer: IntArray
    group: IntArray
    relu: ByteArray
    ibytes: ByteArray
    obytes: ByteArray
    ibits: ByteArray
    obits: ByteArray
    local_start: LongArray


class Matrices(NamedTuple):
    """All array groups' matrices in one buffer: group g is values[start[g]:start[g + 1]] as (rows[g], cols[g])."""

    start: LongArray
    rows: LongArray
    cols: LongArray
    values: FloatArray


def core_of(core_start: LongArray, row: int) -> int:
    """The core that owns a row."""
    return int(np.searchsorted(core_start, row, side="right")) - 1


def fault(decoded: Decoded, code: int, emitted: int, detail: int, node: str = "") -> ExecutionError:
    """The error of emitted instruction number `emitted` (over all cores)."""
    core = core_of(decoded.core_start, emitted)
    index = emitted - int(decoded.core_start[core])
    return ExecutionError(Fault(code), core, index, int(decoded.op[emitted]), detail, node)


def gather_matrices(decoded: Decoded, memory: MemoryImage) -> tuple[LongArray, Matrices]:
    """(first array group of each core int64[cores + 1], all matrices). Groups without a matrix have 0 rows."""
    counts = [len(groups) for groups in decoded.array_group_map]
    group_start = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
    empty = np.zeros((0, 0), np.float32)
    found = [memory.matrices.get((c, g), empty) for c, n in enumerate(counts) for g in range(n)]
    rows = np.array([m.shape[0] for m in found], np.int64)
    cols = np.array([m.shape[1] for m in found], np.int64)
    # Replicas share one array object: keep it once.
    unique = {id(m): m for m in found}
    place, offset = {}, 0
    for key, matrix in unique.items():
        place[key] = offset
        offset += matrix.size
    values = np.concatenate([m.ravel() for m in unique.values()]) if unique else np.zeros(0, np.float32)
    start = np.array([place[id(m)] for m in found], np.int64)
    return group_start, Matrices(start, rows, cols, values.astype(np.float32, copy=False))


def resolve(decoded: Decoded, group_start: LongArray, matrices: Matrices, local_memory_bytes: int) -> Resolved:
    """Execute every scalar instruction of every core once, and check operands.

    Raises ExecutionError for the first of: unset registers or widths, ranges outside [0, local_memory_bytes), unknown
    groups or cores, lengths below 1, len and size that differ, offsets.
    """
    d, ran = decoded, execute(decoded.listing)
    at, op = ran.entry, d.op[ran.entry]
    core = np.repeat(np.arange(d.cores), np.diff(ran.core_start))
    ibits, obits = ran.in_force(d.ibiw), ran.in_force(d.obiw)
    fires, waits = UNIT[op] == MATRIX, UNIT[op] >= SYNC
    group = np.where(fires, group_start[core] + d.group[at], -1)
    known = fires & (d.group[at] >= 0) & (group < group_start[core + 1])
    matrix = np.zeros((2, len(at)), np.int64)
    matrix[:, known] = matrices.rows[group[known]], matrices.cols[group[known]]
    size = np.select([fires, waits, COUNTS_LEN[op]], [0, d.wait_value[at], d.length[at]], d.size[at]).astype(np.int64)
    has = IN_REGISTERS[op] >> np.arange(3)[:, None] & 1
    dst, src, src2 = ran.addresses(op) * has
    src2 = np.select([SRC2[op] == IMMEDIATE, waits], [d.imm[at] & 0xFF, d.event_register[at]], src2)
    widths = (-(-ibits.astype(np.int64) // 8), -(-obits.astype(np.int64) // 8))
    extents = operand_bytes(op, size, src2, matrix, widths)

    faults = _Faults(decoded)
    unknown = (UNIT[d.op] == BUBBLE) & (EFFECT[d.op] == NO_EFFECT) & (d.op != Op.SETBW) & (d.op != Op.NOP)
    faults.check(np.arange(len(d.op)), unknown, Fault.UNKNOWN_OP, d.op)
    faults.check(np.arange(len(d.op)), EFFECT[d.op] == CLEAR, Fault.SLD)
    if ran.stopped >= 0:
        faults.found.append((ran.stopped, len(faults.found), Fault.UNSET_REGISTER, ran.stopped_register))
    faults.check(at, d.offset_value[at] != 0, Fault.OFFSET, d.offset_value[at])
    faults.check(at, fires & ~known, Fault.BAD_GROUP, d.group[at])
    faults.check(at, fires & (d.mbiw[at] < 1), Fault.BAD_MBIW, d.mbiw[at])
    faults.check(at, waits & ((src2 < 0) | (src2 >= _EVENTS)), Fault.BAD_EVENT, src2)
    faults.check(at, ~fires & ~waits & (size < 1), Fault.BAD_LENGTH, size)
    differ = COUNTS_LEN[op] & ~COMPUTES[op] & (d.size[at] != 0) & (d.size[at] != size)
    faults.check(at, differ, Fault.LENGTH_MISMATCH, d.size[at])
    for slot, number in enumerate((d.rd[at], d.rs1[at])):
        faults.check(at, (GLOBAL_SLOT[op] == slot) & (number % 2 != 0), Fault.BAD_REGISTER, number)
    faults.check(at, ran.unset >= 0, Fault.UNSET_REGISTER, ran.unset)
    faults.check(at, COMPUTES[op] & ((ibits < 1) | (obits < 1)), Fault.UNSET_WIDTH)
    faults.check(at, (SRC2[op] == STRIDE) & (src2 < 0), Fault.BAD_STRIDE, src2)
    peer = d.core[at]
    wrong = (peer < 0) | (peer >= d.cores) | (peer == core)
    faults.check(at, NEEDS_PEER[op] & wrong, Fault.BAD_PEER, peer)
    faults.check(at, known & (matrix < 1).any(axis=0), Fault.BAD_GROUP, d.group[at])
    end = np.zeros(d.cores, np.int64)
    for address, extent in zip((dst, src, src2), extents, strict=True):
        used = extent > 0
        outside = (address < 0) | (address + extent > local_memory_bytes)
        faults.check(at, used & outside, Fault.OUT_OF_RANGE, address)
        np.maximum.at(end, core[used], (address + extent)[used])
    copies = (SRC[op] == BYTES) & (DST[op] == BYTES)
    faults.check(at, copies & (src < dst + size) & (dst < src + size), Fault.OVERLAP, dst)
    faults.report()

    return Resolved(
        core_start=ran.core_start,
        core=core.astype(np.int32),
        emitted=at,
        op=op,
        dst=dst,
        src=src,
        src2=src2,
        size=size,
        peer=peer.astype(np.int32),
        group=group.astype(np.int32),
        relu=(d.relu[at] != 0).astype(np.uint8),
        ibytes=widths[0].astype(np.uint8),
        obytes=widths[1].astype(np.uint8),
        ibits=ibits.astype(np.uint8),
        obits=obits.astype(np.uint8),
        local_start=np.concatenate([[0], np.cumsum(end)]).astype(np.int64),
    )


class _Faults:
    """What is wrong with the entries of a program's lists; of one entry the first that was checked."""

    def __init__(self, decoded: Decoded) -> None:
        self._decoded = decoded
        self.found: list[tuple[int, int, Fault, int]] = []

    def check(
        self,
        entry: LongArray,
        wrong: npt.NDArray[np.bool_],
        fault: Fault,
        detail: npt.NDArray[np.integer] | None = None,
    ) -> None:
        """Note the first of these entries where something is wrong."""
        if wrong.any():
            k = int(np.argmax(wrong))
            self.found.append((int(entry[k]), len(self.found), fault, 0 if detail is None else int(detail[k])))

    def report(self) -> None:
        """Raises ExecutionError for the first entry noted."""
        if self.found:
            entry, _, kind, detail = min(self.found)
            raise fault(self._decoded, kind, entry, detail)
