"""Modulo schedules of random actions keep every rule, and what fits is placed without waste."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pimcomp.schedule.ordering.modulo import (
    LAST_STAGE,
    MACHINES,
    Claims,
    Followers,
    Uses,
    insertion_starts,
    least_period_ns,
    modulo_starts,
)

SPAN = 5  # machines


class Case:
    """Random actions, each on one machine or more, after some of those before it; they share buffers."""

    def __init__(self, seed: int, actions: int) -> None:
        random = np.random.default_rng(seed)
        machine = np.full((actions, MACHINES), -1)
        for a in range(actions):
            count = random.integers(1, MACHINES + 1)
            machine[a, :count] = random.permutation(SPAN)[:count]
        busy = random.integers(20, 200, machine.shape) * (machine >= 0).astype(float)
        self.claims = Claims(machine, busy, busy.max(axis=1))
        pairs = [(b, a) for a in range(actions) for b in random.integers(0, max(a, 1), 2) if b < a]
        self.edges = np.array(sorted(set(pairs)), dtype=np.int64).reshape(-1, 2)
        start = np.searchsorted(self.edges[:, 0], np.arange(actions + 1))
        self.followers = Followers(start, np.ascontiguousarray(self.edges[:, 1]))
        # What one action fills is used by those that follow it.
        used = sorted({(b, b) for b, _ in self.edges.tolist()} | {(a, b) for b, a in self.edges.tolist()})
        self.used = np.array(used, dtype=np.int64).reshape(-1, 2)
        self.uses = Uses(
            np.searchsorted(self.used[:, 0], np.arange(actions + 1)), np.ascontiguousarray(self.used[:, 1])
        )
        source, sink = np.ones(actions, dtype=bool), np.ones(actions, dtype=bool)
        source[self.edges[:, 1]] = sink[self.edges[:, 0]] = False
        sink &= (random.random(actions) < 0.7) | (np.cumsum(sink) == 1)  # what else nobody needs may come late, too
        self.ends = source & (random.random(actions) < 0.5), sink

    def starts(self, factor: float) -> tuple[float, np.ndarray | None]:
        """The period, this many times what the busiest machine has to do, and its schedule."""
        period, actions = factor * least_period_ns(self.claims), len(self.claims.done_ns)
        sequence = np.arange(actions)
        found = modulo_starts(sequence, self.claims, self.followers, self.uses, self.ends, period, np.zeros(actions))
        return period, found


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([1.0, 1.1, 1.5, 3.0]))
def test_edges_buffers_and_stages_are_kept(seed: int, actions: int, factor: float) -> None:
    case = Case(seed, actions)
    period, start = case.starts(factor)
    assume(start is not None)  # that a long period is enough is shown below
    assert start is not None
    before, after = case.edges.T
    assert (start[before] + case.claims.done_ns[before] <= start[after]).all()
    for b in np.unique(case.used[:, 1]):
        users = start[case.used[case.used[:, 1] == b, 0]]
        assert users.max() - users.min() < period
    stage = start // period
    inputs, results = case.ends
    assert not stage[inputs].any()
    assert (stage[results] == stage.max()).all()
    assert stage.max() <= LAST_STAGE


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_no_machine_does_two_things_at_once_in_a_long_period(seed: int, actions: int) -> None:
    case = Case(seed, actions)
    period, start = case.starts(2.0 * actions)
    assert start is not None
    machine, busy, _ = case.claims
    for m in range(SPAN):
        action, slot = np.nonzero(machine == m)
        order = np.argsort(start[action])
        begin, end = start[action][order], (start[action] + busy[action, slot])[order]
        assert (end[:-1] <= begin[1:]).all()
        assert len(end) == 0 or end[-1] <= begin[0] + period


@pytest.mark.parametrize("images", [2, 7])
def test_a_chain_over_several_machines_has_a_round_as_long_as_its_longest_link(images: int) -> None:
    machine = np.full((images, MACHINES), -1)
    machine[:, 0] = np.arange(images) % SPAN
    busy = np.zeros((images, MACHINES))
    busy[:, 0] = 100.0
    claims = Claims(machine, busy, busy[:, 0])
    followers = Followers(np.minimum(np.arange(images + 1), images - 1), np.arange(1, images))
    none = np.zeros(images, dtype=bool)
    uses = Uses(np.zeros(images + 1, np.int64), np.zeros(0, np.int64))
    period = least_period_ns(claims)
    assert period == 100.0 * -(-images // SPAN)
    start = modulo_starts(np.arange(images), claims, followers, uses, (none, none), period, np.zeros(images))
    assert start is not None
    assert start.tolist() == [100.0 * i for i in range(images)]


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_insertion_leaves_no_gap_that_an_action_fits_into(seed: int, actions: int) -> None:
    case = Case(seed, actions)
    claims, sequence = case.claims, np.arange(actions)
    start = insertion_starts(sequence, claims, case.followers)
    before, after = case.edges.T
    assert (start[before] + claims.done_ns[before] <= start[after]).all()
    for a in sequence:
        own = claims.machine[a] >= 0
        taken = [
            (start[b] - claims.busy_ns[a, i], start[b] + claims.busy_ns[b, j])
            for b in range(a)
            for i in np.flatnonzero(own)
            for j in np.flatnonzero(claims.machine[b] == claims.machine[a, i])
        ]
        ready = max((start[b] + claims.done_ns[b] for b in before[after == a]), default=0.0)
        assert not any(low < start[a] < high for low, high in taken)
        assert start[a] == min(
            at
            for at in (ready, *(high for _, high in taken))
            if at >= ready and not any(low < at < high for low, high in taken)
        )
