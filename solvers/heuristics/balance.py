"""balance: PIMCOMP-NN's default. Replicate the layer with the most windows per replica until half the chip is used."""

import heapq
import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Reads
from solvers.capacity import answer
from solvers.heuristics.faithful import Replication, capped, convolutions, highest_rung, plain_options

STOP_LEVEL = 0.5  # share of the free crossbars that PIMCOMP-NN leaves unused


@dataclass(frozen=True, slots=True)
class Balance:
    """The heuristic as PIMCOMP-NN runs it; a rung of its ladder is one added replica."""

    reads: ClassVar[Reads] = Reads.SHAPES
    name: str = field(default="balance", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        option = plain_options(problem)
        added = added_replicas(problem, option)
        base = np.ones(len(problem.layers), dtype=np.int64)

        def rung(steps: int) -> Replication:
            counts = base + np.bincount(added[:steps], minlength=len(base))
            return capped(problem, option, tuple(int(r) for r in counts))

        return highest_rung(problem, option, len(added), rung, self.name)


@dataclass(order=True, slots=True)
class _Queued:
    """Heap entry that compares by (negated) windows per replica alone.

    heapq and libstdc++'s priority_queue move entries alike, so ties fall as in PIMCOMP-NN and its counts are
    reproduced.
    """

    negated_windows: float
    layer: int = field(compare=False)
    replicas: int = field(compare=False)


def added_replicas(problem: MappingProblem, option: tuple[int, ...], stop_level: float = STOP_LEVEL) -> list[int]:
    """Layers in the order in which a replica is added to them, until `stop_level` of the free crossbars is left.

    As in PIMCOMP-NN the first copy of a convolution is not charged, and the first layer that does not fit ends it
    all.
    """
    chosen = [layer.options[o] for layer, o in zip(problem.layers, option, strict=True)]
    replicated = convolutions(problem)
    free = problem.crossbars - sum(c.crossbars for k, c in enumerate(chosen) if k not in replicated)
    stop = free * stop_level
    heap: list[_Queued] = []
    for k in replicated:
        heapq.heappush(heap, _Queued(-chosen[k].firings, k, 1))
    added: list[int] = []
    while heap and free > chosen[heap[0].layer].crossbars and free > stop:
        top = heapq.heappop(heap)
        free -= chosen[top.layer].crossbars
        added.append(top.layer)
        windows = np.float32(chosen[top.layer].firings) / np.float32(top.replicas + 1)  # single precision, as there
        heapq.heappush(heap, _Queued(-math.ceil(windows), top.layer, top.replicas + 1))
    return added
