"""What is measured, not derived: one factor per pipeline, for all networks and chips.

`python -m benchmarks.cost_model --fit` finds it. Everything else follows from the chip, the network and the plan.
"""

from pimcomp.ir.plan import Pipeline

SCALE = {Pipeline.ELEMENT: 0.98, Pipeline.BATCH: 1.09}  # timeline over estimate, median
