"""What the scheduler's options and limits do to programs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.compile import compile_network
from pimcomp.errors import CapacityError
from pimcomp.ir.plan import Pipeline
from pimcomp.schedule import ScheduleOptions
from solvers import get_solver
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip, random_network
from tests.schedule.random_plans import RandomPlan


def test_images_of_a_batch_overlap() -> None:
    graph, arch = random_network(4), random_chip(4)
    options = ScheduleOptions(images_per_round=4)
    batch = compile_network(graph, arch, get_solver("stream"), pipeline=Pipeline.BATCH, options=options)
    single = compile_network(graph, arch, get_solver("stream"), pipeline=Pipeline.ELEMENT)
    assert batch.program.images_per_round == 4
    assert batch.program.output_round_delay > 0
    assert batch.timing.period_ns_per_round < 4 * 0.95 * single.timing.latency_ns


def test_short_local_memory_shrinks_the_lookahead_before_it_fails(tmp_path: Path) -> None:
    graph, arch = random_network(11), replace(random_chip(11), local_memory_bytes=1 << 20)
    roomy = compile_network(graph, arch, RandomPlan())
    need = int(roomy.program.local_peak_bytes.max())
    tight = replace(arch, local_memory_bytes=need - 1)
    compiled = compiled_files(graph, tight, RandomPlan(), Pipeline.ELEMENT, ScheduleOptions(), tmp_path)
    assert compiled.program.local_peak_bytes.max() < need
    assert largest_error(graph, tmp_path, 1) < 1e-4


def test_memory_that_cannot_hold_a_row_is_refused_with_numbers() -> None:
    graph, arch = random_network(3), replace(random_chip(3), local_memory_bytes=64)
    with pytest.raises(CapacityError, match="64 bytes of local memory on core"):
        compile_network(graph, arch, RandomPlan())


def test_the_same_input_gives_the_same_program() -> None:
    graph, arch = random_network(5), random_chip(5)
    first, second = (compile_network(graph, arch, RandomPlan()).program for _ in range(2))
    for name in first.table.__slots__:
        assert np.array_equal(getattr(first.table, name), getattr(second.table, name)), name
