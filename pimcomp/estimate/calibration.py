"""The few numbers of the estimate that are measured, not derived; `python -m benchmarks.cost_model --fit` finds them.

One set per pipeline, for all networks and chips. Everything else follows from the chip, the network and the plan.
"""

from typing import NamedTuple

from pimcomp.ir.plan import Pipeline


class Calibration(NamedTuple):
    """What the coarse model cannot see.

    hop_ns: from a row's completion until its readers may start, because one end of the message is busy. scale: of the
    times as a whole.
    """

    hop_ns: float = 0.0
    scale: float = 1.0


CALIBRATION = {
    Pipeline.ELEMENT: Calibration(),
    Pipeline.BATCH: Calibration(),
}
