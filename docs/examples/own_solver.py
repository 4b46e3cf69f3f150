"""A solver of one's own: every layer once, array groups on the first core that has room."""

from dataclasses import dataclass, field

import numpy as np

import pimcomp
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Plan, Status


@dataclass(frozen=True)
class OnceEach:
    """No replication at all; the plainest plan there is."""

    name: str = field(default="once-each", init=False)  # no option

    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """One replica of every layer in its plain unfolding, first fit."""
        free = np.full(problem.cores, problem.crossbars_per_core)
        core_of = []
        for layer in problem.layers:
            places = []
            for crossbars in layer.options[0].ag_crossbars:
                fitting = np.flatnonzero(free >= crossbars)
                if not len(fitting):
                    return Outcome(status=Status.UNKNOWN, plan=None, reason="first fit found no room")
                free[fitting[0]] -= crossbars
                places.append(fitting[0])
            core_of.append(np.array([places], dtype=np.int32))
        count = len(problem.layers)
        plan = Plan(option=(0,) * count, replication=(1,) * count, core_of=tuple(core_of))
        return Outcome(status=Status.FEASIBLE, plan=plan)


if __name__ == "__main__":
    mine = pimcomp.compile_model("digits_resnet8", solver=OnceEach())
    best = pimcomp.compile_model("digits_resnet8")
    print(f"once each: {mine.latency_ns / 1e3:.1f} us; auto: {best.latency_ns / 1e3:.1f} us")
    print("verified" if mine.verify().passed else "wrong")
