"""Follows what is written through a table's global order, without values: who may read what, and is it there yet?

Between cores only a transfer orders anything, and both ways: what either end did before it comes before what either
does after it.
Vector clocks carry that (C. Fidge, ACSC 1988) for the cores that share global memory.
"""

from typing import NamedTuple

import numpy as np

from pimcomp.errors import InvariantError
from pimcomp.foundation.kernels import Flag, Whole, kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Program
from pimcomp.isa.byte_space import ByteSpace, byte_space
from pimcomp.isa.operands import Extents
from pimcomp.isa.table import BYTES, LOAD, LOCAL, RECV, SEND, SRC, STORE, STRIDED, UNIT

_UNWRITTEN, _READ_ONLY, _RAW, _WAR, _WAW = 1, 2, 3, 4, 5
FLOW_MESSAGES = {
    _UNWRITTEN: "reads local address {detail}, which was never written",
    _READ_ONLY: "stores to global address {detail}, which holds an input or a constant",
    _RAW: "loads global address {detail}, but no chain of transfers orders it after its last store by another core",
    _WAR: "stores to global address {detail}, but no chain of transfers orders it after a load by another core",
    _WAW: "stores to global address {detail}, but no chain of transfers orders it after a store by another core",
}


class _World(NamedTuple):
    """Global memory: cell of an ld's source or st's destination per row; per cell: is it written, is it read only."""

    row_cell: LongArray
    full: ByteArray
    fixed: ByteArray


class _Shared(NamedTuple):
    """Pieces of global memory that are both stored and loaded or stored by several cores, cut at every range's ends.

    Row r touches pieces [first[r], first[r] + pieces[r]). column: int32[cores], -1 for cores that touch none. output:
    pieces the host empties between rounds. address: of each piece.
    """

    first: LongArray
    pieces: LongArray
    column: IntArray
    columns: int
    output: ByteArray
    address: LongArray


def check_flow(program: Program, found: Extents) -> tuple[int, int, int]:
    """(0, 0, 0), or message number, row and address of the first violation, in as many rounds as needed.

    Transfers must be paired in the global order. Raises InvariantError if a round does not store an output element.
    """
    table = program.table
    core = np.repeat(np.arange(program.cores, dtype=np.int32), np.diff(program.core_start))
    is_ld, is_st = UNIT[table.op] == LOAD, UNIT[table.op] == STORE
    address = np.where(is_ld, table.src, np.where(is_st, table.dst, 0))
    size = np.where(is_ld | is_st, table.size, 0).astype(np.int64)
    width = program.element_bytes
    fixed = np.concatenate([program.constant_addresses, *(a.ravel() for a in program.inputs.values())])
    outputs = np.concatenate([np.zeros(0, np.int64), *(a.ravel() for a in program.outputs.values())])
    moved = np.flatnonzero(is_ld | is_st)
    every = np.concatenate([address[moved], fixed, outputs])
    space = byte_space(every, np.concatenate([size[moved], np.full(len(fixed) + len(outputs), width)]))
    row_cell = np.zeros(program.instructions, np.int64)
    row_cell[moved] = space.cell(address[moved])
    world = _World(row_cell, np.zeros(space.cells, np.uint8), np.zeros(space.cells, np.uint8))
    out_cells = (space.cell(outputs)[:, None] + np.arange(width)).ravel()
    fixed_cells = (space.cell(fixed)[:, None] + np.arange(width)).ravel()
    world.full[fixed_cells] = 1
    world.fixed[fixed_cells] = 1
    stored = np.full(space.cells, -1, np.int32)  # the last round a byte was stored in
    rounds = max(2, program.output_round_delay + 1)
    code, row, detail = _follow(
        np.argsort(table.order, kind="stable"),
        (table.op, core, table.dst, table.src, table.size, address),
        (found.read, found.read_bytes, found.read2, found.read2_bytes, found.write_bytes, table.src2),
        (np.concatenate([[0], np.cumsum(program.local_peak_bytes)]), width),
        world,
        _share(program, core, moved, address, size, space, out_cells),
        stored,
        (rounds, program.output_round_delay),
    )
    if not code and (stored[out_cells] != rounds - 1).any():
        missing = int(outputs[np.argmax(stored[out_cells] != rounds - 1) // width])
        raise InvariantError(f"the output element at global address {missing} is not stored in every round")
    return int(code), int(row), int(detail)


def _share(
    program: Program,
    core: IntArray,
    moved: LongArray,
    address: LongArray,
    size: LongArray,
    space: ByteSpace,
    out_cells: LongArray,
) -> _Shared:
    """Cut global memory into pieces and keep those that stores touch."""
    rows = program.instructions
    start, stop = address[moved], (address + size)[moved]
    cuts = np.unique(np.concatenate([start, stop]))
    first, count = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    first[moved] = np.searchsorted(cuts, start)
    count[moved] = np.searchsorted(cuts, stop) - first[moved]
    is_st = UNIT[program.table.op[moved]] == STORE
    edges = np.zeros(len(cuts) + 1, np.int64)
    np.add.at(edges, first[moved][is_st], 1)
    np.add.at(edges, (first + count)[moved][is_st], -1)
    stored = np.cumsum(edges)[: len(cuts)] > 0
    # Renumber: only pieces that some st touches matter. A row's pieces stay consecutive.
    rank = np.concatenate([[0], np.cumsum(stored)])
    count[moved] = rank[(first + count)[moved]] - rank[first[moved]]
    first[moved] = rank[first[moved]]
    column = np.full(program.cores, -1, np.int32)
    using = np.unique(core[moved][count[moved] > 0])
    column[using] = np.arange(len(using))
    kept = cuts[stored]
    is_output = np.zeros(space.cells, np.uint8)
    is_output[out_cells] = 1
    output = is_output[space.cell(kept)] if len(kept) else np.zeros(0, np.uint8)
    return _Shared(first, count, column, len(using), output, kept)


@kernel
def _merge(clock: IntArray, a: Whole, b: Whole) -> None:
    """Both ends of a transfer know what either knew."""
    for k in range(clock.shape[1]):
        top = max(clock[a, k], clock[b, k])
        clock[a, k] = top
        clock[b, k] = top


@kernel
def _touch(
    is_ld: Flag,
    row: Whole,
    core: Whole,
    now: Whole,
    turn: Whole,
    shared: _Shared,
    clock: IntArray,
    state: tuple[IntArray, IntArray, IntArray, IntArray],
) -> tuple[int, int]:
    """Check an ld or st against earlier accesses of its pieces and note it; returns (message, piece)."""
    writer, written, write_turn, read = state
    for piece in range(shared.first[row], shared.first[row] + shared.pieces[row]):
        # What the host does between rounds orders accesses to outputs of different rounds.
        same = shared.output[piece] == 0 or write_turn[piece] == turn
        other = writer[piece] if writer[piece] >= 0 else core
        if other != core and same and clock[core, shared.column[other]] < written[piece]:
            return (_RAW if is_ld else _WAW), piece
        if is_ld:
            read[piece, shared.column[core]] = now
        else:
            for k in range(clock.shape[1]):
                if shared.output[piece] == 0 and k != shared.column[core] and read[piece, k] > clock[core, k]:
                    return _WAR, piece
            writer[piece], written[piece], write_turn[piece] = core, now, turn
            read[piece, :] = 0
    return 0, 0


@kernel
def _through_world(
    is_ld: Flag,
    full: ByteArray,
    here: Whole,
    world: _World,
    cell: Whole,
    size: Whole,
    stored: IntArray,
    turn: Whole,
) -> int:
    """Move what is written between local and global memory; returns the first byte not to be stored to, or -1."""
    for i in range(size):
        if is_ld:
            full[here + i] = world.full[cell + i]
        elif world.fixed[cell + i]:
            return i
        else:
            world.full[cell + i] = full[here + i]
            if full[here + i]:
                stored[cell + i] = turn
    return -1


@kernel
def _follow(
    sequence: LongArray,
    columns: tuple[ByteArray, IntArray, LongArray, LongArray, IntArray, LongArray],
    reads: tuple[LongArray, LongArray, LongArray, LongArray, LongArray, LongArray],
    local: tuple[LongArray, int],
    world: _World,
    shared: _Shared,
    stored: IntArray,
    limits: tuple[int, int],
) -> tuple[Whole, Whole, Whole]:
    """Go through the rows in the global order, `rounds` times; see check_flow."""
    op, core, dst, src, size, address = columns
    read, read_bytes, read2, read2_bytes, write_bytes, src2 = reads
    (base, width), (rounds, delay) = local, limits
    full = np.zeros(base[-1], np.uint8)
    pieces = len(shared.address)
    clock = np.zeros((len(base) - 1, shared.columns), np.int32)
    state = (
        np.full(pieces, -1, np.int32),
        np.zeros(pieces, np.int32),
        np.full(pieces, -1, np.int32),
        np.zeros((pieces, shared.columns), np.int32),
    )
    now = 0
    for turn in range(rounds):
        k = 0
        while k < len(sequence):
            row = sequence[k]
            o, c = op[row], core[row]
            unit = UNIT[o]
            b = base[c]
            now, k = now + 1, k + 1
            if unit in (SEND, RECV):
                other = sequence[k]
                k += 1
                s, r = (row, other) if unit == SEND else (other, row)
                to, at = base[core[r]] + dst[r], base[core[s]] + src[s]
                for i in range(size[s]):
                    full[to + i] = full[at + i]
                _merge(clock, c, core[other])
            elif unit in (LOAD, STORE):
                is_ld = unit == LOAD
                if shared.column[c] >= 0:
                    clock[c, shared.column[c]] = now
                    code, piece = _touch(is_ld, row, c, now, turn, shared, clock, state)
                    if code:
                        return code, row, shared.address[piece]
                here = b + (dst[row] if is_ld else src[row])
                bad = _through_world(is_ld, full, here, world, world.row_cell[row], size[row], stored, turn)
                if bad >= 0:
                    return _READ_ONLY, row, address[row] + bad
            elif unit == LOCAL and SRC[o] == BYTES:
                for i in range(size[row]):
                    full[b + dst[row] + i] = full[b + src[row] + i]
            else:
                there, step = 1, src2[row] * width if SRC[o] == STRIDED else 0
                for at, extent, stride in ((read[row], read_bytes[row], step), (read2[row], read2_bytes[row], 0)):
                    missing = _missing(full, b + at, extent, stride, width)
                    if missing >= 0:
                        if turn >= delay:
                            return _UNWRITTEN, row, at + missing
                        there = 0  # while a pipeline fills, results of nothing are nothing
                for i in range(write_bytes[row]):
                    full[b + dst[row] + i] = there
    return 0, 0, 0


@kernel
def _missing(full: ByteArray, start: Whole, extent: Whole, step: Whole, width: Whole) -> int:
    """The first unwritten byte of the elements in [start, start + extent), or -1; step: bytes from one to the next."""
    at: Whole = 0
    while at < extent:
        for i in range(at, at + width if step else extent):
            if full[start + i] == 0:
                return i
        if not step:
            break
        at += step
    return -1
