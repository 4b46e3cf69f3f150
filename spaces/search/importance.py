"""Which parameters decide whether a candidate is among the best, as far as the trials tell."""

import warnings
from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from spaces.candidate import Candidate, objective_costs
from spaces.search.sampler import distributions, quiet
from spaces.space import Sweep

FRONT = "front"
# The best quarter of the candidates is told apart from the rest; it needs at least five (Optuna's advice).
_BEST = 0.25
FEWEST = 20


def importance(sweep: Sweep, candidates: Sequence[Candidate]) -> dict[str, dict[str, float]]:
    """Objective, or `FRONT` for all of them at once -> parameter (solver, pipeline) -> share; the shares add to 1.

    PED-ANOVA (Watanabe et al., IJCAI 2023) as Optuna has it: how much more often the best quarter of the candidates has
    certain values of a parameter than all have. candidates: feasible, of one fidelity; with fewer than 20 there is no
    answer, nor for a goal that nearly all reach equally well.
    """
    if len(candidates) < FEWEST:
        return {}
    quiet()
    axes = distributions(sweep)
    names = sorted(axes)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=_BEST)
    costs = [objective_costs(c, sweep.objectives) for c in candidates]
    columns = {name: [j] for j, name in enumerate(sweep.objectives)} | {FRONT: list(range(len(sweep.objectives)))}
    shares = {}
    for goal, chosen in columns.items():
        study = optuna.create_study(directions=["minimize"] * len(chosen))
        study.add_trials(
            [
                create_trial(params=c.point.as_dict(), distributions=axes, values=[cost[j] for j in chosen])
                for c, cost in zip(candidates, costs)
            ]
        )
        with warnings.catch_warnings():  # "the same trials": said by leaving the goal out
            warnings.simplefilter("ignore")
            found = get_param_importances(study, evaluator=evaluator, params=names, normalize=False)
        total = sum(found[name] for name in names)
        if total > 0:
            shares[goal] = {name: round(found[name] / total, 4) for name in names}
    return shares
