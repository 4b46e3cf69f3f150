"""weights.npz: what is programmed into the cells of every crossbar.

A weight w of a graph node is stored as u = round(w / 2**e) + 2**(weight_bits - 1), clamped to weight_bits bits, with
the smallest exponent e for which the largest magnitude of that node fits; u is cut into cells_per_weight slices of
cell_bits, the most significant in the leftmost column. Subtracting 2**(weight_bits - 1) times the sum of the inputs
from a column's result undoes the offset.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pimcomp.emit.memory_npz import SHARED_ABOVE_BYTES
from pimcomp.emit.npz import write_npz
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import Program

CellArray = npt.NDArray[np.unsignedinteger[Any]]


def write_weights(program: Program, arch: Arch, path: Path, *, shared_above_bytes: int = SHARED_ABOVE_BYTES) -> None:
    """Writes weights.npz.

    core{c}_group{g}_crossbar{x} uint8[rows, columns used * cells per weight] (uint16 above 8-bit cells): crossbar x
    holds the weight columns [x * weight_cols, (x + 1) * weight_cols) of its array group. Above `shared_above_bytes` in
    total: matrix_{m}_crossbar{x} and core{c}_groups int32[groups] (group -> m). exponents int32[nodes]: e of every
    graph node (0 without weights). weight_bits, cell_bits: int64 scalars; where layers have bits of their own,
    node_weight_bits int32[nodes] says so (0: weight_bits), and weight_cols is the layer's.
    """
    exponents = weight_exponents(program, arch)
    start = program.group_start
    total = sum(program.matrices[m].size for m in program.group_matrix.tolist()) * arch.cells_per_weight
    total *= 1 if arch.cell_bits <= 8 else 2
    arrays: dict[str, npt.NDArray[Any]] = {
        "exponents": exponents,
        "weight_bits": np.array(arch.weight_bits, np.int64),
        "cell_bits": np.array(arch.cell_bits, np.int64),
    }
    own_bits = _node_weight_bits(program)
    if own_bits.any():
        arrays["node_weight_bits"] = own_bits
    node_of = dict(zip(program.group_matrix.tolist(), program.group_node.tolist(), strict=True))
    cells = {
        m: crossbar_cells(program.matrices[m], int(exponents[node]), arch, int(own_bits[node]))
        for m, node in sorted(node_of.items())
    }
    if total > shared_above_bytes:
        arrays |= {f"matrix_{m}_crossbar{x}": part for m, parts in cells.items() for x, part in enumerate(parts)}
    for core in np.flatnonzero(np.diff(start)).tolist():
        own = program.group_matrix[start[core] : start[core + 1]]
        if total > shared_above_bytes:
            arrays[f"core{core}_groups"] = own.astype(np.int32)
            continue
        arrays |= {
            f"core{core}_group{g}_crossbar{x}": part
            for g, m in enumerate(own.tolist())
            for x, part in enumerate(cells[m])
        }
    write_npz(path, arrays)


def weight_exponents(program: Program, arch: Arch) -> IntArray:
    """int32[nodes]: the smallest power of two per node with which its largest weight fits weight_bits."""
    largest = np.zeros(len(program.node_names))
    for matrix, node in set(zip(program.group_matrix.tolist(), program.group_node.tolist(), strict=True)):
        largest[node] = max(largest[node], float(np.abs(program.matrices[matrix]).max(initial=0)))
    own_bits = _node_weight_bits(program)
    limit = 2.0 ** (np.where(own_bits, own_bits, arch.weight_bits) - 1) - 1
    exponents = np.zeros(len(largest), np.int32)
    held = largest > 0
    exponents[held] = np.ceil(np.log2(largest[held] / limit[held])).astype(np.int32)
    return exponents


def _node_weight_bits(program: Program) -> IntArray:
    """int32[nodes]: bits of the weights of every graph node, 0: the chip's."""
    bits = np.zeros(len(program.node_names), np.int32)
    bits[program.group_node] = program.group_weight_bits
    return bits


def crossbar_cells(weights: FloatArray, exponent: int, arch: Arch, weight_bits: int = 0) -> list[CellArray]:
    """The cells of an array group's crossbars, in order: [rows, columns used * cells per weight] each."""
    offset, per_weight = 1 << ((weight_bits or arch.weight_bits) - 1), arch.cells_at(weight_bits)
    scaled = np.rint(weights.astype(np.float64) * 2.0**-exponent).astype(np.int64)
    stored = np.clip(scaled, -offset, offset - 1) + offset
    shifts = np.arange(per_weight)[::-1] * arch.cell_bits
    cells = (stored[:, :, None] >> shifts) & ((1 << arch.cell_bits) - 1)
    flat: CellArray = cells.reshape(len(weights), -1).astype(np.uint8 if arch.cell_bits <= 8 else np.uint16)
    width = arch.weight_cols_at(weight_bits) * per_weight
    return [flat[:, begin : begin + width] for begin in range(0, flat.shape[1], width)]
