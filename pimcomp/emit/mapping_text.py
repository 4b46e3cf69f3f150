"""mapping.txt: which array groups sit on which core (PIMCOMP-NN's MappingResult)."""

import numpy as np

from pimcomp.emit.row_text import used_by_core
from pimcomp.ir.program import LongArray, Program


def mapping_text(program: Program) -> str:
    """A block per core: node, replica and array group within the replica, crossbars, size of the weight slice."""
    replica, within = _numbering(program)
    used = np.union1d(np.flatnonzero(np.diff(program.group_start)), used_by_core(program)).tolist()
    lines = [f"{len(used)} of {program.cores} cores used, {program.group_crossbars.sum()} crossbars"]
    for core in used:
        begin, end = int(program.group_start[core]), int(program.group_start[core + 1])
        lines.append(f"core {core}: {end - begin} array groups, {program.group_crossbars[begin:end].sum()} crossbars")
        for group in range(begin, end):
            rows, cols = program.matrices[program.group_matrix[group]].shape
            lines.append(
                f"  {group - begin:4d}  {program.node_names[program.group_node[group]]}  replica {replica[group]}  "
                f"array group {within[group]}  crossbars {program.group_crossbars[group]}  {rows} x {cols}"
            )
    return "\n".join(lines) + "\n"


def _numbering(program: Program) -> tuple[LongArray, LongArray]:
    """(replica, array group within it): replicas share matrices, and a node's matrices are numbered in order."""
    replica = np.zeros(len(program.group_matrix), np.int64)
    order = np.argsort(program.group_matrix, kind="stable")
    matrix = program.group_matrix[order]
    first = np.searchsorted(matrix, matrix, side="left")
    replica[order] = np.arange(len(matrix)) - first
    node_of = np.zeros(len(program.matrices), np.int64)
    node_of[program.group_matrix] = program.group_node
    used = np.unique(program.group_matrix)
    within_node = np.zeros(len(program.matrices), np.int64)
    by_node = used[np.argsort(node_of[used], kind="stable")]
    nodes = node_of[by_node]
    within_node[by_node] = np.arange(len(by_node)) - np.searchsorted(nodes, nodes, side="left")
    return replica, within_node[program.group_matrix]
