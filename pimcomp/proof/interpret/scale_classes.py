"""Which values of a program must share one scale in integers, found by following the data.

Additions, subtractions, maxima and copies have no shift: their operands and results are in one *class*. Only mvmul,
vvmul, vvdmul, vsigm and vtanh begin a new one. Union-find merges classes while all steps are followed without values.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.typed import Dict

from pimcomp.errors import InvariantError
from pimcomp.foundation.kernels import Whole, kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Op
from pimcomp.isa.table import COMPUTES, DST, INPUT, MATRIX, ONE_OUTPUT, SRC, SRC2, STRIDED, UNIT
from pimcomp.proof.interpret.moves import Memories, move
from pimcomp.proof.interpret.order import Steps
from pimcomp.proof.interpret.resolve import Resolved
from pimcomp.proof.interpret.run import Prepared
from pimcomp.proof.interpret.world import Cells

ANY = -1  # the class of zero, which is zero in every scale, and of cells that hold nothing
_PRODUCT = types.UniTuple(types.int64, 3)  # a kind of operation and the classes of its operands
_SWEEPS = 4  # merging changes which products count as the same; it settles in two sweeps in practice


class Classes(NamedTuple):
    """Every class by its representative number; `ANY` where only zeros occur.

    classes: numbers in use. a, b, out: int32[rows], classes of a row's operands and results (of mvmul: only out).
    input, constant, output: int32 per input tensor's place, constant and output place.
    row_start int64[groups + 1], matrix_row: class of what enters at each row of an array group's matrix.
    """

    classes: int
    a: IntArray
    b: IntArray
    out: IntArray
    input: IntArray
    constant: IntArray
    output: IntArray
    row_start: LongArray
    matrix_row: IntArray


class _Book(NamedTuple):
    """What is known of classes: the parent of each in its tree, and the class of what each kind of operation makes of
    two. [low, high) are constants'; those from `used` on are made."""

    parent: IntArray
    products: Any
    low: int
    high: int
    used: int


class _Rows(NamedTuple):
    """Per row the class of its sums and its node; per array group where its matrix' rows begin, and its columns."""

    sums: IntArray
    node: IntArray
    first: LongArray
    cols: LongArray


def find_classes(prepared: Prepared, row_node: IntArray) -> Classes:
    """Classes of everything. row_node: int32[rows of the stream], the graph node a row works for, or -1.

    All array groups of a node give results of one class; of rows that belong to no node each array group has its own.
    Raises InvariantError if merging does not settle.
    """
    p = prepared
    stream, groups = p.stream, len(p.matrices.rows)
    input_class = np.zeros(len(p.inputs.address), np.int32)
    for number, slot in enumerate(p.inputs.slot.values()):
        input_class[slot.ravel()] = number
    constants = len(p.memory.global_values)
    first_constant = len(p.inputs.slot)
    first_sum = first_constant + constants
    nodes = int(row_node.max(initial=-1)) + 1
    sums = np.where(row_node >= 0, row_node, nodes + np.maximum(stream.group, 0)).astype(np.int32) + first_sum
    constant_class = np.arange(first_constant, first_sum, dtype=np.int32)
    constant_class[p.memory.global_values.ravel() == 0] = ANY
    parent = np.arange(first_sum + nodes + groups + 3 * len(stream.op), dtype=np.int32)
    row_start = np.concatenate([[0], np.cumsum(p.matrices.rows)]).astype(np.int64)
    products = _no_products()
    book = _Book(parent, products, first_constant, first_sum, first_sum + nodes + groups)
    rows = _Rows(sums, row_node, row_start, p.matrices.cols)
    for _ in range(_SWEEPS):
        before, known_products = _roots(parent, np.arange(len(parent), dtype=np.int32)), _count(products)
        found = _follow(p.steps, stream, p.cells, book, rows, (input_class, constant_class), len(p.outputs.address))
        after = _roots(parent, np.arange(len(parent), dtype=np.int32))
        if (before == after).all() and _count(products) == known_products:
            break
    else:
        raise InvariantError("scales of the program's values do not settle")
    a, b, out, output, matrix_row = (_roots(parent, x) for x in found)
    inputs, constant = _roots(parent, input_class), _roots(parent, constant_class)
    return Classes(len(parent), a, b, out, inputs, constant, output, row_start, matrix_row)


def _roots(parent: IntArray, classes: IntArray) -> IntArray:
    root = parent.copy()
    while (root[root] != root).any():
        root = root[root]
    return np.where(classes >= 0, root[np.maximum(classes, 0)], ANY).astype(np.int32)


@kernel
def _no_products() -> Any:
    """An empty dictionary: made outside of kernels, numba would compile that anew in every process."""
    return Dict.empty(_PRODUCT, types.int32)


@kernel
def _count(products: Any) -> Whole:
    return len(products)


@kernel
def _find(parent: IntArray, x: Whole) -> Whole:
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@kernel
def _is_constant(book: _Book, c: Whole) -> bool:
    return bool(book.low <= c < book.high)


@kernel
def _union(book: _Book, x: Whole, y: Whole) -> Whole:
    """Merge two classes (ANY merges with nothing); the representative is no constant if one is not."""
    parent = book.parent
    if x < 0:
        return y if y < 0 else _find(parent, y)
    if y < 0:
        return _find(parent, x)
    x, y = _find(parent, x), _find(parent, y)
    if x == y:
        return x
    if _is_constant(book, x) or (not _is_constant(book, y) and y < x):
        x, y = y, x
    parent[y] = x
    return x


@kernel
def _fresh(book: _Book, kind: Whole, a: Whole, b: Whole) -> Any:
    """The class of the results of one kind of operation on these classes."""
    key = (np.int64(kind), np.int64(a), np.int64(b))
    if key not in book.products:
        book.products[key] = np.int32(book.used + len(book.products))
    return book.products[key]


@kernel
def _gather(book: _Book, local: IntArray, at: Whole, n: Whole, step: Whole) -> Whole:
    """Merge the classes of n elements into one."""
    c: Whole = np.int32(ANY)
    for i in range(n):
        c = _union(book, c, local[int(at + i * step)])
    return c


@kernel
def _fill(local: IntArray, at: Whole, n: Whole, step: Whole, c: Whole) -> None:
    """Give n elements, `step` cells apart, one class."""
    for i in range(n):
        local[at + i * step] = c


@kernel
def _changed(book: _Book, kind: Whole, c: Whole) -> Whole:
    """The class of a result of class c: not a constant's alone, and not ANY."""
    return _union(book, c, _fresh(book, kind, c, ANY)) if c < 0 or _is_constant(book, c) else c


@kernel
def _element_wise(
    book: _Book, local: IntArray, stream: Resolved, row: Whole, base: Whole, kind: Whole, b: IntArray, out: IntArray
) -> None:
    """Operations that keep the scale of their operands."""
    op, n = stream.op[row], stream.size[row]
    ib, ob = np.int64(stream.ibytes[row]), np.int64(stream.obytes[row])
    src, src2, dst = base + stream.src[row], base + stream.src2[row], base + stream.dst[row]
    moved = np.empty(n, np.int32)
    if op in (Op.VVADD, Op.VVSUB):
        c = _union(book, _gather(book, local, src, n, ib), _gather(book, local, src2, n, ib))
        out[row] = _changed(book, kind, c) if c >= 0 else c
        moved[:] = out[row]
    elif op in (Op.VRSU, Op.VRSL, Op.VVSLL, Op.VVSRA):
        out[row] = _changed(book, kind, _gather(book, local, src, n, ib))
        if op in (Op.VVSLL, Op.VVSRA):
            b[row] = _gather(book, local, src2, n, ib)
        moved[:] = out[row]
    elif SRC2[op] == INPUT:
        for i in range(n):  # element by element: the branches of a concatenation keep their own scales
            c = _union(book, local[src + i * ib], local[src2 + i * ib])
            moved[i] = _changed(book, kind, c) if c >= 0 else c
    else:
        stride = stream.src2[row] if SRC[op] == STRIDED else 1
        for i in range(n):
            moved[i] = local[src + i * ib * stride]
    wide = ib if DST[op] == INPUT else ob
    for i in range(n):
        local[dst + i * wide] = moved[i]


@kernel
def _rescaling(
    book: _Book,
    local: IntArray,
    stream: Resolved,
    row: Whole,
    base: Whole,
    kind: Whole,
    a: IntArray,
    b: IntArray,
    out: IntArray,
) -> None:
    """Operations whose results begin a class (and vavg, whose one result does not)."""
    op, n, two = stream.op[row], stream.size[row], SRC2[stream.op[row]] == INPUT
    ib, stride = np.int64(stream.ibytes[row]), stream.src2[row] if SRC[op] == STRIDED else 1
    a[row] = _gather(book, local, base + stream.src[row], n, ib * stride)
    if two:
        b[row] = _gather(book, local, base + stream.src2[row], n, ib)
    if op == Op.VAVG or (two and (a[row] < 0 or b[row] < 0)):
        out[row] = a[row] if op == Op.VAVG else ANY
    else:
        out[row] = _fresh(book, kind, a[row], b[row])
    count = 1 if DST[op] == ONE_OUTPUT else n
    _fill(local, base + stream.dst[row], count, np.int64(stream.obytes[row]), out[row])


@kernel
def _follow(
    steps: Steps, stream: Resolved, cells: Cells, book: _Book, of: _Rows, known: tuple[IntArray, IntArray], outputs: int
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """One sweep over all steps; see find_classes. known: classes of inputs and of constants."""
    (input_class, constant_class), rows = known, len(stream.op)
    a, b, out = np.full(rows, ANY, np.int32), np.full(rows, ANY, np.int32), np.full(rows, ANY, np.int32)
    output, matrix_row = np.full(outputs, ANY, np.int32), np.full(of.first[-1], ANY, np.int32)
    local, world = np.full(stream.local_start[-1], ANY, np.int32), np.full(cells.cells, ANY, np.int32)
    world[cells.constant_cell] = constant_class
    # Classes move as the cells of one lane in one round.
    memories = Memories(
        local.reshape((-1, 1)), world.reshape((-1, 1)), input_class.reshape((1, -1, 1)), output.reshape((1, -1, 1)),
        np.zeros((0, 1), np.int32), np.zeros(0, np.int32), np.zeros((0, 1), np.int64), np.int32(ANY),
    )  # fmt: skip
    for step in range(len(steps.row)):
        row, mate = steps.row[step], steps.mate[step]
        op, base = stream.op[row], stream.local_start[stream.core[row]]
        kind = np.int64(of.node[row]) * 64 + (np.int64(Op.VRSU) if op == Op.VRSL else np.int64(op))
        if op == Op.LLDI:
            _fill(local, base + stream.dst[row], stream.size[row], 1, ANY)
        elif not COMPUTES[op]:
            mate_base = stream.local_start[stream.core[mate]] if mate >= 0 else 0
            move(stream, row, mate, 0, base, mate_base, cells, memories)
        elif UNIT[op] == MATRIX:
            g, src = stream.group[row], base + stream.src[row]
            for r in range(of.first[g + 1] - of.first[g]):
                at = of.first[g] + r
                matrix_row[at] = _union(book, matrix_row[at], local[src + r * np.int64(stream.ibytes[row])])
            out[row] = of.sums[row]
            _fill(local, base + stream.dst[row], of.cols[g], np.int64(stream.obytes[row]), of.sums[row])
        elif op in (Op.VVMUL, Op.VVDMUL, Op.VAVG, Op.VTANH, Op.VSIGM):
            _rescaling(book, local, stream, row, base, kind, a, b, out)
        else:
            _element_wise(book, local, stream, row, base, kind, b, out)
    return a, b, out, output, matrix_row
