"""The order of all actions: complete, after what they depend on, one at a time on every core they occupy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given
from hypothesis import strategies as st

from pimcomp.schedule.ordering.list_schedule import (
    DURATION_NS,
    FLITS,
    LATENCY_NS,
    MEMORY_NS,
    READ_NS,
    WRITE_NS,
    list_schedule,
)

CORES = 4
UNHURRIED = 10**6  # a window beyond every rank


@dataclass(frozen=True)
class Action:
    """A task on a core (peer -1), or a transfer to a peer. rank: not below that of what it depends on."""

    core: int
    peer: int
    rank: int
    duration_ns: int
    memory_ns: int
    after: tuple[int, ...]

    @property
    def cores(self) -> tuple[int, ...]:
        """The cores it occupies."""
        return (self.core,) if self.peer < 0 else (self.core, self.peer)


class Outcome:
    """What `list_schedule` says of actions, by their number in the list."""

    def __init__(self, actions: list[Action], slack_ns: float = 500.0, window: int = UNHURRIED) -> None:
        number = sorted(range(len(actions)), key=lambda i: actions[i].peer >= 0)  # tasks first
        place = {action: at for at, action in enumerate(number)}
        times = np.zeros((len(actions), 4))
        who = np.zeros((len(actions), 3), np.int64)
        for at, i in enumerate(number):
            action = actions[i]
            who[at] = action.core, action.peer, action.rank
            if action.peer < 0:
                times[at, DURATION_NS], times[at, MEMORY_NS] = action.duration_ns, action.memory_ns
            else:
                times[at, [READ_NS, WRITE_NS]] = action.duration_ns
                times[at, LATENCY_NS], times[at, FLITS] = 2.0, 1 + action.memory_ns
        pairs = np.array(
            sorted((place[before], place[i]) for i, action in enumerate(actions) for before in action.after), np.int64
        ).reshape(-1, 2)
        edge_start = np.searchsorted(pairs[:, 0], np.arange(len(actions) + 1))
        tasks = sum(action.peer < 0 for action in actions)
        kept = who.copy(), times.copy()
        order, start, cause, self.makespan = list_schedule(
            tasks, who, times, edge_start, pairs[:, 1].copy(), CORES, slack_ns, window
        )
        assert (who == kept[0]).all()
        assert (times == kept[1]).all()
        self.order: list[int] = [number[at] for at in order]
        self.start = {i: float(start[place[i]]) for i in self.order}
        self.cause = {i: -1 if cause[place[i]] < 0 else number[cause[place[i]]] for i in self.order}


def least_end(action: Action, start: float) -> float:
    """No action ends before it has done its own work."""
    return start + action.duration_ns + (action.memory_ns if action.peer < 0 else 0)


@st.composite
def programs(draw: st.DrawFn, least: int = 1) -> list[Action]:
    """Actions in an order that is possible."""
    actions: list[Action] = []
    width = draw(st.integers(1, 4))  # actions of one rank
    for i in range(draw(st.integers(least, 18))):
        core = draw(st.integers(0, CORES - 1))
        peer = draw(st.sampled_from((-1, -1, (core + 1) % CORES, (core + 2) % CORES)))
        after = draw(st.sets(st.integers(max(0, i - 8), i - 1), max_size=3)) if i else set()
        memory_ns = draw(st.sampled_from((0, 0, 5)))
        actions.append(Action(core, peer, i // width, draw(st.integers(1, 50)), memory_ns, tuple(sorted(after))))
    return actions


SLACKS = st.sampled_from((0.0, 10.0, 500.0))
WINDOWS = st.sampled_from((1, 2, 5, UNHURRIED))


@given(programs(), SLACKS, WINDOWS)
def test_every_action_comes_once_and_after_what_it_depends_on(
    actions: list[Action], slack_ns: float, window: int
) -> None:
    found = Outcome(actions, slack_ns, window)
    assert sorted(found.order) == list(range(len(actions)))
    position = {i: at for at, i in enumerate(found.order)}
    for i, action in enumerate(actions):
        for before in action.after:
            assert position[before] < position[i]
            assert found.start[i] >= least_end(actions[before], found.start[before])


@given(programs(), SLACKS, WINDOWS)
def test_an_action_starts_when_all_its_cores_are_through_with_what_they_did(
    actions: list[Action], slack_ns: float, window: int
) -> None:
    """A transfer occupies both its ends, and every core does one thing at a time, in the order of the commits."""
    found = Outcome(actions, slack_ns, window)
    free = [0.0] * CORES
    for i in found.order:
        action = actions[i]
        for core in action.cores:
            assert found.start[i] >= free[core]
            # A sender is free once it has read; a receiver only when it has written what arrived.
            writing_ns = action.duration_ns if core == action.peer else 0
            free[core] = least_end(action, found.start[i]) + writing_ns


@given(programs(), SLACKS, WINDOWS)
def test_nothing_runs_further_ahead_than_the_window(actions: list[Action], slack_ns: float, window: int) -> None:
    waiting = sorted(action.rank for action in actions)
    for i in Outcome(actions, slack_ns, window).order:
        assert actions[i].rank < waiting[0] + window
        waiting.remove(actions[i].rank)


@given(programs(), SLACKS, WINDOWS)
def test_a_cause_is_an_earlier_action_that_shares_a_core_or_an_edge(
    actions: list[Action], slack_ns: float, window: int
) -> None:
    found = Outcome(actions, slack_ns, window)
    position = {i: at for at, i in enumerate(found.order)}
    for i, cause in found.cause.items():
        if cause < 0:
            assert found.start[i] == 0.0
            continue
        assert position[cause] < position[i]
        assert found.start[cause] <= found.start[i]
        assert cause in actions[i].after or set(actions[cause].cores) & set(actions[i].cores)


@given(programs(), SLACKS, WINDOWS)
def test_the_makespan_is_no_less_than_any_core_or_chain_takes(
    actions: list[Action], slack_ns: float, window: int
) -> None:
    found = Outcome(actions, slack_ns, window)
    chain: list[float] = []
    for action in actions:
        chain.append(least_end(action, max((chain[before] for before in action.after), default=0.0)))
    busy = [sum(a.duration_ns for a in actions if a.core == core and a.peer < 0) for core in range(CORES)]
    served = sum(a.memory_ns for a in actions if a.peer < 0)  # one request after the other
    assert found.makespan >= max(*chain, *busy, served)
    assert found.makespan >= max(least_end(actions[i], start) for i, start in found.start.items())


@given(programs(least=2), st.data())
def test_what_waits_for_itself_never_starts(actions: list[Action], data: st.DataObject) -> None:
    """Nor what waits for that; all others do."""
    chain = [i for i, action in enumerate(actions) if action.after]
    assume(chain)
    last = data.draw(st.sampled_from(chain))
    first = actions[last].after[0]
    closed = [
        Action(a.core, a.peer, a.rank, a.duration_ns, a.memory_ns, (*a.after, last) if i == first else a.after)
        for i, a in enumerate(actions)
    ]
    stuck = {first}
    for i, action in enumerate(closed):  # ascending: edges point up, but for the one that closes the cycle
        if stuck & set(action.after):
            stuck.add(i)
    assert set(Outcome(closed).order) == set(range(len(actions))) - stuck


def test_a_core_takes_the_ready_task_of_least_rank() -> None:
    actions = [Action(0, -1, rank, 10, 0, ()) for rank in (3, 1, 2, 0)]
    assert Outcome(actions).order == [3, 1, 2, 0]


def test_a_transfer_makes_a_free_core_wait_no_longer_than_the_slack() -> None:
    """Core 0 works for 100 ns; a transfer from it is due, and core 1 has 40 ns of other work of lower priority."""
    actions = [
        Action(0, -1, 0, 100, 0, ()),
        Action(0, 1, 1, 5, 0, ()),
        Action(2, -1, 2, 30, 0, ()),
        Action(1, -1, 3, 40, 0, (2,)),
    ]
    assert Outcome(actions, slack_ns=0.0).order.index(3) < Outcome(actions, slack_ns=0.0).order.index(1)
    assert Outcome(actions, slack_ns=500.0).order.index(1) < Outcome(actions, slack_ns=500.0).order.index(3)


def test_the_memory_server_serves_one_request_after_the_other() -> None:
    found = Outcome([Action(core, -1, core, 1, 20, ()) for core in range(CORES)])
    assert found.makespan == CORES * 20 + 1


def array(values: list[int]) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


def test_no_action_is_an_empty_order() -> None:
    order, _, _, makespan = list_schedule(
        0, np.zeros((0, 3), np.int64), np.zeros((0, 4)), array([0]), array([]), CORES, 500.0, UNHURRIED
    )
    assert len(order) == 0
    assert makespan == 0.0
