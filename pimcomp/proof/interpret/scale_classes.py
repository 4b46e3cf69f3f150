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
from pimcomp.proof.interpret.order import Steps
from pimcomp.proof.interpret.resolve import Resolved
from pimcomp.proof.interpret.run import Prepared
from pimcomp.proof.interpret.world import Cells

ANY = -1  # the class of zero, which is zero in every scale, and of cells that hold nothing
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
    products = Dict.empty(types.UniTuple(types.int64, 3), types.int32)
    for _ in range(_SWEEPS):
        before, known_products = _roots(parent, np.arange(len(parent), dtype=np.int32)), len(products)
        found = _follow(
            p.steps,
            stream,
            p.cells,
            (sums, row_node, row_start, p.matrices.cols, len(p.outputs.address)),
            (input_class, constant_class, p.cells.constant_cell, first_constant, first_sum),
            parent,
            products,
            first_sum + nodes + groups,
        )
        after = _roots(parent, np.arange(len(parent), dtype=np.int32))
        if (before == after).all() and len(products) == known_products:
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
def _find(parent: IntArray, x: Whole) -> Whole:
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@kernel
def _union(parent: IntArray, x: Whole, y: Whole, low: Whole, high: Whole) -> Whole:
    """Merge two classes (ANY merges with nothing); the representative is no constant ([low, high)) if one is not."""
    if x < 0:
        return y if y < 0 else _find(parent, y)
    if y < 0:
        return _find(parent, x)
    x, y = _find(parent, x), _find(parent, y)
    if x == y:
        return x
    if low <= x < high or (not low <= y < high and y < x):
        x, y = y, x
    parent[y] = x
    return x


@kernel
def _fresh(products: Any, kind: Whole, a: Whole, b: Whole, used: Whole) -> Any:
    """The class of the results of one kind of operation on these classes."""
    key = (np.int64(kind), np.int64(a), np.int64(b))
    if key not in products:
        products[key] = np.int32(used + len(products))
    return products[key]


@kernel
def _gather(
    parent: IntArray,
    local: IntArray,
    at: Whole,
    n: Whole,
    step: Whole,
    low: Whole,
    high: Whole,
) -> Whole:
    """Merge the classes of n elements into one."""
    c: Whole = np.int32(ANY)
    for i in range(n):
        c = _union(parent, c, local[int(at + i * step)], low, high)
    return c


@kernel
def _fill(local: IntArray, at: Whole, n: Whole, step: Whole, c: Whole) -> None:
    """Give n elements, `step` cells apart, one class."""
    for i in range(n):
        local[at + i * step] = c


@kernel
def _pass(
    local: IntArray,
    world: IntArray,
    steps: Steps,
    step: Whole,
    stream: Resolved,
    cells: Cells,
    base: Whole,
    mate_base: Whole,
    input_class: IntArray,
    output: IntArray,
) -> None:
    """ld, st, lldi, lmv and transfers move classes as they move cells."""
    row, mate = steps.row[step], steps.mate[step]
    op, size = stream.op[row], stream.size[row]
    for i in range(size):
        if op == Op.SEND:
            local[mate_base + stream.dst[mate] + i] = local[base + stream.src[row] + i]
        elif op == Op.LMV:
            local[base + stream.dst[row] + i] = local[base + stream.src[row] + i]
        elif op == Op.LLDI:
            local[base + stream.dst[row] + i] = ANY
        elif op == Op.LD:
            at = cells.row_cell[row] + i
            slot = cells.input_slot[at]
            local[base + stream.dst[row] + i] = input_class[slot] if slot >= 0 else world[at]
        elif op == Op.ST:
            at = cells.row_cell[row] + i
            c = local[base + stream.src[row] + i]
            world[at] = c
            if cells.output_slot[at] >= 0 and c >= 0:
                output[cells.output_slot[at]] = c


@kernel
def _changed(parent: IntArray, products: Any, kind: Whole, c: Whole, span: tuple[Whole, Whole, Whole]) -> Whole:
    """The class of a result of class c: not a constant's alone, and not ANY."""
    low, high, used = span
    if c < 0 or low <= c < high:
        return _union(parent, c, _fresh(products, kind, c, ANY, used), low, high)
    return c


@kernel
def _element_wise(
    parent: IntArray,
    local: IntArray,
    stream: Resolved,
    row: Whole,
    base: Whole,
    products: Any,
    kind: Whole,
    span: tuple[Whole, Whole, Whole],
    tables: tuple[IntArray, IntArray, IntArray],
) -> None:
    """Operations that keep the scale of their operands."""
    op, n, (low, high, _), (_, b, out) = stream.op[row], stream.size[row], span, tables
    ib, ob = np.int64(stream.ibytes[row]), np.int64(stream.obytes[row])
    src, src2, dst = base + stream.src[row], base + stream.src2[row], base + stream.dst[row]
    moved = np.empty(n, np.int32)
    if op in (Op.VVADD, Op.VVSUB):
        c = _gather(parent, local, src, n, ib, low, high)
        c = _union(parent, c, _gather(parent, local, src2, n, ib, low, high), low, high)
        out[row] = _changed(parent, products, kind, c, span) if c >= 0 else c
        moved[:] = out[row]
    elif op in (Op.VRSU, Op.VRSL, Op.VVSLL, Op.VVSRA):
        out[row] = _changed(parent, products, kind, _gather(parent, local, src, n, ib, low, high), span)
        if op in (Op.VVSLL, Op.VVSRA):
            b[row] = _gather(parent, local, src2, n, ib, low, high)
        moved[:] = out[row]
    elif SRC2[op] == INPUT:
        for i in range(n):  # element by element: the branches of a concatenation keep their own scales
            c = _union(parent, local[src + i * ib], local[src2 + i * ib], low, high)
            moved[i] = _changed(parent, products, kind, c, span) if c >= 0 else c
    else:
        stride = stream.src2[row] if SRC[op] == STRIDED else 1
        for i in range(n):
            moved[i] = local[src + i * ib * stride]
    wide = ib if DST[op] == INPUT else ob
    for i in range(n):
        local[dst + i * wide] = moved[i]


@kernel
def _rescaling(
    parent: IntArray,
    local: IntArray,
    stream: Resolved,
    row: Whole,
    base: Whole,
    products: Any,
    kind: Whole,
    span: tuple[Whole, Whole, Whole],
    tables: tuple[IntArray, IntArray, IntArray],
) -> None:
    """Operations whose results begin a class (and vavg, whose one result does not)."""
    op, n, (low, high, used), (a, b, out) = stream.op[row], stream.size[row], span, tables
    ib, two = np.int64(stream.ibytes[row]), SRC2[op] == INPUT
    stride = stream.src2[row] if SRC[op] == STRIDED else 1
    a[row] = _gather(parent, local, base + stream.src[row], n, ib * stride, low, high)
    if two:
        b[row] = _gather(parent, local, base + stream.src2[row], n, ib, low, high)
    if op == Op.VAVG or (two and (a[row] < 0 or b[row] < 0)):
        out[row] = a[row] if op == Op.VAVG else ANY
    else:
        out[row] = _fresh(products, kind, a[row], b[row], used)
    count = 1 if DST[op] == ONE_OUTPUT else n
    _fill(local, base + stream.dst[row], count, np.int64(stream.obytes[row]), out[row])


@kernel
def _follow(
    steps: Steps,
    stream: Resolved,
    cells: Cells,
    names: tuple[IntArray, IntArray, LongArray, LongArray, int],
    known: tuple[IntArray, IntArray, LongArray, int, int],
    parent: IntArray,
    products: Any,
    used: Whole,
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """One sweep over all steps; see find_classes."""
    sums, row_node, row_start, cols, outputs = names
    input_class, constant_class, constant_cell, low, high = known
    rows, span = len(stream.op), (low, high, used)
    a, b, out = np.full(rows, ANY, np.int32), np.full(rows, ANY, np.int32), np.full(rows, ANY, np.int32)
    output, matrix_row = np.full(outputs, ANY, np.int32), np.full(row_start[-1], ANY, np.int32)
    local, world = np.full(stream.local_start[-1], ANY, np.int32), np.full(cells.cells, ANY, np.int32)
    for i in range(len(constant_cell)):
        world[constant_cell[i]] = constant_class[i]
    for step in range(len(steps.row)):
        row = steps.row[step]
        op, base = stream.op[row], stream.local_start[stream.core[row]]
        kind = np.int64(row_node[row]) * 64 + (np.int64(Op.VRSU) if op == Op.VRSL else np.int64(op))
        if not COMPUTES[op]:
            mate = steps.mate[step]
            mate_base = stream.local_start[stream.core[mate]] if mate >= 0 else 0
            _pass(local, world, steps, step, stream, cells, base, mate_base, input_class, output)
        elif UNIT[op] == MATRIX:
            g, src = stream.group[row], base + stream.src[row]
            for r in range(row_start[g + 1] - row_start[g]):
                at = row_start[g] + r
                entering = local[src + r * np.int64(stream.ibytes[row])]
                matrix_row[at] = _union(parent, matrix_row[at], entering, low, high)
            out[row] = sums[row]
            _fill(local, base + stream.dst[row], cols[g], np.int64(stream.obytes[row]), sums[row])
        elif op in (Op.VVMUL, Op.VVDMUL, Op.VAVG, Op.VTANH, Op.VSIGM):
            _rescaling(parent, local, stream, row, base, products, kind, span, (a, b, out))
        else:
            _element_wise(parent, local, stream, row, base, products, kind, span, (a, b, out))
    return a, b, out, output, matrix_row
