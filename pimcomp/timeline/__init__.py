"""Event-exact timing of a Program: what pimsim-nn would report, at a thousandth of its cost."""

from pimcomp.timeline.timing import time_program

__all__ = ["time_program"]
