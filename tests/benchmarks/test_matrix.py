"""The representative part of `make matrix`: every chip, both pipelines, programs executed."""

from itertools import product

import pytest

from benchmarks.matrix import CHIPS, PIPELINES, Cell, compute, page, same_structure, twin_of
from tests.seeds import sampled

ALL = 1 << 40  # instructions up to which programs are executed


@pytest.mark.parametrize(("chip", "pipeline"), sampled(product(CHIPS, PIPELINES), 3))
def test_a_small_network_on_every_chip(chip: str, pipeline: str) -> None:
    cell = compute("digits_mlp", chip, pipeline, "stream", ALL)
    assert cell.passed, cell.error


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("chip", CHIPS)
def test_branches_and_additions_on_every_chip(chip: str, pipeline: str) -> None:
    for model in ("digits_incnet", "digits_resnet8"):
        cell = compute(model, chip, pipeline, "stream", ALL)
        assert cell.passed, cell.error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "chip"), [("resnet50", "isaac"), ("mobilenet_v2", "puma"), ("alexnet", "isscc22_11_4")]
)
def test_full_size_networks_on_small_memories_and_on_many_chips(model: str, chip: str) -> None:
    cell = compute(model, chip, "element", "lns:budget=0.01", ALL)
    assert cell.passed, cell.error


def test_the_page_tells_executed_infeasible_and_missing_cells_apart() -> None:
    done = Cell(model="a", chip="isaac", pipeline="element", latency_ns=2e6, passed=True, chips=3)
    refused = Cell(model="a", chip="puma", pipeline="element", error="needs more: chips: 9")
    text = page({(c.model, c.chip, c.pipeline): c for c in (done, refused)}, ["a"], {})
    row = next(line for line in text.splitlines() if line.startswith("| a |"))
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["2 ms x3 ✓", "–", ""]
    assert "needs more: chips: 9" in text


def test_twins_are_the_same_graph() -> None:
    assert twin_of("digits_vgg8_bn_bnkept", ["digits_vgg8_bn"]) == "digits_vgg8_bn"
    assert same_structure("digits_resnet8_bnkept", "digits_resnet8")
    assert not same_structure("digits_resnet8", "digits_vgg8")
