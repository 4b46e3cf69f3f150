"""The test that outranks all others: emitted programs compute what the network means."""

from pathlib import Path

import pytest

from pimcomp.errors import CapacityError
from pimcomp.ir.plan import Pipeline
from pimcomp.schedule import ScheduleOptions
from solvers import get_solver
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip, random_network

TOLERANCE = 1e-4


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", range(40))
def test_random_networks_compute_what_they_mean(seed: int, pipeline: Pipeline, tmp_path: Path) -> None:
    graph, arch = random_network(seed), random_chip(seed)
    solver = get_solver(("balance", "exact", "uniform")[seed % 3])
    options = ScheduleOptions(images_per_round=1 + seed % 3, segment_blocks=1 + seed % 4, lookahead=(1.0, 0.05)[seed % 2])
    try:
        compiled = compiled_files(graph, arch, solver, pipeline, options, tmp_path)
    except CapacityError as error:
        assert error.demand > error.supply, error
        return
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < TOLERANCE
