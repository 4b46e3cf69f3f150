"""What all tests share: nothing of the surroundings reaches them, and random examples are the same in every run."""

import functools
import os

import typer.main
from hypothesis import HealthCheck, settings

# A test fails because of the code and never because of a lucky draw, a slow machine or an earlier run. To look for new
# counterexamples: pytest --hypothesis-profile=explore
settings.register_profile(
    "repeatable",
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "explore", parent=settings.get_profile("repeatable"), derandomize=False, max_examples=100, print_blob=True
)
settings.load_profile("repeatable")

# Commands are built once and not for every call: hundreds of tests call one.
typer.main.get_command = functools.cache(typer.main.get_command)

# What a shell may set that changes what commands print; tests that are about one of them set it themselves.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "GITHUB_ACTIONS", "PIMDSE_TRACEBACK"):
    os.environ.pop(name, None)
