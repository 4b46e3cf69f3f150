"""ONNX's own tests of operators: the counts of onnx_node_tests.toml do not fall, and every refusal's reason is true."""

import pytest

from pimcomp.frontend.lower.lower import LOWERINGS
from tests.frontend.onnx_node_tests import Case, collected, counts, judged, stored


def hold(cases: list[Case]) -> None:
    """No fault, nothing wrong, and what the file says."""
    assert [f"{case.name}: {case.fault}" for case in cases if case.fault] == []
    found, known = counts(cases), stored()
    assert {name: row for name, row in found.items() if row != known.get(name)} == {}


def test_tests_of_some_operators() -> None:
    hold([judged(case) for case in collected(("conv", "pad", "transpose", "gemm", "concat", "tile"))])


@pytest.mark.slow
def test_all_of_them() -> None:
    hold([judged(case) for case in collected()])


def test_every_supported_operator_that_has_tests_passes_some() -> None:
    """Not those of Where, whose condition is computed, of LayerNormalization, which read its mean, of Tile, which
    repeat the batch, and of Shape."""
    table = stored()
    without = [name for name in LOWERINGS if not table.get(name, {}).get("right")]
    assert without == ["Where", "LayerNormalization", "Tile", "Shape"]
    assert not any("wrong" in row for row in table.values())
