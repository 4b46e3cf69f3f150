"""What the timeline will say about a plan's program, estimated before anything is scheduled (docs/cost-model.md)."""

from pimcomp.estimate.estimator import Estimate, Estimator

__all__ = ["Estimate", "Estimator"]
