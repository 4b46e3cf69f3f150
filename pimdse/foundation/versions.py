"""Versions of what decides results."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

# What decides figures and choices; the rest of the environment does not.
PACKAGES = ("pimdse", "numpy", "numba", "onnx", "onnxruntime", "optuna", "ortools", "pymoo")


def own_version() -> str:
    """Version of pimdse; "source" for a checkout that is not installed."""
    try:
        return version("pimdse")
    except PackageNotFoundError:
        return "source"


@cache
def versions() -> dict[str, str]:
    """Python's version and those of the packages that decide results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
