"""Scheduling options with other values of what is no option."""

from pimcomp.ir.schedule_options import ScheduleOptions


def tuned(fixed: dict[str, float], **options: int) -> ScheduleOptions:
    """Options, and constants of their class by name."""
    made: ScheduleOptions = type("Tuned", (ScheduleOptions,), fixed)(**options)
    return made
