"""Plans as integer vectors: per layer an option and the rank of its replication among the useful ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import IntVector, Shapes, shapes_of
from solvers.capacity import smallest_options
from solvers.exact.relaxation import Choice, useful_replications

IntMatrix = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranks:
    """Useful replications of every option of every layer that fit the chip alone; options are rows of `shapes`.

    ranks: int64[options], how many replications each option has (0: it never fits). replication: int64[options, most of
    these]. options, most: int64[layers], how many options, and the most ranks of one. smallest: int64[layers], the
    option that takes the fewest crossbars. Vectors are int64[2 layers]: options, then ranks.
    """

    shapes: Shapes
    options: IntVector
    ranks: IntVector
    most: IntVector
    replication: IntMatrix
    smallest: IntVector

    def decode(self, genes: IntMatrix) -> tuple[IntMatrix, IntMatrix]:
        """(option, replication), int64[population, layers] each; a rank too high means the highest."""
        first, layers = self.shapes.first[:-1], len(self.options)
        option = genes[:, :layers]
        usable = np.where(self.ranks[first + option] > 0, option, self.smallest)
        rank = np.minimum(genes[:, layers:], self.ranks[first + usable] - 1)
        return usable, self.replication[first + usable, rank]

    def crossbars(self, genes: IntMatrix) -> IntMatrix:
        """int64[population, layers]: crossbars of every layer."""
        option, replication = self.decode(genes)
        return np.asarray(self.shapes.crossbars[self.shapes.first[:-1] + option] * replication)

    def encode(self, choices: Sequence[Choice]) -> IntMatrix:
        """int64[choices, 2 layers]; a replication between two ranks becomes the lower one."""
        rows = []
        for choice in choices:
            row = self.shapes.first[:-1] + choice.option
            useful = [self.replication[i, : self.ranks[i]] for i in row]
            rank = [
                int(np.searchsorted(u, r, side="right")) - 1 for u, r in zip(useful, choice.replication, strict=True)
            ]
            rows.append([*choice.option, *rank])
        return np.array(rows, dtype=np.int64).reshape(len(choices), 2 * len(self.options))


def make_ranks(problem: MappingProblem) -> Ranks:
    """The integer encoding of a problem whose layers all fit the chip alone."""
    shapes = shapes_of(problem)
    useful: list[IntVector] = []
    for option in (option for layer in problem.layers for option in layer.options):
        replication = useful_replications(option.firings)
        fits = option.ag_crossbars.max() <= problem.crossbars_per_core
        useful.append(replication[replication * option.crossbars <= problem.crossbars] if fits else replication[:0])
    ranks = np.array([len(replication) for replication in useful], dtype=np.int64)
    table = np.ones((len(useful), max(ranks)), dtype=np.int64)
    for row, replication in zip(table, useful, strict=True):
        row[: len(replication)] = replication
    return Ranks(
        shapes=shapes,
        options=np.diff(shapes.first),
        ranks=ranks,
        most=np.maximum.reduceat(ranks, shapes.first[:-1]),
        replication=table,
        smallest=np.array(smallest_options(problem), dtype=np.int64),
    )


def fit_budget(ranks: Ranks, genes: IntMatrix, budget: int) -> IntMatrix:
    """Genes whose crossbars fit: the largest layer of an individual steps down until they do.

    A layer that cannot step down in its option changes to its smallest one. One replica of every layer in its
    smallest option must fit.
    """
    layers = len(ranks.options)
    option, _ = ranks.decode(genes)
    rank = np.minimum(genes[:, layers:], ranks.ranks[ranks.shapes.first[:-1] + option] - 1)
    fitted = np.concatenate([option, rank], axis=1)
    _lower(fitted, ranks.shapes, ranks.replication, ranks.smallest, budget)
    return fitted


@kernel
def _lower(genes: IntMatrix, shapes: Shapes, replication: IntMatrix, smallest: IntVector, budget: int) -> None:
    layers = genes.shape[1] // 2
    for i in range(genes.shape[0]):
        used = np.zeros(layers, dtype=np.int64)
        for k in range(layers):
            row = shapes.first[k] + genes[i, k]
            used[k] = replication[row, genes[i, layers + k]] * shapes.crossbars[row]
        while used.sum() > budget:
            largest = -1
            for k in range(layers):
                movable = genes[i, layers + k] > 0 or genes[i, k] != smallest[k]
                if movable and (largest < 0 or used[k] > used[largest]):
                    largest = k
            if largest < 0:
                break
            if genes[i, layers + largest] > 0:
                genes[i, layers + largest] -= 1
            else:
                genes[i, largest] = smallest[largest]
            row = shapes.first[largest] + genes[i, largest]
            used[largest] = replication[row, genes[i, layers + largest]] * shapes.crossbars[row]
