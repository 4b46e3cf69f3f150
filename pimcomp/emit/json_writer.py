"""Writes instruction lists as JSON text straight from the table's columns: no Python object per instruction."""

from collections.abc import Iterator

import numpy as np
from numba import njit

from pimcomp.emit.instruction_fields import Source, templates
from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import ByteArray, LongArray, Op, Program
from pimcomp.registers import LOAD_HIGH, operand_values

BUFFER_BYTES = 4 << 20
ROW_BYTES = 512  # more than the longest row: four sldi and an instruction with five numbers
_GROUP, _SIZE, _PEER, _RELU, _FILL = Source.GROUP, Source.SIZE, Source.PEER, Source.RELU, Source.FILL
_RD, _RS1, _RS2, _MBIW = Source.RD, Source.RS1, Source.RS2, Source.MBIW


def stored_weight_bits(arch: Arch) -> int:
    """Bits a weight takes in the cells: `mbiw`. The simulator derives the written-back columns from it, by cells."""
    return arch.cells_per_weight * arch.cell_bits


def set_bit_widths(arch: Arch) -> str:
    """The JSON of the setbw that begins every list: without it all vectors have zero size."""
    return f'{{"op":"setbw","ibiw":{arch.activation_bits},"obiw":{arch.psum_bits}}}'


def json_chunks(
    program: Program, arch: Arch, *, cores: range, keyed: bool, clip_code: LongArray | None = None
) -> Iterator[memoryview]:
    """The instruction lists of the non-empty cores in `cores`, a few MB at a time; a chunk is only valid until the next.

    keyed: every list is preceded by `,\n"coreN":`, as in the single-file form. clip_code: as for the registers.

    Raises InvariantError for an opcode that a table must not hold.
    """
    table, registers = program.table, program.registers
    text, piece_start, piece_source, first_piece = templates()
    written = np.diff(first_piece) > 0
    known = np.append(written, False)[np.minimum(table.op, len(written))]
    if not known.all():
        row = int(np.argmin(known))
        raise InvariantError(f"table row {row}: opcode {table.op[row]} is not one that programs consist of")
    head = np.frombuffer(f"[\n{set_bit_widths(arch)}".encode(), np.uint8)
    buffer = np.empty(BUFFER_BYTES, np.uint8)
    state = np.array([cores.start, program.core_start[cores.start], 0], np.int64)
    values = operand_values(table, clip_code)
    while state[0] < cores.stop:
        used = _fill(
            buffer, state, cores.stop, keyed, head, stored_weight_bits(arch), program.core_start,
            table.op, registers.rd, registers.rs1, registers.rs2, registers.loads, values,
            table.group, table.size, table.peer, table.relu, table.src2,
            text, piece_start, piece_source, first_piece,
        )  # fmt: skip
        yield memoryview(buffer)[:used]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _put(buffer: ByteArray, at: int, text: ByteArray) -> int:
    """Copies text to buffer[at:]; returns the position behind it."""
    for k in range(len(text)):
        buffer[at + k] = text[k]
    return at + len(text)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _put_integer(buffer: ByteArray, at: int, value: int) -> int:
    """Writes a decimal integer; returns the position behind it."""
    if value < 0:
        buffer[at] = 45  # minus
        at += 1
        value = -value
    digits = 1
    bound = 10
    while value >= bound:
        digits += 1
        bound *= 10
    for k in range(digits - 1, -1, -1):
        buffer[at + k] = 48 + value % 10
        value //= 10
    return at + digits


@njit(cache=True)  # type: ignore[untyped-decorator]
def _put_load(buffer: ByteArray, at: int, register: int, value: int) -> int:
    """Writes `sldi register, value`, with the low 32 bits as the signed number that the simulator's registers hold."""
    value &= 0xFFFFFFFF
    if value >= 1 << 31:
        value -= 1 << 32
    at = _put(buffer, at, b',\n{"op":"sldi","rd":')
    at = _put_integer(buffer, at, register)
    at = _put(buffer, at, b',"imm":')
    at = _put_integer(buffer, at, value)
    return _put(buffer, at, b"}")


@njit(cache=True)  # type: ignore[untyped-decorator]
def _fill(  # type: ignore[no-untyped-def]
    buffer, state, core_stop, keyed, head, mbiw, core_start,
    op, rd, rs1, rs2, loads, values, group, size, peer, relu, fill,
    text, piece_start, piece_source, first_piece,
):  # fmt: skip
    """Fills the buffer from where state = [core, row, list begun] stands and advances it; returns the bytes written.

    core_stop ends the range of cores. Everything else: the columns of the table and the pieces of `templates`.
    """
    at = 0
    core, row, begun = state[0], state[1], state[2]
    while core < core_stop:
        if core_start[core] == core_start[core + 1]:
            core += 1
            continue
        if at + ROW_BYTES > len(buffer):
            break
        if not begun:
            if keyed:
                at = _put(buffer, at, b',\n"core')
                at = _put_integer(buffer, at, core)
                at = _put(buffer, at, b'":')
            at = _put(buffer, at, head)
            begun = 1
        while row < core_start[core + 1] and at + ROW_BYTES <= len(buffer):
            load = loads[row]
            if load:
                is_ld, is_st = op[row] == Op.LD, op[row] == Op.ST
                if load & LOAD_HIGH:
                    pair = rs1[row] if is_ld else rd[row]
                    at = _put_load(buffer, at, pair, values[row, 1 if is_ld else 0] >> 32)
                if load & 1:
                    at = _put_load(buffer, at, rd[row] + (1 if is_st else 0), values[row, 0])
                if load & 2:
                    at = _put_load(buffer, at, rs1[row] + (1 if is_ld else 0), values[row, 1])
                if load & 4:
                    at = _put_load(buffer, at, rs2[row], values[row, 2])
            at = _put(buffer, at, b",\n")
            for piece in range(first_piece[op[row]], first_piece[op[row] + 1]):
                at = _put(buffer, at, text[piece_start[piece] : piece_start[piece + 1]])
                source = piece_source[piece]
                if source == _RD:
                    at = _put_integer(buffer, at, rd[row])
                elif source == _RS1:
                    at = _put_integer(buffer, at, rs1[row])
                elif source == _RS2:
                    at = _put_integer(buffer, at, rs2[row])
                elif source == _GROUP:
                    at = _put_integer(buffer, at, group[row])
                elif source == _SIZE:
                    at = _put_integer(buffer, at, size[row])
                elif source == _PEER:
                    at = _put_integer(buffer, at, peer[row])
                elif source == _RELU:
                    at = _put_integer(buffer, at, relu[row])
                elif source == _FILL:
                    at = _put_integer(buffer, at, fill[row])
                elif source == _MBIW:
                    at = _put_integer(buffer, at, mbiw)
            row += 1
        if row < core_start[core + 1]:
            break
        buffer[at] = 93  # ], for which ROW_BYTES leaves room
        at += 1
        core += 1
        begun = 0
    state[0], state[1], state[2] = core, row, begun
    return at
