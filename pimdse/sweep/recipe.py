"""From a trial of a sweep to what compiles it again."""

from pimdse.compiling.building import Recipe
from spaces.candidate import Trial
from spaces.chip import chip_of, options_of, precision_of
from spaces.space import Network, Sweep


def recipe_of(sweep: Sweep, chosen: Trial, network: Network) -> Recipe:
    """How to compile a trial of a sweep for one of its networks."""
    point = chosen.candidate.point
    return Recipe(
        model=network.model,
        weights=network.weights,
        arch=chip_of(sweep, point.parameters),
        arch_source="chip.yaml",
        solver=point.solver,
        pipeline=point.pipeline,
        time_limit_s=sweep.time_limit_s,
        seed=sweep.seed,
        options=options_of(point.parameters),
        precision=precision_of(sweep, point.parameters),
        notes=(f"trial {chosen.number} of the sweep {sweep.name}",),
    )
