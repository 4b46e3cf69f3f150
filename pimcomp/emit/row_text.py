"""One line of text per table row, with addresses instead of registers: for people, and as records for programs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.emit.ascii_kernels import put, put_integer
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op, Program
from pimcomp.isa.fields import FIELDS, Source
from pimcomp.isa.listing import emitted_index
from pimcomp.isa.table import IN_REGISTERS

BUFFER_BYTES = 1 << 20
_NUMBERS = ("index", "dst", "src", "src2", "size", "group", "peer", "relu")
_NODE, _NOTHING = len(_NUMBERS), len(_NUMBERS) + 1
_LISTED = {
    Source.RD: "dst",
    Source.RS1: "src",
    Source.RS2: "src2",
    Source.SIZE: "size",
    Source.GROUP: "group",
    Source.PEER: "peer",
    Source.RELU: "relu",
    Source.FILL: "src2",
}
_SHORT = {"size": "len", "group": "ag"}
_ADDRESS_WIDTH = 8  # columns of a number in the listing


class RowText(NamedTuple):
    """Per opcode the literals and what follows each: a number of the row, its node's name or nothing.

    literals[piece_start[p]:piece_start[p + 1]] is followed by column piece_number[p] (or `_NODE`, `_NOTHING`), padded
    with spaces to `width`; opcode o owns the pieces [first_piece[o], first_piece[o + 1]). names: likewise, by node;
    the last one is for rows without a node.
    """

    literals: ByteArray
    piece_start: LongArray
    piece_number: LongArray
    first_piece: LongArray
    names: ByteArray
    name_start: LongArray
    width: int
    longest: int


def _columns_of(op: Op) -> list[str]:
    """The columns that mean something for an instruction, in the order of `_NUMBERS`."""
    sources = {source for _, source in FIELDS[op] if source in _LISTED}
    if not IN_REGISTERS[op] & 1:
        sources.discard(Source.RD)  # written for the simulator's sake alone
    names = {_LISTED[source] for source in sources}
    return [name for name in _NUMBERS if name in names]


def _row_text(pieces_of: dict[Op, list[tuple[str, int]]], names: list[str], width: int) -> RowText:
    pieces: list[tuple[str, int]] = []
    first_piece = np.zeros(max(Op) + 2, np.int64)
    for op in range(max(Op) + 1):
        pieces += pieces_of.get(Op(op), []) if op in FIELDS else []
        first_piece[op + 1] = len(pieces)
    literals, encoded = [text.encode() for text, _ in pieces], [name.encode() for name in names]
    # Room for a row: its pieces' literals, numbers of at most 20 characters, one name.
    longest = int(np.diff(first_piece).max()) * (max(map(len, literals)) + 20 + width) + max(map(len, encoded))
    return RowText(
        np.frombuffer(b"".join(literals), np.uint8),
        np.cumsum([0, *map(len, literals)]).astype(np.int64),
        np.array([number for _, number in pieces], np.int64),
        first_piece,
        np.frombuffer(b"".join(encoded), np.uint8),
        np.cumsum([0, *map(len, encoded)]).astype(np.int64),
        width,
        longest,
    )


def listing_text(node_names: tuple[str, ...]) -> RowText:
    """`12      vvadd  dst=0        src=64       src2=128      len=16       conv1`, position first."""
    pieces: dict[Op, list[tuple[str, int]]] = {}
    for op in FIELDS:
        head = [("", 0)]
        literal = f"{op.name.lower():<7}"
        for name in _columns_of(op):
            head.append((f"{literal}{_SHORT.get(name, name)}=", _NUMBERS.index(name)))
            literal = " "
        pieces[op] = [*head, (" ", _NODE), ("\n", _NOTHING)]
    return _row_text(pieces, [*node_names, "-"], _ADDRESS_WIDTH)


def record_text(node_names: tuple[str, ...]) -> RowText:
    """`,\\n{"index":12,"op":"vvadd","dst":0,"src":64,"src2":128,"size":16,"node":3}`."""
    pieces: dict[Op, list[tuple[str, int]]] = {}
    for op in FIELDS:
        fields = [(f',"{name}":', _NUMBERS.index(name)) for name in _columns_of(op)]
        first, *rest = fields
        pieces[op] = [
            (',\n{"index":', 0),
            (f',"op":"{op.name.lower()}"{first[0]}', first[1]),
            *rest,
            (',"node":', _NODE),
            ("}", _NOTHING),
        ]
    return _row_text(pieces, [*map(str, range(len(node_names))), "-1"], 0)


def row_numbers(program: Program) -> LongArray:
    """int64[rows, 8]: the columns of `_NUMBERS`; index: position in the core's emitted list."""
    table = program.table
    return np.stack(
        [emitted_index(program), table.dst, table.src, table.src2, table.size, table.group, table.peer, table.relu],
        axis=1,
        dtype=np.int64,
    )


def row_chunks(program: Program, numbers: LongArray, text: RowText, rows: range) -> Iterator[memoryview]:
    """The text of these table rows, about a MB at a time; a chunk is valid until the next."""
    buffer = np.empty(BUFFER_BYTES + text.longest, np.uint8)
    state = np.array([rows.start], np.int64)
    while state[0] < rows.stop:
        used = _fill(buffer, state, rows.stop, program.table.op, program.table.node, numbers, text)
        yield buffer[:used].data


@kernel
def _fill(
    buffer: ByteArray, state: LongArray, stop: int, op: ByteArray, node: IntArray, numbers: LongArray, text: RowText
) -> int:
    """Writes rows from state[0] on while there is room and advances it; returns the bytes written."""
    at = 0
    row = state[0]
    while row < stop and at + text.longest <= len(buffer):
        for piece in range(text.first_piece[op[row]], text.first_piece[op[row] + 1]):
            at = put(buffer, at, text.literals[text.piece_start[piece] : text.piece_start[piece + 1]])
            number = text.piece_number[piece]
            begin = at
            if number < numbers.shape[1]:
                at = put_integer(buffer, at, numbers[row, number])
                while at < begin + text.width:
                    buffer[at] = 32
                    at += 1
            elif number == numbers.shape[1]:
                name = node[row] if node[row] >= 0 else len(text.name_start) - 2
                at = put(buffer, at, text.names[text.name_start[name] : text.name_start[name + 1]])
        row += 1
    state[0] = row
    return at


def used_by_core(program: Program) -> npt.NDArray[np.int64]:
    """Cores that have instructions, in order."""
    return np.flatnonzero(np.diff(program.core_start))
