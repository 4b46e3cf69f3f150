"""From a Plan to instruction streams: who computes what, when, and where it lies in memory."""

from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.schedule.scheduler import Scheduler

__all__ = ["ScheduleOptions", "Scheduler"]
