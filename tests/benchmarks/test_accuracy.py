"""The ledger's arithmetic and its file of kept rows; measuring itself takes the simulator."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.accuracy import HEADER, Row, ledger, read_kept, summary

ROW = Row(
    network="net", pipeline="element", solver="auto", rob_size=1, chip="chip", simulator_ns=1000.0, timeline_ns=1001.0,
    simulator_pj=500.0, timeline_pj=499.0, ties=3, cost_ns=900.0, simulator_period_ns=800.0, timeline_period_ns=808.0,
    simulator_cpu_s=2.0, timeline_cpu_s=0.001,
)  # fmt: skip


def test_errors_are_ours_over_the_simulators() -> None:
    assert ROW.latency_error == pytest.approx(0.001)
    assert ROW.energy_error == pytest.approx(-0.002)
    assert ROW.period_error == pytest.approx(0.01)
    assert ROW.cost_error == pytest.approx(-0.1)
    assert ROW.ratio == pytest.approx(2000)


def test_the_ledger_has_a_cell_per_column_and_both_ratios() -> None:
    rows = [ROW, replace(ROW, rob_size=4, simulator_period_ns=None, timeline_cpu_s=0.01)]
    assert all(len(row.cells()) == len(HEADER) for row in rows)
    text = ledger(rows)
    assert "| net | element | auto | 4 | chip | 1,000 | 1,001 | +0.1000% | -0.2000% | 3 | 900 | -10.0% |  |  |" in text
    assert [line[0] for line in summary(rows)][-2:] == ["ratio at rob_size 1", "ratio above"]
    assert ["period error", "1", "1.0000%", "1.0000%"] in summary(rows)


def test_kept_rows_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    assert read_kept(path) == read_kept(None) == {}
    path.write_text(json.dumps([asdict(ROW), asdict(replace(ROW, rob_size=4))]))
    assert read_kept(path) == {ROW.case: ROW, ("net", "element", "auto", 4, "chip"): replace(ROW, rob_size=4)}
