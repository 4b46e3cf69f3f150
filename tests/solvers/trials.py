"""Problems whose plans are ordered, and what was asked."""

from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from pimcomp.ir.plan import Judgement, MappingProblem, Pipeline, Plan
from pimcomp.plan.judge import PROGRAM
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.proof.static import verify_plan
from pimcomp.schedule import ScheduleOptions, Scheduler


class Recorder:
    """A network on a chip, judged by ordered programs, and every judgement that a solver asked for."""

    def __init__(self, network: str, pipeline: Pipeline) -> None:
        arch, options = load_arch("pimcomp_default"), ScheduleOptions(images_per_round=2, orders=1)
        graph = rewrite(load_network(network).graph, arch, options)
        parts = partition(graph, arch)
        self.scheduler = Scheduler(graph, arch, parts, pipeline, options, {})
        self.trials: list[Judgement] = []
        self.judges = {PROGRAM: self}
        self.problem: MappingProblem = build_problem(graph, arch, parts, pipeline)

    def judge(self, plan: Plan) -> Judgement:
        """What the scheduler says of a valid plan."""
        verify_plan(self.problem, plan)
        self.trials.append(self.scheduler.judge(plan))
        return self.trials[-1]
