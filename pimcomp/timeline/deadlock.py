"""Which cores wait forever, in which instruction and for whom."""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.program import LongArray, Op
from pimcomp.timeline.run import DONE, Run
from pimcomp.timeline.work import PS_PER_NS, Instructions


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """One waiting core: `instruction` is the position in its own list (scalar instructions not counted).

    peer: the core at the other end of a transfer; of a `wait` on register `event`, the first waiting core whose list
    still has a `sync` of that register ahead (-1: none has).
    """

    core: int
    instruction: int
    op: Op
    peer: int
    since_ns: float
    event: int = -1

    def __str__(self) -> str:
        """E.g. `core 3, instruction 17: send to core 5, waiting since 120 ns`."""
        whom = {Op.SEND: f" to core {self.peer}", Op.RECV: f" from core {self.peer}"}.get(self.op, "")
        if self.op == Op.WAIT:
            by = f"core {self.peer} has yet to" if self.peer >= 0 else "no core is going to"
            whom = f" for event {self.event}, which {by} sync"
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


def find_deadlock(stream: Instructions, run: Run) -> Deadlock | None:
    """The deadlock a run ended in, or None if every core finished."""
    waiting = np.flatnonzero(run.state != DONE)
    if not len(waiting):
        return None
    blocked = tuple(_blocked(stream, run, int(c), waiting) for c in waiting)
    return Deadlock(blocked=blocked, cycle=_cycle({b.core: b.peer for b in blocked}))


def _blocked(stream: Instructions, run: Run, core: int, waiting: LongArray) -> Blocked:
    row = int(run.at[core])
    op, peer, event = Op(int(stream.op[row])), int(stream.peer[row]), -1
    if op == Op.WAIT:
        event = int(stream.event[row])
        peer = next((int(c) for c in waiting if c != core and _will_sync(stream, run, int(c), core, event)), -1)
    return Blocked(
        core=core,
        instruction=row - int(stream.core_start[core]),
        op=op,
        peer=peer,
        since_ns=float(run.since[core]) / PS_PER_NS,
        event=event,
    )


def _will_sync(stream: Instructions, run: Run, core: int, target: int, event: int) -> bool:
    """Whether a core's list, behind what it waits in, has a `sync` of that register of `target`."""
    ahead = slice(int(run.at[core]) + 1, int(stream.core_start[core + 1]))
    found = (stream.op[ahead] == Op.SYNC) & (stream.peer[ahead] == target) & (stream.event[ahead] == event)
    return bool(found.any())


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
