"""A random network on its way to a program, with what every stage of the scheduler made of it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.graph import Graph, Input
from pimcomp.ir.plan import Pipeline, Plan
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.schedule import Scheduler
from pimcomp.schedule.assemble import Assembled, assemble
from pimcomp.schedule.buffers import maps_of
from pimcomp.schedule.building.build import TaskWork, build_work
from pimcomp.schedule.building.groups import GroupTable, number_groups
from pimcomp.schedule.building.ledger import Ledger
from pimcomp.schedule.connect import Flow, connect
from pimcomp.schedule.ordering.order import place_actions
from pimcomp.schedule.ordering.placing import Placed
from pimcomp.schedule.sites import NodeSites, place_work
from tests.schedule.random_networks import random_chip, random_network
from tests.schedule.random_plans import RandomPlan
from tests.schedule.tuned import tuned

SEEDS = (1, 7, 8, 10, 13, 20)
IMAGES = 2


@dataclass(frozen=True)
class Stages:
    """Everything between a plan and its program."""

    graph: Graph
    arch: Arch
    partition: Partition
    plan: Plan
    options: ScheduleOptions
    scheduler: Scheduler
    sites: tuple[NodeSites, ...]
    groups: GroupTable
    work: TaskWork
    flow: Flow
    placed: Placed
    assembled: Assembled


@cache
def stages(seed: int) -> Stages:
    """The stages of a random plan for two images, on a chip with memory for all of it."""
    arch = random_chip(seed)
    options = tuned({"TASK_BLOCKS": 1 + seed % 3}, images_per_round=IMAGES, orders=2)
    graph = rewrite(random_network(seed), arch, options)
    parts = partition(graph, arch)
    outcome = RandomPlan().solve(build_problem(graph, arch, parts, Pipeline.BATCH), {}, time_limit_s=None, seed=seed)
    plan = outcome.plan
    assert plan is not None, f"seed {seed} has no plan"
    scheduler = Scheduler(graph, arch, parts, Pipeline.BATCH, options, dict.fromkeys(range(len(graph.nodes)), 10.0))
    sites = place_work(graph, arch, parts, plan, options, scheduler.needed)
    groups = number_groups(parts, plan, arch.total_cores)
    eb, half = arch.element_bytes, arch.local_memory_bytes // 2
    work = build_work(Ledger(graph, parts, sites, groups, eb, options), scheduler.constants, half)
    flow = connect(
        work, maps_of(graph, eb), scheduler.pull, scheduler.constants, scheduler.layout, eb, arch.total_cores
    )  # fmt: skip
    placed = place_actions(flow, groups, arch, options, IMAGES, repeated=True)
    assert placed is not None, f"seed {seed} does not fit"
    assembled = assemble(flow, placed, scheduler.layout, arch)
    return Stages(
        graph, arch, parts, plan, options, scheduler, sites, groups, work, flow, placed, assembled
    )  # fmt: skip


def inputs_of(graph: Graph) -> list[int]:
    """The network's inputs."""
    return [i for i, node in enumerate(graph.nodes) if isinstance(node.operation, Input)]


def positions(placed: Placed) -> npt.NDArray[np.int64]:
    """When each action has its turn."""
    position = np.empty(len(placed.timed.order), np.int64)
    position[placed.timed.order] = np.arange(len(position))
    return position
