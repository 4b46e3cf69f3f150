"""What a program keeps where: crossbars of every core by layer, bytes between cores and to the global memory."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.program import LongArray, Op
from pimdse.folder.program import ProgramFolder


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChipUse:
    """Counts of one pass.

    fill: int64[n, 3], (core, graph node, crossbars), by core, then node; node -1: array groups that never fire, and
    programs without layers. working: bool[cores], cores with instructions. traffic: int64[pairs, 3], (core, core,
    bytes) of messages in both directions, most bytes first. memory_bytes: int64[cores, 2], loaded and stored.
    """

    fill: LongArray
    working: npt.NDArray[np.bool_]
    traffic: LongArray
    memory_bytes: LongArray


def chip_use(folder: ProgramFolder) -> ChipUse:
    """Count a program."""
    stream, cores = folder.stream, folder.arch.total_cores
    core = np.repeat(np.arange(stream.cores, dtype=np.int64), np.diff(stream.core_start))
    size = stream.size.astype(np.int64)
    sends = np.flatnonzero(stream.op == Op.SEND)
    low, high = np.minimum(core[sends], stream.peer[sends]), np.maximum(core[sends], stream.peer[sends])
    traffic = _summed(low, high, size[sends])
    memory = np.zeros((cores, 2), np.int64)
    for column, op in enumerate((Op.LD, Op.ST)):
        rows = np.flatnonzero(stream.op == op)
        np.add.at(memory[:, column], core[rows], size[rows])
    working = np.zeros(cores, np.bool_)
    working[core] = True
    return ChipUse(
        fill=_fill(folder, core),
        working=working,
        traffic=traffic[np.argsort(-traffic[:, 2], kind="stable")],
        memory_bytes=memory,
    )


def _fill(folder: ProgramFolder, core: LongArray) -> LongArray:
    """Array groups with the layer of the mvmul's that fire them."""
    stream, groups = folder.stream, folder.decoded.array_group_map
    first = np.concatenate([[0], np.cumsum([len(of_core) for of_core in groups])])
    node = np.full(int(first[-1]), -1, np.int64)
    fires = np.flatnonzero(stream.op == Op.MVMUL)
    node[first[core[fires]] + stream.group[fires]] = folder.node[fires]
    owner = np.repeat(np.arange(len(groups)), np.diff(first))
    crossbars = np.concatenate([np.zeros(0, np.int64), *groups])
    return _summed(owner, node, crossbars)


def _summed(a: LongArray, b: LongArray, amount: LongArray) -> LongArray:
    """int64[n, 3]: the amount of every pair (a, b) that occurs, in their order."""
    pairs, which = np.unique(np.stack([a, b], axis=1).reshape(-1, 2), axis=0, return_inverse=True)
    total = np.zeros(len(pairs), np.int64)
    np.add.at(total, which.reshape(-1), amount)
    return np.column_stack([pairs, total]).astype(np.int64)
