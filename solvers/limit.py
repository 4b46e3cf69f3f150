"""How a time limit bounds a search: by a budget in deterministic units derived from it, and by the clock, which only
caps what a slow or busy machine does not finish, and marks the answer.
"""

import time

DEFAULT_S = 10.0  # of solvers whose budget is derived from the limit, where none was asked for
ACTIONS_PER_S = 150_000  # tasks and messages that an idle core orders (0.2 to 0.25 million measured), with some room
EVALUATIONS_PER_S = 100  # complete plans made and priced (200 to 2,000 measured on the shipped networks)


def units(time_limit_s: float | None, per_s: float, own: int) -> int:
    """A budget: the solver's own, or what an idle core does within the limit if that is less."""
    return own if time_limit_s is None else min(own, int(per_s * time_limit_s))


class Clock:
    """Started now. `cut`: whether it has ended a search, whose answer another run may not give again."""

    def __init__(self, time_limit_s: float | None) -> None:
        self.started_s, self.limit_s = time.perf_counter(), time_limit_s
        self.cut = False

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started_s

    def ends(self) -> bool:
        """Whether the time is up; asked where there would be more to do, so that "yes" cuts the search short."""
        self.cut = self.cut or (self.limit_s is not None and self.spent_s >= self.limit_s)
        return self.cut
