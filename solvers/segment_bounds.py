"""What segments take at the least, all of them at once: arrays over layers, and a plan for none.

If no array group of a segment works longer than T on an image, each of its layers needs so many replicas, and with them
so many rows to write and so many crossbars; the image takes at least T, and at least an even share of their issue time.
The least sum of writing and computing over T bounds the price of a segment, and the crossbars at that T are the budget
that its plan is worth. Layers of the same input are merged where they meet: each of them counts as what it adds
to those before it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import FloatVector
from pimcomp.plan.writing import rows_of
from solvers.exact.relaxation import configurations

LIMITS = 96  # times T that are tried, from the shortest to the longest of any array group, in equal ratios


class Work(NamedTuple):
    """What layers take. Per layer the busiest array group's time (ns, rising), and the fewest rows and crossbars of all
    replications up to it. issue_ns: an even share of all issue time of the layers."""

    layers: tuple[tuple[FloatVector, FloatVector, FloatVector], ...]
    issue_ns: float


class Least(NamedTuple):
    """Of one segment: crossbars of every core and ns, writing included, at the T where the latter are least."""

    crossbars_per_core: int
    price_ns: float


def work_of(problem: MappingProblem, parts: Partition) -> Work:
    """Of a rewritten graph."""
    table, layers, work_ns = configurations(problem), [], 0.0
    for options, (begin, end) in zip(parts.options, pairwise(table.start.tolist()), strict=True):
        order = np.argsort(table.group_ns[begin:end], kind="stable") + begin
        rows = np.array([rows_of(option) for option in options])[table.option[order]] * table.replication[order]
        least = (np.minimum.accumulate(values).astype(np.float64) for values in (rows, table.crossbars[order]))
        layers.append((table.group_ns[order], *least))
        work_ns += float(table.work_ns[begin:end].min(initial=np.inf))
    return Work(tuple(layers), work_ns / (problem.cores * problem.rob_size))


class Piece(NamedTuple):
    """Layers by themselves; and what those before them that are merged with them take, without and with them."""

    alone: Work
    others: Work | None = None
    together: Work | None = None


class Ranges:
    """Bounds of everything between two of successive pieces of a network, on one chip."""

    def __init__(self, pieces: Sequence[Piece], arch: Arch) -> None:
        self._arch = arch
        times = np.concatenate([[1.0], *(layer[0] for piece in pieces for layer in piece.alone.layers)])[1:]
        self._limits = np.geomspace(times.min(initial=np.inf), times.max(), LIMITS) if len(times) else np.ones(1)
        self._limits[-1] = times.max(initial=1.0)  # without rounding
        self._issue_ns = np.array([self._added(piece, lambda work: np.array(work.issue_ns)) for piece in pieces])
        self._least = np.array([self._added(piece, self._steps) for piece in pieces])

    @staticmethod
    def _added(piece: Piece, of: Callable[[Work], FloatVector]) -> FloatVector:
        alone = of(piece.alone)
        if piece.others is None or piece.together is None:
            return alone
        others, together = of(piece.others), of(piece.together)
        known = np.isfinite(others) & np.isfinite(together) & np.isfinite(alone)
        added = np.where(known, together, 0.0) - np.where(known, others, 0.0)
        return np.where(np.isfinite(alone), np.clip(added, 0.0, alone), alone)

    def _steps(self, work: Work) -> FloatVector:
        """float64[2, limits]: rows and crossbars; these are infinite where a layer cannot be as fast."""
        total = np.zeros((2, len(self._limits)))
        for times, *least in work.layers:
            at = np.searchsorted(times, self._limits, side="right")
            total += [np.concatenate([[slow], values])[at] for slow, values in zip((0.0, np.inf), least, strict=True)]
        return total

    def begin(self, first: int, images: int) -> list[Least]:
        """Of the pieces from `first` on to each later one, as long as the crossbars may be enough."""
        crossbars = np.cumsum(self._least[first:, 1], axis=0)
        fitting = int((crossbars[:, -1] <= self._arch.crossbars).sum())  # they only grow
        rows = np.cumsum(self._least[first : first + fitting, 0], axis=0)
        above = np.concatenate([[0.0], self._limits[:-1]])  # T is not below this one
        longest = np.maximum(above, np.cumsum(self._issue_ns[first : first + fitting])[:, None])
        price_ns = images * longest + rows * self._arch.row_write_ns / self._arch.rows_written_at_once
        price_ns[crossbars[:fitting] > self._arch.crossbars] = np.inf
        best = price_ns.argmin(axis=1)
        at = np.arange(fitting), best
        budgets = -(-crossbars[:fitting][at] // self._arch.total_cores)
        return [Least(max(1, int(b)), float(ns)) for b, ns in zip(budgets, price_ns[at], strict=True)]
