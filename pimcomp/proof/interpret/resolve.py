"""Runs the scalar instructions: registers become addresses, setbw becomes element widths.

There are no branches and registers never depend on data, so this is done once per program, for any number of images.
"""

from typing import NamedTuple

import numpy as np

from pimcomp.emit.decode import Decoded, MemoryImage
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op
from pimcomp.isa.registers import REGISTERS
from pimcomp.proof.interpret.faults import ExecutionError, Fault

_OK, _UNKNOWN, _UNSET, _BADREG = (
    int(Fault.OK),
    int(Fault.UNKNOWN_OP),
    int(Fault.UNSET_REGISTER),
    int(Fault.BAD_REGISTER),
)
_WIDTH, _LENGTH, _MISMATCH, _OFFSET = (
    int(Fault.UNSET_WIDTH),
    int(Fault.BAD_LENGTH),
    int(Fault.LENGTH_MISMATCH),
    int(Fault.OFFSET),
)
_GROUP, _PEER, _RANGE, _STRIDE = (
    int(Fault.BAD_GROUP),
    int(Fault.BAD_PEER),
    int(Fault.OUT_OF_RANGE),
    int(Fault.BAD_STRIDE),
)
_OVERLAP, _SLDFAULT, _MBIW, _EVENT = int(Fault.OVERLAP), int(Fault.SLD), int(Fault.BAD_MBIW), int(Fault.BAD_EVENT)
_EVENTS = 32  # event registers of a core


class Stream(NamedTuple):
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


def resolve(decoded: Decoded, group_start: LongArray, matrices: Matrices, local_memory_bytes: int) -> Stream:
    """Execute every scalar instruction of every core once, and check operands.

    Raises ExecutionError for unset registers or widths, ranges outside [0, local_memory_bytes), unknown groups or
    cores, lengths below 1, len and size that differ, offsets.
    """
    d = decoded
    code, row, detail, kept, arrays, local_end = _resolve(
        d.core_start,
        d.op,
        np.stack([d.rd, d.rs1, d.rs2], dtype=np.int64),
        d.imm,
        np.stack([d.group, d.length, d.size, d.core, d.ibiw, d.obiw, d.mbiw, d.relu, d.offset_value], dtype=np.int64),
        np.stack([d.event_register, d.wait_value], dtype=np.int64),
        (group_start, matrices.rows, matrices.cols),
        local_memory_bytes,
    )
    if code != _OK:
        raise fault(decoded, code, row, detail)
    emitted = np.flatnonzero(kept)
    core_start = np.searchsorted(emitted, d.core_start)
    dst, src, src2, size, group, ibits, obits = (a[emitted] for a in arrays)
    return Stream(
        core_start=core_start,
        core=np.repeat(np.arange(d.cores, dtype=np.int32), np.diff(core_start)),
        emitted=emitted,
        op=d.op[emitted],
        dst=dst,
        src=src,
        src2=src2,
        size=size,
        peer=d.core[emitted].astype(np.int32),
        group=group.astype(np.int32),
        relu=(d.relu[emitted] != 0).astype(np.uint8),
        ibytes=((ibits + 7) // 8).astype(np.uint8),
        obytes=((obits + 7) // 8).astype(np.uint8),
        ibits=ibits.astype(np.uint8),
        obits=obits.astype(np.uint8),
        local_start=np.concatenate([[0], np.cumsum(local_end)]).astype(np.int64),
    )


@kernel
def _word(value: int) -> int:
    """A 32-bit register's content, signed."""
    return ((value + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@kernel
def _scalar(op, rd, rs1, rs2, imm, value, known):  # type: ignore[no-untyped-def]
    """Execute one scalar instruction; returns (fault, detail)."""
    if op == Op.SLD:
        return _SLDFAULT, 0
    if rd >= REGISTERS or rs1 >= REGISTERS or rs2 >= REGISTERS:
        return _BADREG, max(rd, rs1, rs2)
    if op != Op.SLDI and not known[rs1]:
        return _UNSET, rs1
    if op in (Op.SADD, Op.SSUB, Op.SMUL) and not known[rs2]:
        return _UNSET, rs2
    if op == Op.SLDI:
        value[rd] = _word(imm)
    elif op == Op.SADD:
        value[rd] = _word(value[rs1] + value[rs2])
    elif op == Op.SSUB:
        value[rd] = _word(value[rs1] - value[rs2])
    elif op == Op.SMUL:
        value[rd] = _word(value[rs1] * value[rs2])
    elif op == Op.SADDI:
        value[rd] = _word(value[rs1] + imm)
    else:
        value[rd] = _word(value[rs1] * imm)
    known[rd] = True
    return _OK, 0


@kernel
def _operand(register, is_global, value, known):  # type: ignore[no-untyped-def]
    """(fault, detail, address) of a register operand; a global address is an even register (high half) and the next."""
    if register >= REGISTERS or (is_global and register % 2):
        return _BADREG, register, 0
    if not known[register]:
        return _UNSET, register, 0
    if not is_global:
        return _OK, 0, value[register]
    if not known[register + 1]:
        return _UNSET, register + 1, 0
    return _OK, 0, (value[register] << 32) | (value[register + 1] & 0xFFFFFFFF)


@kernel
def _extents(op, size, stride, rows, cols, ib, ob):  # type: ignore[no-untyped-def]
    """Bytes an instruction reads at src, reads at src2 and writes at dst, in local memory (0: none)."""
    if op == Op.MVMUL:
        return rows * ib, 0, cols * ob
    if op == Op.VVDMUL:
        return size * ib, size * ib, ob
    if op <= Op.VVSRA:
        wide = op in (Op.VVMUL, Op.VVSLL, Op.VVSRA)
        return size * ib, size * ib, size * (ob if wide else ib)
    if op == Op.VAVG:
        return ((size - 1) * stride + 1) * ib, 0, ob
    if op == Op.VMV:
        return ((size - 1) * stride + 1) * ib, 0, size * ib
    if op <= Op.VRSL:
        return size * ib, 0, size * (ib if op == Op.VRELU else ob)
    if op in (Op.LD, Op.LLDI, Op.RECV):
        return 0, 0, size
    if op in (Op.ST, Op.SEND):
        return size, 0, 0
    if op == Op.LMV:
        return size, 0, size
    return 0, 0, 0


@kernel
def _vector(op):  # type: ignore[no-untyped-def]
    return Op.VVADD <= op <= Op.VRSL and op != 21


@kernel
def _shape(op, f, e, core, group_start):  # type: ignore[no-untyped-def]
    """(fault, detail, size, group) of an instruction: f = group, len, size, core, ibiw, obiw, mbiw, relu, offset."""
    if f[8] != 0:
        return _OFFSET, f[8], 0, -1
    if op == Op.MVMUL:
        group = group_start[core] + f[0]
        if f[0] < 0 or group >= group_start[core + 1]:
            return _GROUP, f[0], 0, -1
        if f[6] < 1:
            return _MBIW, f[6], 0, -1
        return _OK, 0, 0, group
    if op in (Op.WAIT, Op.SYNC):
        if not 0 <= e[0] < _EVENTS:
            return _EVENT, e[0], 0, -1
        return _OK, 0, e[1], -1
    size = f[1] if _vector(op) or op in (Op.LLDI, Op.LMV) else f[2]
    if size < 1:
        return _LENGTH, size, size, -1
    if (op in (Op.LLDI, Op.LMV)) and f[2] not in (0, size):
        return _MISMATCH, f[2], size, -1
    return _OK, 0, size, -1


@kernel
def _addresses(op, regs, imm, event, value, known):  # type: ignore[no-untyped-def]
    """(fault, detail, dst, src, src2) of a non-scalar instruction."""
    code, detail, dst, src, src2 = _OK, 0, 0, 0, 0
    if op not in (Op.SEND, Op.WAIT, Op.SYNC):
        code, detail, dst = _operand(regs[0], op == Op.ST, value, known)
    if code == _OK and op not in (Op.LLDI, Op.RECV, Op.WAIT, Op.SYNC):
        code, detail, src = _operand(regs[1], op == Op.LD, value, known)
    if code == _OK and (Op.VVADD <= op <= Op.VAVG or op in (Op.VMV, Op.VRSU, Op.VRSL)):
        code, detail, src2 = _operand(regs[2], False, value, known)
    if op == Op.LLDI:
        src2 = imm & 0xFF
    elif op in (Op.WAIT, Op.SYNC):
        src2 = event
    return code, detail, dst, src, src2


@kernel
def _resolve(  # type: ignore[no-untyped-def]  # noqa: PLR0912 - one pass over all operands
    core_start, op, regs, imm, field, event, groups, limit
):
    n, (group_start, rows, cols) = len(op), groups
    dst, src, src2 = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    size, group = np.zeros(n, np.int64), np.full(n, -1, np.int64)
    ibits, obits = np.zeros(n, np.int64), np.zeros(n, np.int64)
    arrays = (dst, src, src2, size, group, ibits, obits)
    kept = np.zeros(n, np.bool_)
    cores = len(core_start) - 1
    end = np.zeros(cores, np.int64)
    for core in range(cores):
        value, known = np.zeros(REGISTERS, np.int64), np.zeros(REGISTERS, np.bool_)
        ibiw, obiw = 0, 0
        for i in range(core_start[core], core_start[core + 1]):
            o, r = np.int64(op[i]), regs[:, i]
            if o == Op.NOP:
                continue
            if o == Op.SETBW:
                ibiw, obiw = field[4, i], field[5, i]
                continue
            if o <= Op.SMULI:
                code, detail = _scalar(o, r[0], r[1], r[2], imm[i], value, known)
                if code != _OK:
                    return code, i, detail, kept, arrays, end
                continue
            if not (o == Op.MVMUL or _vector(o) or Op.LD <= o <= Op.SYNC):
                return _UNKNOWN, i, o, kept, arrays, end
            code, detail, size[i], group[i] = _shape(o, field[:, i], event[:, i], core, group_start)
            if code == _OK:
                code, detail, dst[i], src[i], src2[i] = _addresses(o, r, imm[i], event[0, i], value, known)
            if code != _OK:
                return code, i, detail, kept, arrays, end
            if o < Op.LD and (ibiw < 1 or obiw < 1):
                return _WIDTH, i, 0, kept, arrays, end
            ib, ob = (ibiw + 7) // 8, (obiw + 7) // 8
            ibits[i], obits[i] = ibiw, obiw
            kept[i] = True
            strided = o in (Op.VAVG, Op.VMV)
            if strided and src2[i] < 1:
                return _STRIDE, i, src2[i], kept, arrays, end
            if Op.SEND <= o <= Op.RECV or o == Op.SYNC:
                peer = field[3, i]
                if peer < 0 or peer >= cores or peer == core:
                    return _PEER, i, peer, kept, arrays, end
            r_n, c_n = (rows[group[i]], cols[group[i]]) if o == Op.MVMUL else (0, 0)
            if o == Op.MVMUL and (r_n < 1 or c_n < 1):
                return _GROUP, i, field[0, i], kept, arrays, end
            read, read2, write = _extents(o, size[i], src2[i], r_n, c_n, ib, ob)
            for address, extent in ((src[i], read), (src2[i], read2), (dst[i], write)):
                if extent > 0 and (address < 0 or address + extent > limit):
                    return _RANGE, i, address, kept, arrays, end
                if extent > 0:
                    end[core] = max(end[core], address + extent)
            if o == Op.LMV and src[i] < dst[i] + write and dst[i] < src[i] + read:
                return _OVERLAP, i, dst[i], kept, arrays, end
    return _OK, 0, 0, kept, arrays, end
