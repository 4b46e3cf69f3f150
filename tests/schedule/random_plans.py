"""Random feasible plans: any unfolding, any replication, array groups anywhere."""

from dataclasses import dataclass, field

import numpy as np

from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Plan, Status


@dataclass(frozen=True, slots=True)
class RandomPlan:
    """A "solver" that chooses at random; UNKNOWN when its choice does not fit."""

    largest_replication: int = 5
    name: str = field(default="random", init=False)

    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Options first, then replicas one by one on random cores; a replica's groups on one to three of them."""
        rng = np.random.default_rng(seed)
        free = np.full(problem.cores, problem.crossbars_per_core)
        option, replication, core_of = [], [], []
        for layer in problem.layers:
            chosen = int(rng.integers(len(layer.options)))
            sizes = layer.options[chosen].ag_crossbars
            wanted = int(rng.integers(1, min(self.largest_replication, layer.options[chosen].firings) + 1))
            rows: list[list[int]] = []
            for _ in range(wanted):
                placed = _place(rng, free, sizes, int(rng.integers(1, 4)))
                if placed is None:
                    break
                rows.append(placed)
            if not rows:
                return Outcome(status=Status.UNKNOWN, plan=None, reason="the random choice does not fit")
            option.append(chosen)
            replication.append(len(rows))
            core_of.append(np.array(rows, dtype=np.int32))
        plan = Plan(option=tuple(option), replication=tuple(replication), core_of=tuple(core_of))
        return Outcome(status=Status.FEASIBLE, plan=plan)


def _place(rng: np.random.Generator, free: np.ndarray, sizes: np.ndarray, cores: int) -> list[int] | None:
    """Cores of one replica's groups; takes the crossbars from `free`. None if a group finds no room."""
    left = free.copy()
    favourites = rng.permutation(len(free))[:cores]
    placed = []
    for size in sizes:
        room = [c for c in favourites if left[c] >= size] or list(np.flatnonzero(left >= size))
        if not room:
            return None
        core = int(rng.choice(room))
        left[core] -= size
        placed.append(core)
    free[:] = left
    return placed
