"""Array groups numbered within their cores, as instructions name them."""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.array_group import Partition
from pimcomp.ir.plan import Plan
from pimcomp.schedule.work import LongArray


@dataclass(frozen=True, slots=True, eq=False)
class GroupTable:
    """Array groups by core: those of core c are [start[c], start[c + 1]).

    local: per weighted layer int64[replication, groups], their numbers within their cores. Per array group: `matrix`,
    its number among all groups of the chosen options, by layer; its layer, rows, columns, crossbars, weight_bits and
    activation_bits (0: the chip's).
    """

    start: LongArray
    local: tuple[LongArray, ...]
    matrix: LongArray
    layer: LongArray
    rows: LongArray
    columns: LongArray
    crossbars: LongArray
    weight_bits: LongArray
    activation_bits: LongArray


def number_groups(partition: Partition, plan: Plan, cores: int) -> GroupTable:
    """Number array groups within their cores, in the order of layers, replicas and groups."""
    matrices = [options[o] for options, o in zip(partition.options, plan.option, strict=True)]
    first = np.cumsum([0, *[len(matrix.groups) for matrix in matrices]])
    none = [np.zeros(0, np.int64)]
    core = np.concatenate([*none, *[c.ravel() for c in plan.core_of]])
    layer = np.repeat(np.arange(len(matrices)), [c.size for c in plan.core_of])
    group = np.concatenate([*none, *[np.tile(np.arange(c.shape[1]), len(c)) for c in plan.core_of]])
    order = np.argsort(core, kind="stable")
    start = np.searchsorted(core[order], np.arange(cores + 1))
    local = np.empty(len(core), dtype=np.int64)
    local[order] = np.arange(len(core)) - start[core[order]]
    cuts = np.cumsum([0, *[c.size for c in plan.core_of]])
    shaped = tuple(local[a : a + c.size].reshape(c.shape) for a, c in zip(cuts, plan.core_of, strict=False))
    matrix = first[layer[order]] + group[order]
    flat = [g for m in matrices for g in m.groups]
    rows = [(g.row_stop - g.row_start, g.columns, g.crossbars, *g.precision) for g in flat]
    sizes = np.array(rows, np.int64).reshape(-1, 5)
    return GroupTable(start, shaped, matrix, layer[order], *sizes[matrix].T)
