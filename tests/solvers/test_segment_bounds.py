"""Bounds of segments are never above their prices."""

from dataclasses import replace

import numpy as np
import pytest

from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.segments import segment
from pimcomp.schedule import ScheduleOptions
from solvers.segment_bounds import Piece, Ranges, Work
from solvers.segments import Prices, _Search, cut_cheaply
from tests.schedule.random_networks import random_network

CHIP = Arch(
    name="small", cores=2, crossbars_per_core=8, crossbar_rows=64, crossbar_cols=64, cell_bits=8, dac_count=64,
    row_write_ns=100.0, rows_written_at_once=4,
)  # fmt: skip


def work(times: list[float], rows: list[float], issue_ns: float = 1.0) -> Work:
    """One layer; as many crossbars as rows."""
    return Work(((np.array(times), np.array(rows), np.array(rows)),), issue_ns)


@pytest.mark.parametrize("network", ["digits_lenet5", 1, 2])
@pytest.mark.parametrize("row_write_ns", [0.0, 100.0])
def test_no_segment_is_cheaper_than_its_bound(network: str | int, row_write_ns: float) -> None:
    graph = load_network(network).graph if isinstance(network, str) else random_network(network)
    prices = Prices(replace(CHIP, row_write_ns=row_write_ns), Pipeline.ELEMENT, ScheduleOptions())
    graph = cut_cheaply(graph, prices).graph
    checked = 0
    for span, bound_ns in _Search(graph, prices).bounds(3).items():
        price = prices.of(segment(graph, *span), 3)
        if price is not None:
            checked += 1
            assert price.of_visit(3) >= bound_ns * (1 - 1e-9)
    assert checked


def test_the_cheapest_of_writing_and_computing() -> None:
    """Two layers, fast or small: 4 ns per image against 6 rows more of 100 ns, four at a time."""
    ranges = Ranges([Piece(work([2.0, 10.0], [10.0, 4.0])), Piece(work([1.0, 10.0], [2.0, 2.0]))], CHIP)
    one, both = ranges.begin(0, 1)
    assert one.crossbars_per_core == 2
    assert one.price_ns == pytest.approx(10 + 100, rel=0.1)
    assert both.crossbars_per_core == 3
    assert ranges.begin(0, 1000)[0].crossbars_per_core == 5  # many images pay replicas


def test_a_layer_that_is_merged_adds_what_is_not_there_yet() -> None:
    alone, others, together = work([1.0], [4.0]), work([1.0], [4.0]), work([1.0], [5.0], 1.5)
    ranges = Ranges([Piece(others), Piece(alone, others, together)], CHIP)
    assert [least.price_ns for least in ranges.begin(0, 1)] == [1 + 100, pytest.approx(1.5 + 125)]
    assert [least.price_ns for least in ranges.begin(1, 1)] == [pytest.approx(0.5 + 25)]


def test_what_takes_more_crossbars_than_there_are_has_no_bound() -> None:
    assert len(Ranges([Piece(work([1.0], [9.0]))] * 3, CHIP).begin(0, 1)) == 1
