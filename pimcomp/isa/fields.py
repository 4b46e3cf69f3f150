"""Which JSON fields every instruction has, in the order they are written, and where their values come from.

The simulators take a missing field as 0, so only fields that mean something are written. Two of them are there for the
simulator's hazard check alone: `size` of lmv (its memory access uses `len`) and rs1 of send (its access uses rd).
"""

from enum import IntEnum

import numpy as np

from pimcomp.ir.program import ByteArray, LongArray, Op


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


_RD, _RS1, _RS2 = ("rd", Source.RD), ("rs1", Source.RS1), ("rs2", Source.RS2)
_LEN, _SIZE, _CORE = ("len", Source.SIZE), ("size", Source.SIZE), ("core", Source.PEER)
_BINARY = (_RD, _RS1, _RS2, _LEN)
_UNARY = (_RD, _RS1, _LEN)

FIELDS: dict[Op, tuple[tuple[str, Source], ...]] = {
    Op.MVMUL: (_RD, _RS1, ("group", Source.GROUP), ("mbiw", Source.MBIW), ("relu", Source.RELU)),
    Op.VVADD: _BINARY,
    Op.VVSUB: _BINARY,
    Op.VVMUL: _BINARY,
    Op.VVDMUL: _BINARY,
    Op.VVMAX: _BINARY,
    Op.VVSLL: _BINARY,
    Op.VVSRA: _BINARY,
    Op.VAVG: _BINARY,
    Op.VRELU: _UNARY,
    Op.VTANH: _UNARY,
    Op.VSIGM: _UNARY,
    Op.VMV: _BINARY,
    Op.VRSU: _BINARY,
    Op.VRSL: _BINARY,
    Op.LD: (_RD, _RS1, _SIZE),
    Op.ST: (_RD, _RS1, _SIZE),
    Op.LLDI: (_RD, ("imm", Source.FILL), _LEN),
    Op.LMV: (_RD, _RS1, _LEN, _SIZE),
    Op.SEND: (_RD, _RS1, _CORE, _SIZE),
    Op.RECV: (_RD, _CORE, _SIZE),
}
"""Instructions a table may hold; every one of them ends in the reorder buffer, so each may be a core's last."""


def templates() -> tuple[ByteArray, LongArray, LongArray, LongArray]:
    """(text, piece_start, piece_source, first_piece): the JSON of every opcode as literals with values in between.

    Piece p is text[piece_start[p]:piece_start[p + 1]] followed by the value of Source piece_source[p]; opcode o owns
    the pieces [first_piece[o], first_piece[o + 1]), the last of which has Source.END.
    """
    pieces: list[tuple[str, Source]] = []
    first_piece = np.zeros(max(Op) + 2, np.int64)
    for op in range(max(Op) + 1):
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
