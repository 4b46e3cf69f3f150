"""Sampled plans with what the timeline says about their programs: a file of one JSON object per line that grows.

A line is a plan of one network on one chip in one pipeline. Lines that exist are not computed again.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.plan_samples import sampled_plan
from pimcomp.config import read_arch
from pimcomp.errors import CapacityError
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import MappingProblem, Pipeline, Plan
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.proof.calibrate import data_ranges
from pimcomp.proof.static import verify_plan
from pimcomp.schedule import ScheduleOptions, Scheduler
from pimcomp.timeline import time_program
from pimcomp.timeline.energy import energy_of

# One order per program: the best of several takes some per cent less time, and several times as long to find.
OPTIONS = ScheduleOptions(orders=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPlan:
    """One plan and the figures of its program, times and energy per image.

    sample: its number (`plan_samples`). core_of: per layer the cores, replica after replica. images: per round; 0 if
    the program does not fit local memory (the figures are 0 then). source: of the compiler that made it.
    """

    network: str
    arch: str
    pipeline: str
    sample: int
    source: str
    option: tuple[int, ...]
    replication: tuple[int, ...]
    core_of: tuple[tuple[int, ...], ...]
    images: int = 0
    latency_ns: float = 0.0
    period_ns: float = 0.0
    energy_pj: float = 0.0
    static_pj: float = 0.0
    busiest_ns: float = 0.0
    busy_ns: float = 0.0
    local_peak_bytes: int = 0

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What identifies a line."""
        return self.network, self.arch, self.pipeline, self.sample

    @property
    def plan(self) -> Plan:
        """As the compiler takes it."""
        shaped = zip(self.core_of, self.replication, strict=True)
        cores = tuple(np.array(flat, dtype=np.int32).reshape(r, -1) for flat, r in shaped)
        return Plan(option=self.option, replication=self.replication, core_of=cores)

    @property
    def figure_ns(self) -> float:
        """What the pipeline is judged by: latency, or time per image."""
        return self.latency_ns if self.pipeline == Pipeline.ELEMENT else self.period_ns


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Instance:
    """A network on a chip, ready to compile plans of."""

    network: str
    arch_name: str
    graph: Graph
    arch: Arch
    partition: Partition

    def problem(self, pipeline: Pipeline) -> MappingProblem:
        """What solvers see."""
        return build_problem(self.graph, self.arch, self.partition, pipeline)


def load_instance(network: str, arch_name: str) -> Instance:
    """A shipped network (seeded random weights: timing does not depend on them) on a shipped chip."""
    arch = read_arch(arch_name)[0]
    graph = rewrite(load_network(network, weights="random:0").graph, arch, OPTIONS)
    return Instance(network=network, arch_name=arch_name, graph=graph, arch=arch, partition=partition(graph, arch))


def time_plan(instance: Instance, pipeline: Pipeline, sample: int, plan: Plan, source: str) -> TimedPlan:
    """Schedule a plan and time the program."""
    graph, arch = instance.graph, instance.arch
    verify_plan(instance.problem(pipeline), plan)
    line = TimedPlan(
        network=instance.network,
        arch=instance.arch_name,
        pipeline=pipeline.value,
        sample=sample,
        source=source,
        option=plan.option,
        replication=plan.replication,
        core_of=tuple(tuple(cores.ravel().tolist()) for cores in plan.core_of),
    )
    try:
        scheduler = Scheduler(graph, arch, instance.partition, pipeline, OPTIONS, data_ranges(graph, 0))
        program = scheduler.program(plan)
    except CapacityError:
        return line
    timing = time_program(program, arch)
    energy = energy_of(program, arch, timing.latency_ns)
    images = program.images_per_round
    fields = asdict(line) | {
        "images": images,
        "latency_ns": timing.latency_ns,
        "period_ns": timing.period_ns_per_round / images,
        "energy_pj": energy.total_pj / images,
        "static_pj": energy.static_pj / images,
        "busiest_ns": float(timing.busy_ns.max()) / images,
        "busy_ns": float(timing.busy_ns.sum()) / images,
        "local_peak_bytes": int(program.local_peak_bytes.max()),
    }
    return TimedPlan(**fields)


def read_lines(path: Path) -> list[TimedPlan]:
    """All lines of a file; a torn last one is left out."""
    if not path.exists():
        return []
    result = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(text)
        except json.JSONDecodeError:
            continue
        data["core_of"] = tuple(tuple(cores) for cores in data["core_of"])
        result.append(TimedPlan(**{**data, "option": tuple(data["option"]), "replication": tuple(data["replication"])}))
    return result


def grow(
    path: Path, instance: Instance, pipelines: tuple[Pipeline, ...], plans: int, source: str
) -> Iterator[TimedPlan]:
    """Append lines until every pipeline has `plans` compiled ones; yields the new lines."""
    held = {line.key: line for line in read_lines(path)}
    for pipeline in pipelines:
        problem, compiled, sample = instance.problem(pipeline), 0, -1
        while compiled < plans:
            sample += 1
            key = (instance.network, instance.arch_name, pipeline.value, sample)
            if key in held:
                compiled += held[key].images > 0
                continue
            plan = sampled_plan(problem, sample)
            if plan is None:
                continue
            line = time_plan(instance, pipeline, sample, plan, source)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(line), separators=(",", ":")) + "\n")
            compiled += line.images > 0
            yield line
