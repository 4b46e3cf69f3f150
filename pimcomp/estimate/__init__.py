"""What the timeline will say about a plan's program, estimated before anything is scheduled (docs/cost-model.md)."""

from pimcomp.estimate.estimator import Estimate, Estimator
from pimcomp.estimate.judge import EstimateJudge

__all__ = ["Estimate", "EstimateJudge", "Estimator"]
