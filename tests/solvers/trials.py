"""Problems whose plans are ordered, and what was asked."""

from dataclasses import replace

from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from pimcomp.ir.plan import MappingProblem, Pipeline, Plan, Trial
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewrite import rewrite
from pimcomp.proof.static import verify_plan
from pimcomp.schedule import ScheduleOptions, Scheduler


class Recorder:
    """A network on a chip, and every trial that a solver asked for."""

    def __init__(self, network: str, pipeline: Pipeline) -> None:
        arch, options = load_arch("pimcomp_default"), ScheduleOptions(images_per_round=2, orders=1)
        graph = rewrite(load_network(network).graph, arch, options)
        parts = partition(graph, arch)
        self.scheduler = Scheduler(graph, arch, parts, pipeline, options, {})
        self.trials: list[Trial] = []
        self.problem: MappingProblem = replace(build_problem(graph, arch, parts, pipeline), trial=self.trial)

    def trial(self, plan: Plan) -> Trial:
        verify_plan(self.problem, plan)
        self.trials.append(self.scheduler.trial(plan))
        return self.trials[-1]
