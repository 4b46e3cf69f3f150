"""config.json and network.json for the simulator: complete, deterministic, and readable back as the same chip."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.config import arch_from_simulator_config, list_archs, load_arch
from pimcomp.config.fields import flatten
from pimcomp.config.simulator import ChipConfig
from pimcomp.emit.arch_json import network_json, simulator_config
from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.price.figures import PARTS

# What the two files do not say: formats, size of the second chip, node, area, and how the chip was named.
NOT_CARRIED = {
    *(f"{part}_mm2" for part in PARTS),
    *("name", "weight_bits", "activation_bits", "psum_bits", "chips", "noc_file", "noc_table", "node_nm", "encoding"),
    *("offchip_ns", "offchip_energy_pj", "core_area_mm2", "chip_area_mm2", "interconnect", "mesh_rows", "cores"),
    *("cut_off", "cell_noise", "stuck_cells", "noise_seed", "row_write_ns", "row_write_pj", "rows_written_at_once"),
    *("cell_endurance", "global_memory_bytes"),
}


def read_back(arch: Arch, folder: Path) -> Arch:
    (folder / "config.json").write_bytes(simulator_config(arch, sim_mode=1, sim_time_ms=1.0))
    (folder / "network.json").write_bytes(network_json(arch))
    return arch_from_simulator_config(folder / "config.json")[0]


@pytest.mark.parametrize("name", list_archs())
def test_what_is_written_reads_back_as_the_same_chip(tmp_path: Path, name: str) -> None:
    arch = replace(load_arch(name), weight_bits=8, activation_bits=8, psum_bits=8)
    back, meant = read_back(arch, tmp_path), arch.described()
    if arch.cores == 1:  # one core has no pairs: nothing tells the mesh's costs
        meant |= {"noc_base_ns": back.noc_base_ns, "noc_hop_ns": back.noc_hop_ns}
    assert {k: v for k, v in meant.items() if k not in NOT_CARRIED}.items() <= back.described().items()
    assert back.mesh == arch.mesh
    assert back.cores == arch.cores


cost = st.floats(0, 10, allow_nan=False).map(lambda x: round(x, 3))


@given(st.data(), st.integers(2, 4), st.integers(2, 4))
def test_every_parameter_the_simulator_knows_survives(data: st.DataObject, rows: int, columns: int) -> None:
    values: dict[str, Any] = {}
    for field in fields(Arch):
        if field.name in NOT_CARRIED or field.name in ("crossbar_rows", "crossbar_cols", "cell_bits"):
            continue
        if field.name.endswith("_count"):
            values[field.name] = 2 ** data.draw(st.integers(0, 7))
        elif field.type in (int, "int"):
            values[field.name] = data.draw(st.integers(1, 500)) if field.name != "dac_bits" else 8
        elif field.type in (float, "float"):
            values[field.name] = max(data.draw(cost), 0.001)
    values["vector_latency_ns"] = float(data.draw(st.integers(0, 99)))
    arch = Arch(name="any", cores=rows * columns, mesh_rows=rows, **values)
    config = json.loads(simulator_config(arch, sim_mode=0, sim_time_ms=1.0))
    chip = ChipConfig.model_validate(config["chip_config"])
    carried = flatten(chip)
    assert {k: values[k] for k in carried if k in values} == {k: v for k, v in carried.items() if k in values}
    table = json.loads(network_json(arch))
    assert table["latency"]["0"]["1"] == arch.noc_latency_ns[0, 1]
    noc = {"noc_base_ns", "noc_hop_ns", "noc_memory_ns", "noc_energy_pj"}
    assert set(values) - noc == set(carried) & set(values)


@given(cost, cost, cost, cost, st.sampled_from([(2, 3), (3, 3), (1, 4)]))
def test_the_mesh_is_recognised_from_its_table(
    tmp_path_factory: pytest.TempPathFactory,
    base: float,
    hop: float,
    memory: float,
    energy: float,
    mesh: tuple[int, int],
) -> None:
    arch = Arch(
        name="config",
        cores=mesh[0] * mesh[1],
        mesh_rows=mesh[0],
        crossbars_per_core=1,
        noc_base_ns=base,
        noc_hop_ns=hop,
        noc_memory_ns=memory,
        noc_energy_pj=energy,
    )
    back = read_back(arch, tmp_path_factory.mktemp("chip"))
    found = (back.noc_base_ns, back.noc_hop_ns, back.noc_memory_ns, back.noc_energy_pj)
    assert found == pytest.approx((base, hop, memory, energy), abs=1e-6)


def test_several_chips_are_written_as_one_layout_that_holds_all_cores() -> None:
    arch = replace(load_arch("isscc23_16_6"), chips=16)
    chip = json.loads(simulator_config(arch, sim_mode=1, sim_time_ms=2.5))["chip_config"]
    assert chip["core_cnt"] == 64
    assert chip["network_config"]["layout"] == [32, 2]
    table = json.loads(network_json(arch))
    assert len(table["latency"]) == 65
    assert table["latency"]["0"]["4"] == table["latency"]["0"]["1"] - 2 + arch.offchip_ns
    assert table["energy"]["0"]["4"] == arch.noc_energy_pj + arch.offchip_energy_pj


def test_the_layout_holds_cores_that_do_not_fill_a_mesh() -> None:
    arch = Arch(name="odd", cores=10, crossbars_per_core=1, mesh_rows=3)
    rows, columns = json.loads(simulator_config(arch, sim_mode=1, sim_time_ms=1))["chip_config"]["network_config"][
        "layout"
    ]
    assert rows * columns >= 10


def test_the_memory_has_the_same_id_everywhere() -> None:
    arch = load_arch("pimsim_example")
    chip = json.loads(simulator_config(arch, sim_mode=1, sim_time_ms=1))["chip_config"]
    assert chip["global_memory_switch_id"] == chip["core_config"]["global_memory_switch_id"] == -10
    table = json.loads(network_json(arch))
    for key in ("latency", "energy"):
        assert set(table[key]) == {"-10", *(str(i) for i in range(64))}
        assert all(set(row) == set(table[key]) - {source} for source, row in table[key].items())


@pytest.mark.parametrize("as_array", [False, True])
def test_a_large_chip_writes_only_the_pairs_in_use_both_ways(as_array: bool) -> None:
    arch = Arch(name="large", cores=1025, crossbars_per_core=1)
    pairs = {(0, 1), (7, 1024)}
    table = json.loads(network_json(arch, np.array(sorted(pairs)) if as_array else pairs))
    for key in ("latency", "energy"):
        between = {(int(a), int(b)) for a, row in table[key].items() for b in row if "-10" not in (a, b)}
        assert between == {(0, 1), (1, 0), (7, 1024), (1024, 7)}
        assert len(table[key]["-10"]) == 1025
        assert all("-10" in table[key][str(core)] for core in range(1025))
    assert table["latency"]["7"]["1024"] == arch.noc_latency_ns[7, 1024]


def test_a_small_chip_writes_every_pair_whatever_is_used() -> None:
    arch = Arch(name="small", cores=4, crossbars_per_core=1)
    assert network_json(arch, {(0, 1)}) == network_json(arch)


def test_pairs_outside_the_chip_are_a_defect() -> None:
    with pytest.raises(InvariantError, match=r"outside 0\.\.1024"):
        network_json(Arch(name="large", cores=1025, crossbars_per_core=1), {(0, 1025)})


@pytest.mark.parametrize(("mode", "time_ms", "verbose"), [(2, 1.0, 0), (1, 0.0, 0), (0, float("nan"), 0), (1, 1.0, 2)])
def test_runs_that_the_simulator_refuses_are_not_written(mode: int, time_ms: float, verbose: int) -> None:
    with pytest.raises(InvariantError, match="no such run"):
        simulator_config(load_arch("puma"), sim_mode=mode, sim_time_ms=time_ms, report_verbose_level=verbose)


def test_the_same_chip_gives_the_same_bytes() -> None:
    arch = load_arch("puma")
    again = replace(arch)
    assert simulator_config(arch, sim_mode=0, sim_time_ms=3) == simulator_config(again, sim_mode=0, sim_time_ms=3)
    assert network_json(arch) == network_json(again)
