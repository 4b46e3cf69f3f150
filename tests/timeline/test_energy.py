"""Energy: the simulator's sums, and where they come from.

Covers: front_end.
"""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from pimcomp.emit.pimsim import write_program
from pimcomp.errors import InvariantError
from pimcomp.ir.program import Op
from pimcomp.isa.listing import listing_of
from pimcomp.timeline.energy import (
    energy_of,
    energy_of_stream,
    energy_of_stream_by_layer,
    mvm_crossbar_pj,
    not_counted,
)
from pimcomp.timeline.work import stream_of
from tests.emit.programs import random_program, small_arch
from tests.timeline.micro import Case, arch_of, cases, listing_of_json, stream_of_json
from tests.timeline.streams import Step, steps, stream_of_steps

LATENCY = [c for c in cases() if c.mode == 1]


def relative_error(case: Case) -> float:
    arch = arch_of(case.config)
    stream, listing = stream_of_json(case.program, arch.cores), listing_of_json(case.program, arch.cores)
    energy = energy_of_stream(stream, arch, case.result["latency_ms"] * 1e6, listing)
    expected = case.result["energy_pJ"]
    return abs(energy.total_pj - expected) / max(expected, 1e-9) if expected or energy.total_pj else 0.0


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in LATENCY])
def test_the_simulators_energy(case: Case) -> None:
    assert relative_error(case) < 1e-9


def test_parts_add_up_and_scale_with_their_constants() -> None:
    program = random_program(3)
    arch = replace(small_arch(), crossbar_read_mw=2.0, adc_mw=1.0, local_read_pj=3.0, local_write_pj=5.0)
    arch = replace(arch, global_read_pj=2.0, global_write_pj=7.0, vector_alu_pj=1.5, vector_reg_read_pj=0.5)
    energy = energy_of(program, arch, 1000.0)
    parts = (
        energy.mvm_pj,
        energy.local_memory_pj,
        energy.global_memory_pj,
        energy.vector_pj,
        energy.noc_pj,
        energy.static_pj,
    )
    assert min(parts) > 0
    assert energy.front_end_pj == 0
    assert energy.total_pj == pytest.approx(sum(parts))
    doubled = energy_of(program, replace(arch, local_read_pj=6.0, local_write_pj=10.0), 1000.0)
    assert doubled.local_memory_pj == 2 * energy.local_memory_pj
    assert doubled.noc_pj == energy.noc_pj


def test_static_power_runs_on_present_cores_until_the_end() -> None:
    program = random_program(5, rows=40)
    arch = replace(small_arch(), local_static_mw=2.0, reg_file_static_mw=0.5, global_static_mw=3.0)
    present = int((np.diff(program.core_start) > 0).sum())
    assert energy_of(program, arch, 100.0).static_pj == pytest.approx(100 * (2.5 * present + 3.0))


def test_an_mvm_costs_the_full_crossbar() -> None:
    arch = replace(small_arch(), crossbar_read_mw=10.0)
    # 8 bit-serial slices of a 30 ns read.
    assert mvm_crossbar_pj(arch) == pytest.approx(8 * 30 * 10)


@settings(max_examples=40)
@given(steps(), steps())
def test_energy_of_two_programs_in_a_row_is_the_sum(first: list[Step], second: list[Step]) -> None:
    arch = replace(small_arch(3), crossbar_read_mw=10.0, local_read_pj=1.0, global_write_pj=2.0, vector_alu_pj=0.25)
    apart = [energy_of_stream(stream_of_steps(p), arch, 0.0).total_pj for p in (first, second)]
    together = energy_of_stream(stream_of_steps(first + second), arch, 0.0).total_pj
    assert together == pytest.approx(sum(apart))


def test_a_program_and_its_stream_agree() -> None:
    program, arch = random_program(7), small_arch()
    assert energy_of(program, arch, 10.0) == energy_of_stream(stream_of(program, arch), arch, 10.0)


@pytest.mark.parametrize("rob_size", [1, 4])
def test_layers_add_up_to_the_dynamic_parts(rob_size: int) -> None:
    program = random_program(23, rows=40)  # one that does not deadlock
    node = np.arange(program.instructions, dtype=np.int32) % 4 - 1
    program = replace(program, table=replace(program.table, node=node), node_names=("a", "b", "c"))
    arch = replace(
        small_arch(), rob_size=rob_size, crossbar_read_mw=2.0, local_read_pj=3.0, local_write_pj=5.0,
        global_read_pj=2.0, global_write_pj=7.0, vector_alu_pj=1.5, fetch_dynamic_mw=1.0, decode_dynamic_mw=2.0,
        reg_file_read_mw=0.5, reg_file_write_mw=0.25, scalar_dynamic_mw=4.0,
    )  # fmt: skip
    energy, stream = energy_of(program, arch, 100.0), stream_of(program, arch)
    layers = energy_of_stream_by_layer(stream, node, program.node_names, arch, listing=listing_of(program))
    assert [layer.layer for layer in layers] == ["a", "b", "c", ""]
    for part in ("mvm_pj", "local_memory_pj", "global_memory_pj", "vector_pj", "noc_pj", "front_end_pj"):
        assert getattr(energy, part) > 0
        assert sum(getattr(layer, part) for layer in layers) == pytest.approx(getattr(energy, part))
    assert sum(layer.dynamic_pj for layer in layers) == pytest.approx(energy.total_pj - energy.static_pj)


def test_a_front_end_with_dynamic_power_needs_the_whole_list() -> None:
    program, arch = random_program(7), replace(small_arch(), decode_dynamic_mw=1.0)
    with pytest.raises(InvariantError, match="scalar instructions"):
        energy_of_stream(stream_of(program, arch), arch, 10.0)


def test_listing_of_a_program_is_the_list_in_its_file(tmp_path: Path) -> None:
    program, arch = random_program(9, rows=150), small_arch()
    write_program(program, arch, tmp_path / "program.gz")
    file = listing_of_json(json.loads(gzip.decompress((tmp_path / "program.gz").read_bytes())), arch.cores)
    ours = listing_of(program)
    for name in ("core_start", "op", "rd", "rs1", "rs2"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(file, name), err_msg=name)
    scalar = ours.op < Op.SETBW
    np.testing.assert_array_equal(ours.imm[scalar], file.imm[scalar])


def test_what_a_chip_has_no_figures_for_is_named() -> None:
    names = ("mvm", "local_memory", "global_memory", "vector", "noc", "static", "front_end")
    assert not_counted(replace(small_arch(), noc_energy_pj=0.0, local_static_mw=0.0, global_static_mw=0.0)) == names
    full = replace(
        small_arch(),
        crossbar_read_mw=1.0,
        local_read_pj=1.0,
        global_write_pj=1.0,
        vector_alu_pj=1.0,
        global_static_mw=1.0,
        fetch_dynamic_mw=1.0,
    )
    assert not_counted(full) == ()
    assert not_counted(replace(full, vector_alu_pj=0.0)) == ("vector",)
