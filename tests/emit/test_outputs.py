"""The output folder: complete or absent, deterministic, and never at the expense of the user's files.

Covers: report.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pimcomp.emit import outputs
from pimcomp.emit.choices import FORMS, SAVES
from pimcomp.emit.decode import decode_program, read_checkpoints, read_memory
from pimcomp.emit.outputs import emit, file_names, message_pairs, throughput_rounds
from pimcomp.errors import ConfigError, OutputError
from pimcomp.foundation.own_files import COMPILE, RECORD, write_file
from pimcomp.ir.program import Op
from tests.emit.compiled import small_compiled
from tests.emit.programs import make_table, program_of, random_program

ALWAYS = {
    "program.gz",
    "config.json",
    "config_throughput.json",
    "network.json",
    "memory.npz",
    "checkpoints.npz",
    "plan.json",
    "report.json",
}


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }


def test_a_plain_compile_writes_exactly_the_promised_files(tmp_path: Path) -> None:
    compiled = small_compiled()
    report = emit(compiled, tmp_path / "deep" / "out")
    folder = tmp_path / "deep" / "out"
    assert set(content(folder)) == ALWAYS
    assert [path.name for path in folder.parent.iterdir()] == ["out"]  # no staging folder left
    assert decode_program(folder / "program.gz").instructions == report.instructions_per_round
    assert read_memory(folder / "memory.npz").images_per_round == 1
    assert read_checkpoints(folder / "checkpoints.npz").node_names == ("input", "conv", "relu")
    latency, throughput = (json.loads((folder / name).read_text())["sim_config"] for name in
                           ("config.json", "config_throughput.json"))  # fmt: skip
    assert latency == {"sim_mode": 1, "sim_time": pytest.approx(0.006), "report_verbose_level": 0}
    assert throughput["sim_mode"] == 0
    assert throughput["sim_time"] == pytest.approx(0.004 + 1000.5 * 0.0025)
    assert (folder / json.loads((folder / "config.json").read_text())["chip_config"]["network_config"][
        "net_config_file_path"]).exists()  # fmt: skip


def test_the_report_carries_the_figures(tmp_path: Path) -> None:
    emit(small_compiled(), tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["latency_ns"] == 4000
    assert report["avg_power_mw"] == 2.0
    assert report["throughput_per_s"] == pytest.approx(4e5)
    assert (report["solver_objective_ns"], report["solver_bound_ns"]) == (2000, 1500)
    assert 0 <= report["bound_ns"] <= report["latency_ns"]
    assert (report["crossbars"], report["crossbars_used"]) == (64, 24)
    assert sum(report["energy_by_pj"].values()) == report["energy_pj"] == 8000
    assert report["notes"] == ["LRN dropped", "degraded", "by hand"]
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert plan["layers"] == [
        {"name": "conv", "option": 0, "block": 1, "replication": 2, "crossbars": 2, "cores": [[0], [2]]}
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_option_adds_its_files_and_bytes_repeat(tmp_path: Path, form: str) -> None:
    for name in ("a", "b"):
        emit(small_compiled(), tmp_path / name, form=form, save=SAVES)
    first = content(tmp_path / "a")
    assert first == content(tmp_path / "b")
    extra = {"evaluation.json", "verification.json", "intermediate.json", "mapping.txt", "weights.npz", "listing.txt"}
    suffix = {"directory": "json", "pim": "pim"}.get(form)
    per_core = {"cores/config.json", *(f"cores/core_{c}.{suffix}" for c in range(4))} if suffix else set()
    assert set(first) == ALWAYS | extra | per_core


def test_an_earlier_compile_is_replaced_and_foreign_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    emit(small_compiled(), out, form="pim", save=SAVES)
    (out / "notes.txt").write_text("mine")
    (out / "cores" / "important").write_text("mine")
    write_file(out / "integer.npz", b"scales of the earlier program", COMPILE)
    foreign = {"notes.txt": b"mine", "cores/important": b"mine"}
    emit(small_compiled(random_program(22)), out, form="directory")
    emit(small_compiled(random_program(22)), tmp_path / "fresh", form="directory")
    assert content(out) == content(tmp_path / "fresh") | foreign
    (out / "weights.npz").write_text("mine")
    emit(small_compiled(random_program(22)), out)
    assert set(content(out)) == ALWAYS | {*foreign, "weights.npz"}


@pytest.mark.parametrize("form", FORMS)
def test_the_files_are_known_before_the_work(tmp_path: Path, form: str) -> None:
    compiled = small_compiled()
    emit(compiled, tmp_path / "out", form=form, save=SAVES)
    assert set(file_names(form, SAVES, compiled.arch.total_cores)) == set(content(tmp_path / "out"))


def test_a_failure_leaves_the_old_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    emit(small_compiled(), out)
    before = content(tmp_path)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "write_memory", full_disk)
    with pytest.raises(OutputError, match="out: cannot be written: No space left on device"):
        emit(small_compiled(random_program(23)), out)
    assert content(tmp_path) == before


def test_unwritable_places_are_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"is a file|Not a directory"):
        emit(small_compiled(), tmp_path / "file")
    with pytest.raises(OutputError, match="is a file, expected a folder"):
        emit(small_compiled(), tmp_path / "file" / "out")
    assert sorted(os.listdir(tmp_path)) == ["file"]


@pytest.mark.parametrize(("options", "message"), [({"form": "zip"}, "--format"), ({"save": ("all",)}, "--save")])
def test_unknown_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        emit(small_compiled(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_message_pairs_are_who_sends_to_whom() -> None:
    core_start = np.array([0, 2, 3, 4], np.int64)
    rows = [
        {"op": Op.SEND, "src": 0, "size": 4, "peer": 2},
        {"op": Op.SEND, "src": 8, "size": 4, "peer": 2},
        {"op": Op.SEND, "src": 0, "size": 4, "peer": 0},
        {"op": Op.VRELU, "dst": 0, "src": 4, "size": 4},
    ]
    program = program_of(make_table(core_start, rows), core_start)
    assert message_pairs(program).tolist() == [[0, 2], [1, 0]]
    assert message_pairs(random_program(1, ops=(Op.VRELU,))).shape == (0, 2)


def test_short_programs_are_simulated_for_more_rounds() -> None:
    program = random_program(1, rows=300)
    assert throughput_rounds(program) == 1000
    longer = replace(program, core_start=np.array([0, 0, 0, 0, 300], np.int64))
    assert 10 <= throughput_rounds(longer) <= 1000
