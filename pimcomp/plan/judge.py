"""Who may judge a plan: its ordered program, an estimate of that, or the closed forms of cost.py."""

from dataclasses import dataclass

from pimcomp.errors import check_name
from pimcomp.ir.plan import Judge, Judgement, Judges, MappingProblem, Plan
from pimcomp.plan.cost import plan_cost

PROGRAM, ESTIMATE, COST = JUDGE_NAMES = ("program", "estimate", "cost")  # from the dearest to the cheapest
CLOSED_FORM_ACTIONS = 1500  # a closed form takes at most as long as ordering so many actions (0.5 to 5 ms measured)


@dataclass(frozen=True, slots=True)
class ClosedForms:
    """The problem's own objective."""

    problem: MappingProblem

    def judge(self, plan: Plan) -> Judgement:
        """A layer's share is how long it keeps its busiest core."""
        cost = plan_cost(self.problem, plan)
        time_ns = cost.objective_ns(self.problem.pipeline)
        return Judgement(time_ns=time_ns, actions=CLOSED_FORM_ACTIONS, share=cost.load_ns.max(axis=1))


def judge_called(name: str, problem: MappingProblem, judges: Judges) -> Judge | None:
    """The judge of that name; None if it is not at hand. Raises ConfigError for a name that none has."""
    check_name("judge", name, JUDGE_NAMES)
    return ClosedForms(problem) if name == COST else judges.get(name)
