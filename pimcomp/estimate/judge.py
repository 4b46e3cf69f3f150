"""The estimate as a judge of plans, for searches that ask often."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pimcomp.estimate.estimator import Estimator
from pimcomp.ir.plan import Judgement, MappingProblem, Plan
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.cost import core_loads_ns

ESTIMATE_ACTIONS = 1500  # an estimate takes about as long as ordering so many actions (docs/cost-model.md)


@dataclass(slots=True)
class EstimateJudge:
    """Judges plans of a problem; prepare: gives the estimator of its network when it is asked for the first time."""

    prepare: Callable[[], Estimator]
    problem: MappingProblem
    options: ScheduleOptions
    _estimator: Estimator | None = field(default=None, init=False)

    def judge(self, plan: Plan) -> Judgement:
        """A layer's share is how long it keeps its busiest core, by the closed forms.

        Where crossbars are scarce, the time of one image alone counts as much as that per image: the busiest core is
        the same for most neighbours of a plan, and says nothing of how far the others are from it.
        """
        self._estimator = self._estimator or self.prepare()
        pipeline = self.problem.pipeline
        found = self._estimator.estimate([plan], pipeline, self.options)
        time_ns = float(found.objective_ns(pipeline)[0])
        if self.problem.scarce:
            time_ns = (time_ns + float(found.alone_ns[0])) / 2
        share = core_loads_ns(self.problem, plan).max(axis=1)
        return Judgement(time_ns=time_ns, actions=ESTIMATE_ACTIONS, share=share)
