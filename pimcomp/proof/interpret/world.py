"""Global memory as the interpreter holds it: only the cells a program can touch, with input and output cells marked."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.emit.decode import MemoryImage
from pimcomp.errors import InvariantError
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import LongArray
from pimcomp.isa.byte_space import byte_space
from pimcomp.isa.table import LOAD, STORE, UNIT
from pimcomp.proof.interpret.resolve import Resolved


class Cells(NamedTuple):
    """Dense numbering of the touched bytes of global memory.

    row_cell: int64[rows], first cell of an ld's source or st's destination (others 0). input_slot, output_slot:
    int32[cells], which input or output element a cell is the first byte of, or -1. constant_cell: cells of constants.
    """

    cells: int
    row_cell: LongArray
    input_slot: IntArray
    output_slot: IntArray
    constant_cell: LongArray


class Tensors(NamedTuple):
    """Input or output tensors end to end: `slot[name]` numbers each element's place, in the shape of its addresses."""

    slot: dict[str, LongArray]
    address: LongArray  # int64[slots]: the byte address of each place


def tensors(addresses: dict[str, LongArray]) -> Tensors:
    """Number the distinct addresses of all tensors; elements at the same address share a place."""
    flat = np.concatenate([a.ravel() for a in addresses.values()]) if addresses else np.zeros(0, np.int64)
    unique, inverse = np.unique(flat, return_inverse=True)
    slot, start = {}, 0
    for name, a in addresses.items():
        slot[name] = inverse[start : start + a.size].reshape(a.shape)
        start += a.size
    return Tensors(slot, unique)


def lay_out(stream: Resolved, memory: MemoryImage, inputs: Tensors, outputs: Tensors) -> Cells:
    """Number every byte of global memory that is a constant, input or output element or that an ld or st touches.

    Raises InvariantError if inputs, outputs and constants overlap.
    """
    ld, st = UNIT[stream.op] == LOAD, UNIT[stream.op] == STORE
    moved = ld | st
    address = np.where(ld, stream.src, stream.dst)
    known = np.concatenate([memory.global_addresses.ravel(), inputs.address, outputs.address])
    if len(np.unique(known)) != len(known) or sum(s.size for s in inputs.slot.values()) != len(inputs.address):
        raise InvariantError("memory.npz: an address holds two of: a constant, an input element, an output element")
    sizes = np.concatenate([stream.size[moved], np.ones(len(known), np.int64)])
    space = byte_space(np.concatenate([address[moved], known]), sizes)
    row_cell = np.zeros(len(stream.op), np.int64)
    row_cell[moved] = space.cell(address[moved])
    input_slot, output_slot = np.full(space.cells, -1, np.int32), np.full(space.cells, -1, np.int32)
    input_slot[space.cell(inputs.address)] = np.arange(len(inputs.address))
    output_slot[space.cell(outputs.address)] = np.arange(len(outputs.address))
    return Cells(space.cells, row_cell, input_slot, output_slot, space.cell(memory.global_addresses.ravel()))


def scatter(tensor: Tensors, values: Mapping[str, npt.NDArray[np.generic]], rounds: int) -> FloatArray:
    """Input values (name -> [lanes, rounds, *shape of addresses]) as float32[rounds, places, lanes]."""
    missing = set(tensor.slot) ^ set(values)
    if missing:
        raise ValueError(f"inputs: expected {sorted(tensor.slot)}, found {sorted(values)}")
    lanes = len(next(iter(values.values()))) if values else 1
    out = np.empty((rounds, len(tensor.address), lanes), np.float32)
    for name, slot in tensor.slot.items():
        value = np.asarray(values[name], np.float32)
        if value.shape != (lanes, rounds, *slot.shape):
            raise ValueError(f"input {name}: expected shape {(lanes, rounds, *slot.shape)}, found {value.shape}")
        out[:, slot.ravel()] = value.reshape(lanes, rounds, -1).transpose(1, 2, 0)
    return out
