"""Plans as integer vectors: per layer an option and the rank of its replication among the useful ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import firing_ns
from solvers.capacity import smallest_options
from solvers.exact.relaxation import Choice, useful_replications

IntMatrix = npt.NDArray[np.int64]
FloatMatrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranks:
    """Useful replications of every option of every layer that fit the chip alone.

    options: int64[layers], how many. ranks: int64[layers, options], how many replications each option has (0: it
    never fits). most: int64[layers], the largest of these. replication: int64[layers, options, most].
    replica_crossbars, firings: int64[layers, options]. firing_ns, work_ns: float64[layers, options], of the slowest
    array group and of one inference. smallest: int64[layers], the option that takes the fewest crossbars. Vectors are
    int64[2 layers]: options, then ranks.
    """

    options: IntMatrix
    ranks: IntMatrix
    most: IntMatrix
    replication: IntMatrix
    replica_crossbars: IntMatrix
    firings: IntMatrix
    firing_ns: FloatMatrix
    work_ns: FloatMatrix
    smallest: IntMatrix

    def decode(self, genes: IntMatrix) -> tuple[IntMatrix, IntMatrix]:
        """(option, replication), int64[population, layers] each; a rank too high means the highest."""
        layers = np.arange(len(self.options))
        option = genes[:, : len(layers)]
        usable = np.where(self.ranks[layers, option] > 0, option, self.smallest)
        rank = np.minimum(genes[:, len(layers) :], self.ranks[layers, usable] - 1)
        return usable, self.replication[layers, usable, rank]

    def crossbars(self, genes: IntMatrix) -> IntMatrix:
        """int64[population, layers]: crossbars of every layer."""
        option, replication = self.decode(genes)
        return np.asarray(self.replica_crossbars[np.arange(len(self.options)), option] * replication)

    def encode(self, choices: Sequence[Choice]) -> IntMatrix:
        """int64[choices, 2 layers]; a replication between two ranks becomes the lower one."""
        rows = []
        for choice in choices:
            rank = [
                int(np.searchsorted(self.replication[k, o, : self.ranks[k, o]], r, side="right")) - 1
                for k, (o, r) in enumerate(zip(choice.option, choice.replication, strict=True))
            ]
            rows.append([*choice.option, *rank])
        return np.array(rows, dtype=np.int64).reshape(len(choices), 2 * len(self.options))


def make_ranks(problem: MappingProblem) -> Ranks:
    """The integer encoding of a problem whose layers all fit the chip alone."""
    layers, widest = len(problem.layers), max(len(layer.options) for layer in problem.layers)
    useful: dict[tuple[int, int], IntMatrix] = {}
    crossbars, firings = np.zeros((layers, widest), dtype=np.int64), np.ones((layers, widest), dtype=np.int64)
    slowest_ns, work_ns = np.zeros((layers, widest)), np.zeros((layers, widest))
    for k, layer in enumerate(problem.layers):
        for o, option in enumerate(layer.options):
            crossbars[k, o], firings[k, o] = option.crossbars, option.firings
            slowest_ns[k, o], work_ns[k, o] = firing_ns(option).max(), option.work_ns
            replication = useful_replications(option.firings)
            fits = option.ag_crossbars.max() <= problem.crossbars_per_core
            useful[k, o] = replication[replication * option.crossbars <= problem.crossbars] if fits else replication[:0]
    ranks = np.zeros((layers, widest), dtype=np.int64)
    table = np.ones((layers, widest, max(len(r) for r in useful.values())), dtype=np.int64)
    for (k, o), replication in useful.items():
        ranks[k, o] = len(replication)
        table[k, o, : len(replication)] = replication
    return Ranks(
        options=np.array([len(layer.options) for layer in problem.layers], dtype=np.int64),
        ranks=ranks,
        most=ranks.max(axis=1),
        replication=table,
        replica_crossbars=crossbars,
        firings=firings,
        firing_ns=slowest_ns,
        work_ns=work_ns,
        smallest=np.array(smallest_options(problem), dtype=np.int64),
    )


def fit_budget(ranks: Ranks, genes: IntMatrix, budget: int) -> IntMatrix:
    """Genes whose crossbars fit: the largest layer of an individual steps down until they do.

    A layer that cannot step down in its option changes to its smallest one. One replica of every layer in its
    smallest option must fit.
    """
    layers = len(ranks.options)
    option, _ = ranks.decode(genes)
    rank = np.minimum(genes[:, layers:], ranks.ranks[np.arange(layers), option] - 1)
    fitted = np.concatenate([option, rank], axis=1)
    _lower(fitted, ranks.replication, ranks.replica_crossbars, ranks.smallest, budget)
    return fitted


@kernel
def _lower(genes, replication, replica_crossbars, smallest, budget):  # type: ignore[no-untyped-def]
    layers = genes.shape[1] // 2
    for i in range(genes.shape[0]):
        used = np.zeros(layers, dtype=np.int64)
        for k in range(layers):
            used[k] = replication[k, genes[i, k], genes[i, layers + k]] * replica_crossbars[k, genes[i, k]]
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
            o, r = genes[i, largest], genes[i, layers + largest]
            used[largest] = replication[largest, o, r] * replica_crossbars[largest, o]
