"""`pimdse compare`: rows with two gaps apart, explained absences, a picture.

Covers: /pimdse/compiling/comparison, /pimdse/report/comparison_picture.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from pimdse.cli import run
from pimdse.compiling.comparison import Row, with_model_gaps


def compared(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    status = run(["compare", *words, "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    rows: list[dict[str, Any]] = json.loads(captured.out)["rows"]
    return rows


def test_rows_hold_model_and_program_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "compare.png"
    rows = compared(capsys, "digits_mlp", "--solvers", "balance,exact", "--png", str(picture))
    assert [(r["solver"], r["pipeline"]) for r in rows] == [
        ("balance", "element"), ("exact", "element"), ("balance", "batch"), ("exact", "batch"),
    ]  # fmt: skip
    for row in rows:
        assert row["gap_model"] == pytest.approx(max(0.0, 1 - row["model_bound_ns"] / row["cost_ns"]))
        assert row["gap"] == pytest.approx(1 - row["bound_ns"] / row["latency_ns"])
        assert row["gap_period"] == pytest.approx(1 - row["bound_period_ns"] / row["period_ns"])
        assert min(row["gap"], row["gap_period"]) >= 0
        assert row["crossbars_used"] > 0
        assert row["energy_pj"] > 0
    assert rows[0]["model_bound_ns"] == rows[1]["model_bound_ns"], "one model, one bound"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_does_not_fit_is_a_row_with_a_lever(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chip = tmp_path / "tiny.yaml"
    chip.write_text(
        "name: tiny\nchip: {cores: 4, crossbars_per_core: 11}\n"
        "crossbar: {rows: 64, cols: 64, cell_bits: 2, dac: {count: 64}, adc: {count: 8}}\n"
        "core: {rob_size: 1, period_ns: 1.0, vector_width: 16, vector_latency_ns: 4}\n"
        "numbers: {weight_bits: 16, activation_bits: 16}\nlocal_memory: {bytes: 65536, width_bytes: 16}\n"
        "global_memory: {width_bytes: 16}\nnoc: {interconnect: mesh, mesh_rows: 2, flit_bytes: 8}\n"
    )
    rows = compared(capsys, "digits_resnet8", "--arch", str(chip), "--solvers", "balance,exact", "-p", "batch")
    assert {r["status"] for r in rows} == {"infeasible"}
    for row in rows:
        assert row["latency_ns"] is row["period_ns"] is None
        assert "44 crossbars, needs 172" in row["missing"]
        assert "chips: 5" in row["missing"]


def test_table_for_people_has_both_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "digits_mlp", "--solvers", "exact", "--pipeline", "batch"]) == 0
    shown = capsys.readouterr().out
    assert "model gap" in shown
    assert "timeline gap" in shown


def test_bounds_are_shared_within_a_pipeline() -> None:
    rows = [
        Row(solver="a", pipeline="batch", status="feasible", cost_ns=10.0),
        Row(solver="b", pipeline="batch", status="feasible", cost_ns=8.0, model_bound_ns=4.0),
        Row(solver="c", pipeline="batch", status="unknown", model_bound_ns=6.0),
    ]
    assert [r.gap_model for r in with_model_gaps(rows)] == [pytest.approx(0.4), pytest.approx(0.25), None]
    assert {r.model_bound_ns for r in with_model_gaps(rows)} == {6.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits_mlp", "--solvers", "simplex"], "expected one of balance"),
        (["digits_mlp", "--solvers", ","], "--solvers: expected at least one name"),
        (["digits_mlp", "--pipeline", "bath"], "--pipeline"),
        (["digits_mlp", "--pimsim", "/no/such/simulator"], "not an executable"),
    ],
)
def test_bad_words_are_messages(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *words]) == 2
    assert message in capsys.readouterr().err


def test_solvers_that_order_programs_find_what_compile_finds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = compared(capsys, "digits_mlp", "--solvers", "auto", "--pipeline", "element")[0]
    assert run(["-q", "compile", "digits_mlp", "--arch", "pimcomp_default", "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (row["latency_ns"], row["crossbars_used"]) == (report["latency_ns"], report["crossbars_used"])
