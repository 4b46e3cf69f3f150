"""Single-field mutations of a program's table, drawn at random."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pimcomp.ir.program import Op, Program, Table
from pimcomp.isa.operands import Extents, extents
from pimcomp.isa.registers import assign_registers

KINDS = ("dst", "src", "src2", "size", "group", "peer", "swap")
_HAS_SRC2 = (Op.VVADD, Op.VVSUB, Op.VVMUL, Op.VVDMUL, Op.VVMAX, Op.VAVG, Op.VMV)


@dataclass(frozen=True, slots=True, eq=False)
class Mutant:
    """A changed program and what was changed."""

    program: Program
    what: str


def mutate(program: Program, kind: str, rng: np.random.Generator) -> Mutant:
    """Change one field of one random row, or exchange two neighbouring rows of a core that depend on each other."""
    if kind == "swap":
        return _swap(program, rng)
    rows = np.flatnonzero(_has(program, kind))
    row = int(rng.choice(rows))
    column = getattr(program.table, kind).copy()
    before = int(column[row])
    column[row] = _another(program, kind, row, before, rng)
    what = f"row {row} {Op(program.table.op[row]).name}: {kind} {before} -> {column[row]}"
    return Mutant(_with_table(program, replace(program.table, **{kind: column})), what)


def _has(program: Program, kind: str) -> npt.NDArray[np.bool_]:
    """Rows whose instruction has this field (and, for groups and cores, a choice)."""
    op = program.table.op
    core = np.repeat(np.arange(program.cores), np.diff(program.core_start))
    match kind:
        case "dst":
            has = op != Op.SEND
        case "src":
            has = ~np.isin(op, (Op.LLDI, Op.RECV))
        case "src2":
            has = np.isin(op, _HAS_SRC2)
        case "size":
            has = op != Op.MVMUL
        case "group":
            kinds = [len(np.unique(program.group_matrix[a:b])) for a, b in pairwise(program.group_start)]
            has = (op == Op.MVMUL) & (np.array(kinds)[core] > 1)
        case _:
            has = np.isin(op, (Op.SEND, Op.RECV))
    return np.asarray(has)


def _another(program: Program, kind: str, row: int, before: int, rng: np.random.Generator) -> int:
    """A different value that is plausible for the field: near by, or some other row's."""
    table, width = program.table, program.element_bytes
    core = int(np.searchsorted(program.core_start, row, side="right")) - 1
    while True:
        match kind:
            case "group":  # a replica with the same weights would mean the same
                first, last = program.group_start[core : core + 2]
                other = program.group_matrix[first:last] != program.group_matrix[first + before]
                value = int(rng.choice(np.flatnonzero(other)))
            case "peer":
                value = int(rng.choice(np.flatnonzero(np.diff(program.core_start))))
            case "size":
                unit = width if table.op[row] >= Op.LD else 1
                value = before + int(rng.choice([-16, -4, -2, -1, 1, 2, 4, 16])) * unit
            case _ if rng.random() < 0.5:
                value = before + int(rng.choice([-32, -8, -2, -1, 1, 2, 8, 32])) * width
            case _:
                own = np.arange(program.core_start[core], program.core_start[core + 1])
                value = int(getattr(table, kind)[rng.choice(own[table.op[own] == table.op[row]])])
                if value == before:
                    value = before + width
        if value != before:
            return value


def _swap(program: Program, rng: np.random.Generator) -> Mutant:
    """Exchange two neighbours, all but their places in the global order; others would mean the same."""
    found = extents(program)
    last = program.core_start[1:] - 1
    while True:
        row = int(rng.integers(program.instructions - 1))
        if row not in last and _dependent(program, found, row, row + 1) and not _both_accumulate(program, row):
            break
    rows = np.arange(program.instructions)
    rows[[row, row + 1]] = row + 1, row
    columns = {c: getattr(program.table, c)[rows] for c in Table.__slots__ if c != "order"}
    ops = [Op(o).name for o in program.table.op[row : row + 2]]
    return Mutant(_with_table(program, replace(program.table, **columns)), f"rows {row}, {row + 1} {ops}: exchanged")


def _both_accumulate(program: Program, row: int) -> bool:
    """Whether this row and the next add to the same sum: the order of additions does not matter."""
    table, pair = program.table, slice(row, row + 2)
    own = [(table.op[pair] == Op.VVADD), (table.dst[pair] == table.dst[row]), (table.src[pair] == table.dst[row])]
    return bool(np.all(own)) and table.size[row] == table.size[row + 1]


def _dependent(program: Program, found: Extents, a: int, b: int) -> bool:
    """Whether one of two rows of a core writes what the other reads or writes, or both are transfers."""
    op = program.table.op
    if op[a] in (Op.SEND, Op.RECV) and op[b] in (Op.SEND, Op.RECV):
        return True

    def meet(x: int, x_bytes: int, y: int, y_bytes: int) -> bool:
        return x_bytes > 0 and y_bytes > 0 and x < y + y_bytes and y < x + x_bytes

    for first, second in ((a, b), (b, a)):
        written = (int(found.write[first]), int(found.write_bytes[first]))
        if any(meet(*written, int(at[second]), int(size[second])) for at, size in found.local()):
            return True
    return False


def _with_table(program: Program, table: Table) -> Program:
    return replace(program, table=table, registers=assign_registers(table, program.core_start))
