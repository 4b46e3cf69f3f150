"""config.json of PIMCOMP-NN and pimsim-nn read as it is.

Covers: noc_file.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pimcomp.config import arch_from_simulator_config, load_arch, read_arch
from pimcomp.config.noc_file import mesh_costs, read_noc_tables
from pimcomp.errors import ConfigError
from pimcomp.ir.arch import Arch

Config = dict[str, Any]


def pimcomp_config() -> Config:
    """PIMCOMP-NN's shipped values."""
    return {
        "chip_config": {
            "core_config": {
                "period": 1,
                "matrix_config": {
                    "xbar_array_count": 64,
                    "period": 1,
                    "pipeline_mode": True,
                    "dac_resolution": 1,
                    "dac_count": 128,
                    "xbar_size": [128, 128],
                    "cell_precision": 8,
                    "xbar_latency": 7,
                    "xbar_read_power": 22.24,
                    "sample_hold_latency_cycle": 1,
                    "adc_resolution": 8,
                    "adc_latency_cycle": 20,
                    "adc_static_power": 0.322,
                    "adc_dynamic_power": 1.135,
                    "adc_count": 16,
                    "shift_adder_latency_cycle": 1,
                    "output_buffer_latency_cycle": 1,
                },
                "vector_width": 32,
                "vector_latency_cycle": 4,
                "local_memory_config": {
                    "data_width": 64,
                    "period": 1,
                    "write_latency_cycle": 30,
                    "read_latency_cycle": 20,
                },
                "global_memory_switch_id": -10,
                "rob_size": 1,
            },
            "global_memory_config": {
                "data_width": 32,
                "period": 1,
                "write_latency_cycle": 50,
                "read_latency_cycle": 40,
            },
            "network_config": {
                "bus_topology": "mesh",
                "bus_width": 32,
                "layout": [12, 12],
                "net_config_file_path": "network.json",
            },
            "core_cnt": 144,
            "global_memory_switch_id": -10,
        },
        "sim_config": {"sim_mode": 1, "sim_time": 400, "report_verbose_level": 0},
    }


def pimsim_config() -> Config:
    """pimsim-nn's example."""
    config = pimcomp_config()
    chip = config["chip_config"]
    matrix = chip["core_config"]["matrix_config"]
    for key in ("xbar_read_power", "adc_static_power", "adc_dynamic_power"):
        del matrix[key]
    matrix |= {"xbar_latency": 30, "adc_latency_cycle": 10, "adc_count": 2}
    chip["core_config"]["vector_width"] = 16
    chip["core_config"]["local_memory_config"] |= {"write_latency_cycle": 1, "read_latency_cycle": 1}
    chip["global_memory_config"] |= {"data_width": 16, "write_latency_cycle": 1, "read_latency_cycle": 1}
    chip["network_config"] |= {"bus_width": 8, "layout": [8, 8]}
    chip["core_cnt"] = 64
    return config


def write(folder: Path, config: Config) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "config"), [("pimcomp_default", pimcomp_config), ("pimsim_example", pimsim_config)])
def test_the_shipped_yaml_is_the_reference_config(tmp_path: Path, name: str, config: Callable[[], Config]) -> None:
    arch, notes = arch_from_simulator_config(write(tmp_path, config()))
    assert replace(arch, name=name) == load_arch(name)
    assert any("8-bit activations" in note for note in notes)
    assert any("network file 'network.json' not found" in note for note in notes)
    assert read_arch(tmp_path / "config.json") == (arch, notes)


def test_without_any_key_the_simulators_defaults_hold(tmp_path: Path) -> None:
    arch, notes = arch_from_simulator_config(write(tmp_path, {"chip_config": {}}))
    assert (arch.cores, arch.crossbars_per_core, arch.rob_size, arch.adc_count) == (1, 1, 1, 1)
    assert (arch.matrix_period_ns, arch.vector_width, arch.vector_latency_ns) == (1 / 1.28, 16, 8.0)
    assert (arch.bus_width_bytes, arch.local_width_bytes, arch.local_static_mw) == (16, 16, 1.0)
    assert any("rob_size is not set: 1" in note for note in notes)


def test_layout_wins_over_core_count_and_says_so(tmp_path: Path) -> None:
    config = pimcomp_config()
    config["chip_config"]["core_cnt"] = 136
    arch, notes = arch_from_simulator_config(write(tmp_path, config))
    assert arch.cores == 144
    assert "layout 12 x 12 = 144 cores wins over core_cnt = 136" in notes


def test_logical_crossbars_hold_a_weight_per_cell(tmp_path: Path) -> None:
    config = pimcomp_config()
    config["chip_config"]["core_config"]["matrix_config"]["cell_precision"] = 2
    path = write(tmp_path, config)
    assert arch_from_simulator_config(path)[0].weight_cols == 32
    logical, notes = arch_from_simulator_config(path, crossbars="logical")
    assert (logical.cell_bits, logical.weight_cols) == (8, 128)
    assert any("logical crossbars" in note for note in notes)


def test_what_the_simulator_ignores_or_cuts_off_becomes_a_note(tmp_path: Path) -> None:
    config = pimcomp_config()
    config["chip_config"]["core_config"]["matrix_config"] |= {"adc_count": 3, "dac_count": 48, "adc_latency": 5}
    arch, notes = arch_from_simulator_config(write(tmp_path, config))
    assert (arch.adc_steps, arch.slices(arch.activation_bits)) == (42, 16)
    assert any("matrix_config.adc_latency: not a key of the simulator" in note for note in notes)
    assert any("adc_count = 3 does not divide 128" in note for note in notes)
    assert any("dac_count = 48 does not divide 128" in note for note in notes)
    assert not any("adc_static_power" in note for note in notes)


# (path of keys, value), text of the message
BAD = [
    (("core_config", "matrix_config", "adc_count"), 0, "adc_count: expected an integer >= 1, found integer 0"),
    (("core_config", "matrix_config", "adc_count"), "2", "adc_count: expected an integer >= 1, found text '2'"),
    (("core_config", "matrix_config", "pipeline_mode"), 1, "pipeline_mode: expected true or false"),
    (("core_config", "matrix_config", "xbar_size"), [128], "xbar_size: expected [rows, columns]"),
    (("core_config", "matrix_config", "xbar_size"), [128, 0], "xbar_size: expected both >= 1"),
    (("core_config", "vector_latency_cycle"), 4.5, "vector_latency_cycle: expected a whole number of ns"),
    (("core_config", "rob_size"), None, "rob_size: expected an integer"),
    (("core_config", "matrix_config", "period"), 1e-300, "matrix_period_ns: expected from 0.001 to 10000"),
    (("core_config", "global_memory_switch_id"), -3, "global_memory_switch_id: expected the chip's -10, found -3"),
    (("network_config", "layout"), [0, 4], "layout: expected both >= 1"),
    (("network_config", "layout"), [65536, 65536], "layout: expected at most 16384 cores"),
    (("global_memory_config",), [], "global_memory_config: expected the keys data_width"),
]


@pytest.mark.parametrize(("keys", "value", "message"), BAD)
def test_a_wrong_value_names_file_and_key(tmp_path: Path, keys: tuple[str, ...], value: object, message: str) -> None:
    config = pimcomp_config()
    section = config["chip_config"]
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    path = write(tmp_path, config)
    with pytest.raises(ConfigError) as caught:
        arch_from_simulator_config(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "expected JSON"), ("[]", "expected the keys chip_config, found list"), ("{}", "chip_config: missing")],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_arch(path)


def mesh_table(rows: int, columns: int) -> dict[str, Any]:
    """pimsim-nn's form: 2 ns + 2 ns per hop, memory 15, energy 46."""
    ids = [*(str(i) for i in range(rows * columns)), "-10"]
    latency = {a: {b: _mesh_ns(a, b, columns) for b in ids if a != b} for a in ids}
    return {"latency": latency, "energy": {a: dict.fromkeys((b for b in ids if a != b), 46) for a in ids}}


def _mesh_ns(a: str, b: str, columns: int) -> int:
    if "-10" in (a, b):
        return 15
    (ya, xa), (yb, xb) = divmod(int(a), columns), divmod(int(b), columns)
    return 2 + 2 * (abs(ya - yb) + abs(xa - xb))


def small_config() -> Config:
    config = pimcomp_config()
    config["chip_config"] |= {"core_cnt": 6}
    config["chip_config"]["network_config"]["layout"] = [2, 3]
    return config


def test_a_table_that_is_a_mesh_becomes_the_mesh(tmp_path: Path) -> None:
    table = mesh_table(2, 3)
    for row in table["latency"].values():
        for key in row:
            row[key] = row[key] + 1 if row[key] != 15 else 15
    (tmp_path / "network.json").write_text(json.dumps(table), encoding="utf-8")
    arch, notes = arch_from_simulator_config(write(tmp_path, small_config()))
    assert (arch.interconnect, arch.noc_base_ns, arch.noc_hop_ns, arch.noc_memory_ns) == ("mesh", 3, 2, 15)
    assert any("network.json is a mesh" in note for note in notes)


def test_a_table_that_is_no_mesh_stays_a_table(tmp_path: Path) -> None:
    table = mesh_table(2, 3)
    table["latency"]["0"]["5"] = 71
    table["energy"]["2"]["3"] = 7
    (tmp_path / "network.json").write_text(json.dumps(table), encoding="utf-8")
    arch, _ = arch_from_simulator_config(write(tmp_path, small_config()))
    assert arch.interconnect == "file"
    assert arch.noc_latency_ns[0, 5] == 71
    assert arch.noc_latency_ns[5, 0] == 8
    assert arch.noc_latency_ns[5, 6] == 15
    assert arch.noc_flit_energy_pj[2, 3] == 7
    assert hash(arch) == hash(replace(arch))
    with pytest.raises(ConfigError, match="expected a table of 12 cores, found 6"):
        replace(arch, chips=2)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("latency", "0", "1", -1), "latency.0.1: expected a number >= 0, found integer -1"),
        (("latency", "0", "1", "x"), "latency.0.1: expected a number >= 0"),
        (("latency", "0", "9", 1), "latency.0.9: expected a core below 6"),
        (("energy", "7", None, {}), "energy.7: expected a core below 6"),
        (("latency", "0", "1", None), "latency.0.1: expected a number"),
    ],
)
def test_a_wrong_table_names_file_and_pair(tmp_path: Path, edit: tuple[Any, ...], message: str) -> None:
    table = mesh_table(2, 3)
    key, source, destination, value = edit
    if destination is None:
        table[key][source] = value
    else:
        table[key][source][destination] = value
    path = tmp_path / "network.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        arch_from_simulator_config(write(tmp_path, small_config()))
    assert f"{path}: {message}" in str(caught.value)


def test_a_missing_pair_is_refused_because_the_simulator_makes_it_free(tmp_path: Path) -> None:
    table = mesh_table(2, 3)
    table["latency"]["0"]["5"] = 71
    del table["latency"]["1"]["-10"]
    (tmp_path / "network.json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"latency: expected a cost for every pair, found none for \(1, -10\)"):
        arch_from_simulator_config(write(tmp_path, small_config()))


def test_a_sparse_table_is_still_recognised_as_a_mesh(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    table = mesh_table(2, 3)
    table["latency"] = {"0": {"1": 4, "-10": 15}, "1": {"5": 6}}
    path.write_text(json.dumps(table), encoding="utf-8")
    costs = mesh_costs(*read_noc_tables(path, 6), (2, 3))
    assert costs is not None
    assert (costs.base_ns, costs.hop_ns, costs.memory_ns, costs.energy_pj) == (2, 2, 15, 46)


def test_a_yaml_chip_reads_its_table_relative_to_itself(tmp_path: Path) -> None:
    table = mesh_table(2, 3)
    table["latency"]["0"]["5"] = 71
    (tmp_path / "net.json").write_text(json.dumps(table), encoding="utf-8")
    (tmp_path / "chip.yaml").write_text(
        "chip: {cores: 6, crossbars_per_core: 4}\ncrossbar: {rows: 128, cols: 128, cell_bits: 2}\n"
        "core: {rob_size: 1}\nnoc: {interconnect: file, file: net.json}\n",
        encoding="utf-8",
    )
    arch: Arch = load_arch(tmp_path / "chip.yaml")
    assert arch.noc_latency_ns[0, 5] == 71
    assert arch.noc_file == "net.json"
