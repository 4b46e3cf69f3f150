"""Which cores wait forever, in which instruction and for whom."""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.program import Op
from pimcomp.timeline.run import DONE, Run
from pimcomp.timeline.work import PS_PER_NS, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """One waiting core: `instruction` is the position in its own list (scalar instructions not counted)."""

    core: int
    instruction: int
    op: Op
    peer: int  # -1: waits for no particular core
    since_ns: float

    def __str__(self) -> str:
        """E.g. `core 3, instruction 17: send to core 5, waiting since 120 ns`."""
        whom = {Op.SEND: f" to core {self.peer}", Op.RECV: f" from core {self.peer}"}.get(self.op, "")
        what = f"{self.op.name.lower()}{whom}, waiting since {self.since_ns:g} ns"
        return f"core {self.core}, instruction {self.instruction}: {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlock:
    """Every core that waits forever, and a cycle among them: each waits for the next (empty: a peer has finished)."""

    blocked: tuple[Blocked, ...]
    cycle: tuple[int, ...]

    def message(self, limit: int = 8) -> str:
        """One line per blocked core, at most `limit`."""
        lines = [str(b) for b in self.blocked[:limit]]
        if len(self.blocked) > limit:
            lines.append(f"... and {len(self.blocked) - limit} more")
        what = "a peer has already finished"
        if self.cycle:
            what = "cycle of cores " + " -> ".join(str(c) for c in (*self.cycle, self.cycle[0]))
        return f"{len(self.blocked)} cores wait forever; {what}\n  " + "\n  ".join(lines)


def find_deadlock(stream: Stream, run: Run) -> Deadlock | None:
    """The deadlock a run ended in, or None if every core finished."""
    waiting = np.flatnonzero(run.state != DONE)
    if not len(waiting):
        return None
    blocked = tuple(
        Blocked(
            core=int(c),
            instruction=int(run.at[c] - stream.core_start[c]),
            op=Op(int(stream.op[run.at[c]])),
            peer=int(stream.peer[run.at[c]]),
            since_ns=float(run.since[c]) / PS_PER_NS,
        )
        for c in waiting
    )
    return Deadlock(blocked=blocked, cycle=_cycle({b.core: b.peer for b in blocked}))


def _cycle(waits_for: dict[int, int]) -> tuple[int, ...]:
    """First cycle of a functional graph, starting at its smallest core; empty if there is none."""
    seen: set[int] = set()
    for start in waits_for:
        path: list[int] = []
        core = start
        while core in waits_for and core not in seen:
            seen.add(core)
            path.append(core)
            core = waits_for[core]
        if core in path:
            loop = path[path.index(core) :]
            first = loop.index(min(loop))
            return (*loop[first:], *loop[:first])
    return ()
