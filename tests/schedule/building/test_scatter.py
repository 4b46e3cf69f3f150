"""Scattering sites that share their input: each column once, and outputs as the network means them.

Covers: /pimcomp/schedule/sites.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from pimcomp.frontend import load_network
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Pipeline, Plan, Status
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rows import needed_rows
from pimcomp.schedule.sites import NodeSites, place_work
from tests.frontend.small_onnx import make, normals, op
from tests.golden.listings import CHIP, OPTIONS
from tests.schedule.execute import compiled_files, largest_error

CORES = 6


@dataclass(frozen=True, slots=True)
class Scattered:
    """A "solver" that scatters the one layer: a replica per tuple of cores, on which its array groups take turns."""

    cores: tuple[tuple[int, ...], ...]
    name: str = field(default="scattered", init=False)

    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """The plan."""
        options = problem.layers[0].options
        chosen = [o for o, option in enumerate(options) if option.unfolding.scatter]
        assume(chosen)
        groups = len(options[chosen[0]].ag_crossbars)
        rows = [[own[g % len(own)] for g in range(groups)] for own in self.cores]
        plan = Plan(option=(chosen[0],), replication=(len(rows),), core_of=(np.array(rows, np.int32),))
        return Outcome(status=Status.FEASIBLE, plan=plan)


CHIP_FOR_MANY = replace(CHIP, crossbar_rows=4, cores=CORES, crossbars_per_core=10**6, local_memory_bytes=2**16)
REPLICAS = st.lists(
    st.lists(st.integers(0, CORES - 1), min_size=1, max_size=3, unique=True).map(tuple), min_size=2, max_size=9
)


@st.composite
def convolutions(draw: st.DrawFn) -> Graph:
    """One convolution that scatters, with any padding that leaves an output."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(3, 5)))
    size = draw(st.tuples(st.integers(3, 4), st.integers(8, 14)))
    pads = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    channels, filters = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    weights = {"w": normals(filters, channels, *kernel), "b": normals(filters)}
    nodes = [op("Conv", "x w b", "c", pads=pads), op("Relu", "c", "y")]
    return load_network(make(nodes, {"x": (1, channels, *size)}, weights)).graph


def placed_sites(graph: Graph, solver: Scattered) -> NodeSites:
    """The sites of the layer."""
    parts = partition(graph, CHIP_FOR_MANY)
    problem = build_problem(graph, CHIP_FOR_MANY, parts, Pipeline.ELEMENT)
    plan = solver.solve(problem, {}, time_limit_s=None, seed=0).plan
    assert plan is not None
    return place_work(graph, CHIP_FOR_MANY, parts, plan, OPTIONS, needed_rows(graph))[parts.nodes[0]]


@given(convolutions(), REPLICAS)
def test_shares_are_whole_mvms_and_cover_the_input_once(graph: Graph, cores: list[tuple[int, ...]]) -> None:
    placed = placed_sites(graph, Scattered(tuple(cores)))
    assume(placed.shares is not None)
    assert placed.shares is not None
    assert placed.matrix is not None
    shares, width = placed.shares[placed.shares[:, 0] < placed.shares[:, 1]], graph.nodes[0].width
    assert shares[0, 0] == 0
    assert shares[-1, 1] == width
    assert (shares[1:, 0] == shares[:-1, 1]).all()
    assert (shares[:, 0] % placed.matrix.unfolding.scatter == 0).all()


@given(convolutions(), REPLICAS, st.sampled_from(list(Pipeline)))
def test_what_sites_send_each_other_adds_up(graph: Graph, cores: list[tuple[int, ...]], pipeline: Pipeline) -> None:
    solver = Scattered(tuple(cores))
    assume(placed_sites(graph, solver).shares is not None)
    with TemporaryDirectory() as name:
        folder = Path(name)
        compiled = compiled_files(graph, CHIP_FOR_MANY, solver, pipeline, OPTIONS, folder)
        assert largest_error(graph, folder, compiled.program.images_per_round) < 1e-4
