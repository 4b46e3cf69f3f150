"""The board's accounts against plan/cost.py, whatever moves were made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.ir.plan import Plan
from pimcomp.plan.cost import plan_cost
from solvers.heuristics.balance import Balance
from solvers.placing.board import (
    Move,
    calmest,
    empty_board,
    flat,
    fullest,
    groups_of,
    lay,
    like,
    next_with_room,
    pieces_of,
    put,
    shift,
)
from tests.solvers.problems import random_problem


@given(seed=st.integers(0, 10_000), moves=st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_loads_stay_those_of_the_plan(seed: int, moves: int) -> None:
    """Array groups wander, the heads among them."""
    problem, rng = random_problem(seed % 50), np.random.default_rng(seed)
    plan = Balance().solve(problem, {}, time_limit_s=None, seed=0).plan
    assert plan is not None
    groups, core = groups_of(problem, plan.option, plan.replication), flat(plan.core_of)
    board, pieces = empty_board(problem.cores, problem.crossbars_per_core), pieces_of(groups, core, problem.cores)
    for g, c in enumerate(core):
        lay(board, pieces, groups.of[g], c, 1, groups.size[g], groups.work[g])
    for g in rng.integers(0, len(core), size=moves):
        to = int(rng.integers(problem.cores))
        if to != core[g]:
            j = groups.of[g]
            shift(board, pieces, Move(j, core[g], to, 1, groups.work[g], bool(g == groups.first[j])))
            core[g] = to
    moved = Plan(option=plan.option, replication=plan.replication, core_of=like(core, plan.core_of))
    assert board.load == pytest.approx(plan_cost(problem, moved).load_ns.sum(axis=0), abs=1e-6)
    assert pieces.parts.tolist() == [len(np.unique(row)) for cores in moved.core_of for row in cores]


def test_rules_choose_the_first_of_equals_with_room() -> None:
    board = empty_board(4, 10)
    nothing = np.zeros(4)
    for core, size, load in ((0, 9, 1.0), (1, 4, 5.0), (2, 4, 3.0)):
        put(board, core, size, load)
    assert calmest(board, nothing, 2) == 3
    assert calmest(board, np.array([0.0, 0.0, 0.0, 4.0]), 2) == 2
    assert fullest(board, 2) == 1
    assert next_with_room(board, 1, 2, 1.0, 4.0) == 2
    assert [calmest(board, nothing, 11), fullest(board, 11), next_with_room(board, 0, 11, 0.0, 9.0)] == [-1, -1, -1]
