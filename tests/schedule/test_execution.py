"""The test that outranks all others: emitted programs compute what the network means.

Covers: emission/conv, emission/finish, emission/scatter, emission/vector, /pimcomp/compile.
"""

from pathlib import Path

import pytest

from pimcomp.errors import CapacityError
from pimcomp.ir.plan import Pipeline
from solvers import get_solver
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip, random_network
from tests.schedule.random_plans import RandomPlan
from tests.schedule.tuned import tuned
from tests.seeds import seeds

TOLERANCE = 1e-4
OPTIONS = tuple(
    tuned(
        {"SEGMENT_BLOCKS": 1 + i % 4, "TASK_BLOCKS": (1, 2, 100)[i % 3], "LOOKAHEAD": share}, images_per_round=1 + i % 3
    )
    for i, share in enumerate((1.0, 0.05, 0.3, 0.0))
)


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", seeds(9, 25))
def test_random_plans_of_random_networks_compute_what_they_mean(seed: int, pipeline: Pipeline, tmp_path: Path) -> None:
    graph, arch = random_network(seed), random_chip(seed)
    solver = RandomPlan() if seed % 4 else get_solver(("balance", "exact", "stream")[seed // 4 % 3])
    try:
        compiled = compiled_files(graph, arch, solver, pipeline, OPTIONS[seed % 4], tmp_path)
    except CapacityError:
        pytest.skip("the random plan does not fit the random chip")
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", range(25, 200))
def test_many_random_plans(seed: int, pipeline: Pipeline, tmp_path: Path) -> None:
    graph, arch = random_network(seed), random_chip(seed)
    try:
        compiled = compiled_files(graph, arch, RandomPlan(), pipeline, OPTIONS[seed % 4], tmp_path)
    except CapacityError:
        pytest.skip("the random plan does not fit the random chip")
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < TOLERANCE
