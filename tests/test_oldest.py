"""Every requirement of pyproject.toml has a lower bound, and the installed versions keep them all."""

from importlib.metadata import version

from packaging.version import Version

from tests.oldest import oldest


def test_every_requirement_has_a_lower_bound_that_this_environment_keeps() -> None:
    pins = dict(pin.split("==") for pin in oldest())
    assert {"numpy", "onnxruntime", "ortools", "distributed"} <= pins.keys()
    assert {name: bound for name, bound in pins.items() if Version(version(name)) < Version(bound)} == {}
