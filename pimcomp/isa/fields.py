"""Which JSON fields every instruction has, in the order they are written, and where their values come from.

The simulators take a missing field as 0, so only fields that mean something are written.
"""

from enum import IntEnum

import numpy as np

from pimcomp.ir.program import ByteArray, LongArray, Op
from pimcomp.isa.table import ISA


class Source(IntEnum):
    """Where a field's value comes from: a register number or a column of the table, or a constant of the chip."""

    RD = 0
    RS1 = 1
    RS2 = 2
    GROUP = 3
    SIZE = 4
    PEER = 5
    RELU = 6
    FILL = 7
    MBIW = 8
    END = 9  # nothing: the text is complete


SOURCES = int(Source.END)
"""Sources that have a value: numbered 0 to SOURCES - 1."""


_SOURCE = {
    "rd": Source.RD,
    "rs1": Source.RS1,
    "rs2": Source.RS2,
    "imm": Source.FILL,
    "group": Source.GROUP,
    "len": Source.SIZE,
    "size": Source.SIZE,
    "core": Source.PEER,
    "mbiw": Source.MBIW,
    "relu": Source.RELU,
}

FIELDS: dict[Op, tuple[tuple[str, Source], ...]] = {
    op: tuple((name, _SOURCE[name]) for name in row.fields.split()) for op, row in ISA.items() if row.fields
}
"""Instructions a table may hold; every one of them ends in the reorder buffer, so each may be a core's last."""


def templates() -> tuple[ByteArray, LongArray, LongArray, LongArray]:
    """(text, piece_start, piece_source, first_piece): the JSON of every opcode as literals with values in between.

    Piece p is text[piece_start[p]:piece_start[p + 1]] followed by the value of Source piece_source[p]; opcode o owns
    the pieces [first_piece[o], first_piece[o + 1]), the last of which has Source.END.
    """
    pieces: list[tuple[str, Source]] = []
    first_piece = np.zeros(max(ISA) + 2, np.int64)
    for op in range(max(ISA) + 1):
        if op in FIELDS:
            head = f'{{"op":"{Op(op).name.lower()}"'
            for name, source in FIELDS[Op(op)]:
                pieces.append((f'{head},"{name}":', source))
                head = ""
            pieces.append(("}", Source.END))
        first_piece[op + 1] = len(pieces)
    literals = [piece.encode() for piece, _ in pieces]
    starts = np.cumsum([0, *map(len, literals)])
    text = np.frombuffer(b"".join(literals), np.uint8)
    return text, starts.astype(np.int64), np.array([source for _, source in pieces], np.int64), first_piece
