"""memory.npz: the real numbers that make a program executable by others; checkpoints.npz: where to look meanwhile."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pimcomp.emit.npz import write_npz
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Program
from pimcomp.isa.listing import emitted_index, emitted_start
from pimcomp.isa.table import BOUND, SRC2

SHARED_ABOVE_BYTES = 256 << 20
"""Above this size of all array groups' matrices together, replicas share one copy in the file."""


def write_memory(program: Program, path: Path, *, shared_above_bytes: int = SHARED_ABOVE_BYTES) -> None:
    """Writes memory.npz.

    global_addresses int64[n], global_values float32[n]: every constant element in global memory.
    input_names, output_names: the tensors. input_addresses, output_addresses int64: addresses in the tensor's shape,
    with a leading axis of images_per_round when that is > 1; with several inputs (outputs) NAME_addresses for each
    instead, or another key where that one is taken: input_keys, output_keys say which.
    core{c}_group{g} float32[rows, cols]: the weights of an array group, rows in the order of its input vector; above
    `shared_above_bytes` in total, `matrix_{m}` and core{c}_groups int32[groups] (group -> m) take their place.
    clip_core, clip_index, clip_value: bound of the vrsu/vrsl at that position of that core's list.
    images_per_round, output_round_delay: int64 scalars; output_delays int64[outputs] where they are not all the same.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "global_addresses": program.constant_addresses.astype(np.int64),
        "global_values": program.constant_values.astype(np.float32),
    }
    for side, tensors in (("input", program.inputs), ("output", program.outputs)):
        arrays[f"{side}_names"] = np.array(list(tensors), np.str_)
        keys = []
        for name, addresses in tensors.items():
            keys.append(f"{side}_addresses" if len(tensors) == 1 else f"{name}_addresses")
            while keys[-1] in arrays:  # an output that is an input, an input called "global"
                keys[-1] = f"{side}_{keys[-1]}"
            arrays[keys[-1]] = addresses.astype(np.int64)
        arrays[f"{side}_keys"] = np.array(keys, np.str_)
    clip_core, clip_index, clip_value = _clips(program)
    arrays |= {
        "images_per_round": np.array(program.images_per_round, np.int64),
        "output_round_delay": np.array(program.output_round_delay, np.int64),
        "clip_core": clip_core,
        "clip_index": clip_index,
        "clip_value": clip_value,
    }
    if program.output_delays:
        delays = [program.output_delays.get(name, program.output_round_delay) for name in program.outputs]
        arrays["output_delays"] = np.array(delays, np.int64)
    sizes = np.array([matrix.nbytes for matrix in program.matrices], np.int64)
    shared = int(sizes[program.group_matrix].sum()) > shared_above_bytes
    write_npz(path, arrays | (_shared_matrices(program) if shared else _own_matrices(program)))


def _own_matrices(program: Program) -> dict[str, npt.NDArray[Any]]:
    start = program.group_start
    return {
        f"core{core}_group{group - start[core]}": program.matrices[program.group_matrix[group]]
        for core in np.flatnonzero(np.diff(start)).tolist()
        for group in range(start[core], start[core + 1])
    }


def _shared_matrices(program: Program) -> dict[str, npt.NDArray[Any]]:
    start = program.group_start
    used = np.unique(program.group_matrix).tolist()
    return {f"matrix_{m}": program.matrices[m] for m in used} | {
        f"core{core}_groups": program.group_matrix[start[core] : start[core + 1]].astype(np.int32)
        for core in np.flatnonzero(np.diff(start)).tolist()
    }


def _clips(program: Program) -> tuple[IntArray, LongArray, npt.NDArray[np.float32]]:
    """(core, position in its list, real bound) of every vrsu and vrsl."""
    rows = np.flatnonzero(SRC2[program.table.op] == BOUND)
    bounds = program.clip_values[program.table.src2[rows]].astype(np.float32)
    return _core_of(program, rows), emitted_index(program)[rows], bounds


def _core_of(program: Program, rows: npt.NDArray[np.int64]) -> IntArray:
    """The cores that execute these table rows."""
    return (np.searchsorted(program.core_start, rows, side="right") - 1).astype(np.int32)


def write_checkpoints(program: Program, node_channels: IntArray, path: Path) -> None:
    """Writes checkpoints.npz, the fields of `decode.EmittedCheckpoints`: table rows become positions in emitted lists.

    node_channels: int32[nodes], channels of every graph node's feature map.
    """
    points = program.checkpoints
    emitted, start = emitted_index(program), emitted_start(program)
    # What stands in front of an instruction works for the same node; the first entries, for none.
    instruction_node = np.repeat(program.table.node, np.bitwise_count(program.registers.loads) + 1)
    instruction_node[start[:-1][np.diff(start) > 0]] = -1
    write_npz(
        path,
        {
            "core": _core_of(program, points.after),
            "index": emitted[points.after],
            "node": points.node.astype(np.int32),
            "image": points.image.astype(np.int32),
            "row": points.row.astype(np.int32),
            "col_start": points.col_start.astype(np.int32),
            "col_stop": points.col_stop.astype(np.int32),
            "address": points.address.astype(np.int64),
            "channels": node_channels[points.node].astype(np.int32),
            "node_names": np.array(program.node_names, np.str_),
            "instruction_node": instruction_node,
        },
    )
