"""The pure parts of the comparison: choosing rows, means, tables, pages."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ablation import lines
from benchmarks.peer_comparison import HEADER, MEANS_HEADER, Row, cells, means, section
from benchmarks.peer_rows import Peer, Peers, best_peers, geometric_mean, peer_mvm_pj, read_peers
from benchmarks.sections import replace_section, table
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Graph, Input, Node, View, Window
from pimcomp.timeline.energy import mvm_crossbar_pj, static_power_mw

PEER = Peer(replication="GA", latency_ns=20e6, period_ns=8e6, cores=120)
HEURISTIC = Peer(replication="W0H0", latency_ns=30e6, period_ns=8e6, cores=100)
ROW = Row(
    network="net", chip="chip", pipeline="element", latency_ns=1e6, period_ns=0.5e6, bound_ns=0.25e6,
    model_bound_ns=0.4e6, objective_ns=0.5e6,
    energy_pj=2e9, peer_pj=4e9, peak_bytes=41_000, compile_s=1.5, plain_ns=2e6, verified=True,
)  # fmt: skip


def _peers(*rows: Row) -> Peers:
    return Peers(best={row.case: PEER for row in rows}, heuristic={row.case: HEURISTIC for row in rows})


def _row(replication: str, latency: int, period: int, completes: bool = True) -> dict[str, str | float | bool]:
    return {
        "network": "net", "config": "chip", "pipeline": "element", "replication": replication, "compiles": True,
        "completes": completes, "latency_ns": latency, "period_ns": period, "cores_used": 3,
    }  # fmt: skip


def test_best_peer_by_the_figure_that_is_compared() -> None:
    rows = [_row("balance", 30, 9), _row("W0H0", 20, 19), _row("uniform", 10, 1, completes=False)]
    rows += [{**r, "pipeline": "batch"} for r in rows]
    best = best_peers(rows)
    assert best["net", "chip", "element"].replication == "W0H0"
    assert best["net", "chip", "batch"].replication == "balance"


def test_heuristics_are_told_apart_from_the_genetic_algorithm(tmp_path: Path) -> None:
    rows = [_row("balance", 30, 9), _row("GA", 12, 11), _row("GA", 11, 12)]
    (tmp_path / "baseline.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    peers, case = read_peers(tmp_path / "baseline.json"), ("net", "chip", "element")
    assert (peers.best[case].replication, peers.best[case].latency_ns) == ("GA", 11)
    assert (peers.heuristic[case].replication, peers.heuristic[case].latency_ns) == ("balance", 30)


def test_rows_that_crashed_have_no_figures_and_do_not_count() -> None:
    assert best_peers([{"network": "n", "config": "c", "pipeline": "batch", "compiles": False, "why": "crash"}]) == {}


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.floats(0.1, 10))
def test_geometric_mean_scales_and_lies_between(values: list[float], factor: float) -> None:
    mean = geometric_mean(values)
    assert min(values) * (1 - 1e-9) <= mean <= max(values) * (1 + 1e-9)
    assert geometric_mean(v * factor for v in values) == pytest.approx(mean * factor)
    assert math.isnan(geometric_mean([]))


def test_peer_energy_counts_every_window_once_and_groups_as_dense() -> None:
    arch = Arch(name="chip", cores=4, crossbars_per_core=8)
    kernel = np.zeros((arch.weight_cols + 1, 2, 3, 3), np.float32)  # two crossbars wide
    channels = 2 * 15  # 15 groups: 270 dense rows, three slabs of 128
    view = View(np.zeros(channels, np.int32), np.arange(channels, dtype=np.int32))
    conv = Conv(window=Window(kernel=(3, 3)), weights=kernel, groups=15)
    nodes = (
        Node(name="in", operation=Input((1, channels, 6, 7)), inputs=(), channels=channels, height=6, width=7),
        Node(name="conv", operation=conv, inputs=(view,), channels=len(kernel), height=4, width=5),
    )
    energy = peer_mvm_pj(Graph(name="net", nodes=nodes, outputs=()), arch)
    assert arch.crossbar_rows == 128
    assert energy == pytest.approx(4 * 5 * 3 * 2 * mvm_crossbar_pj(arch))


def test_static_power_grows_by_the_same_amount_per_core() -> None:
    arch = Arch(name="chip", cores=4, crossbars_per_core=8)
    assert static_power_mw(arch, 0) == arch.global_static_mw
    assert static_power_mw(arch, 10) - arch.global_static_mw == pytest.approx(
        10 * (static_power_mw(arch, 1) - arch.global_static_mw)
    )


def test_cells_compare_latency_or_period() -> None:
    element = dict(zip(HEADER, cells(ROW, _peers(ROW)), strict=True))
    assert (element["theirs us"], element["ours us"], element["ratio"]) == ("20,000 (GA)", "1,000", "20.0")
    assert (element["heuristics us"], element["ratio to them"]) == ("30,000 (W0H0)", "30.0")
    assert (element["ratio, plain"], element["verified"]) == ("10.0", "yes")
    assert (element["bound us"], element["gap"], element["plan's gap"]) == ("250", "75%", "20%")
    row = replace(ROW, pipeline="batch")
    batch = dict(zip(HEADER, cells(row, _peers(row)), strict=True))
    assert (batch["ours us"], batch["ratio"]) == ("500", "16.0")


def test_cells_tell_failures() -> None:
    wrong = dict(zip(HEADER, cells(replace(ROW, verified=False, verify_reason="bad"), _peers(ROW)), strict=True))
    assert wrong["verified"] == "NO: bad"
    failed = cells(replace(ROW, failure="too large\nhint"), _peers(ROW))
    assert len(failed) == len(HEADER)
    assert failed[3] == "failed: too large"


def test_means_leave_out_failures() -> None:
    other = replace(ROW, network="other", latency_ns=4e6, plain_ns=None, verified=None)
    failed = replace(ROW, network="failed", failure="no room")
    (line,) = means([ROW, other, failed], _peers(ROW, other, failed))
    figures = dict(zip(MEANS_HEADER, line, strict=True))
    assert (figures["networks"], figures["ratio"], figures["smallest ratio"]) == ("2", "**10.0**", "5.0")
    assert (figures["ratio, plain"], figures["verified"]) == ("10.0 (1 rows)", "1 of 2")
    assert figures["ratio to heuristics"] == "15.0"
    assert figures["energy over theirs, at most"] == "0.50"


def test_section_has_a_table_per_pipeline_and_says_what_the_peer_leaves_out() -> None:
    text = section([ROW], _peers(ROW))
    assert "### Element pipeline" in text
    assert "### Batch pipeline" not in text
    for phrase in ("no packing", "omit pooling", "LRN is dropped on both sides"):
        assert phrase in text


def test_ablation_lines_relate_to_the_first() -> None:
    figures: dict[str, list[float | None]] = {"default": [1e6, None], "off": [2e6, 3e6], "full": [None, None]}
    assert lines(figures) == [
        ["default", "1,000", "1.00", "does not fit", ""],
        ["off", "2,000", "2.00", "3,000", ""],
        ["full", "does not fit", "", "does not fit", ""],
    ]


def test_sections_are_replaced_in_place() -> None:
    page = replace_section("", "one", "first", "Results")
    page = replace_section(page, "two", "second", "Results")
    changed = replace_section(page, "one", "new", "Results")
    assert page.startswith("# Results\n")
    assert changed == page.replace("first", "new")
    assert replace_section(changed, "one", "first", "Results") == page


def test_a_mark_without_its_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no"):
        replace_section("<!-- one -->\n", "one", "text", "Results")


def test_table_has_one_line_per_row() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
