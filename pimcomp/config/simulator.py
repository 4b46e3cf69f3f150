"""config.json of PIMCOMP-NN and pimsim-nn: its keys and defaults, and reading one as an Arch.

`SimulatorDocument` mirrors the file. Reading flattens it on the Arch, writing (pimcomp/emit/arch_json.py) nests the
Arch back, so both sides use one list of keys. Defaults are the simulator's own, which differ from Arch's.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pimcomp.config.fields import ARCH_DEFAULTS, arch_field, flatten
from pimcomp.config.noc_file import complete_table, mesh_costs, read_noc_tables
from pimcomp.config.validation import field_path, submodel, validate
from pimcomp.errors import ConfigError
from pimcomp.foundation.file_kind import BOM, file_kind
from pimcomp.ir.arch import Arch
from pimcomp.ir.arch_rules import MAX_CORES

MAX_BYTES = 1_000_000
UNUSED = (  # parsed by the simulator and never used: no reason to tell the user
    "chip_config.network_config.bus_topology",
    "chip_config.core_config.matrix_config.dac_static_power",
    "chip_config.core_config.matrix_config.sample_hold_static_power",
    "chip_config.core_config.matrix_config.adc_static_power",
    "chip_config.core_config.matrix_config.shift_adder_static_power",
    "chip_config.core_config.matrix_config.input_buffer_static_power",
    "chip_config.core_config.matrix_config.input_buffer_dynamic_power",
    "chip_config.core_config.matrix_config.output_buffer_static_power",
    "chip_config.core_config.controller_static_power",
    "chip_config.core_config.controller_dynamic_power",
    "chip_config.core_config.transfer_dynamic_power",
    "chip_config.global_memory_config.memory_size",
)


def _whole(value: object) -> object:
    """JSON writers turn 4 into 4.0; the simulator reads both as 4."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _whole_ns(value: object) -> object:
    """The simulator cuts 4.5 to 4; a value that it would change is refused."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"expected a whole number of ns, found number {value}: the simulator would cut it off")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Pair = Annotated[
    list[Annotated[int, BeforeValidator(_whole), Field(ge=0, le=65536)]], Field(min_length=2, max_length=2)
]


class SimulatorSection(BaseModel):
    """A JSON object of the simulator. Unknown keys are ignored by it, and reported as notes by the reader."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)


def _key(arch: str, default: float, *, ge: float | None = 0, gt: float | None = None, le: float | None = None) -> Any:
    """A key that sets Arch.`arch`; `default` is what the simulator assumes without it."""
    return arch_field(arch, "", default=default, ge=None if gt is not None else ge, gt=gt, le=le)


class LocalMemoryConfig(SimulatorSection):
    """local_memory_config. memory_size is bytes; the simulator does not check it, pimdse does."""

    memory_size: Whole | None = Field(default=None, ge=1, le=1 << 40, json_schema_extra={"arch": "local_memory_bytes"})
    data_width: Whole = _key("local_width_bytes", 16, ge=1)
    period: float = _key("local_period_ns", 1.0, gt=0)
    static_power: float = _key("local_static_mw", 1.0)
    write_latency_cycle: Whole = _key("local_write_cycles", 10)
    write_dynamic_energy: float = _key("local_write_pj", 0.0)
    read_latency_cycle: Whole = _key("local_read_cycles", 8)
    read_dynamic_energy: float = _key("local_read_pj", 0.0)


class GlobalMemoryConfig(SimulatorSection):
    """global_memory_config."""

    data_width: Whole = _key("global_width_bytes", 16, ge=1)
    period: float = _key("global_period_ns", 1.0, gt=0)
    static_power: float = _key("global_static_mw", 1.0)
    write_latency_cycle: Whole = _key("global_write_cycles", 10)
    write_dynamic_energy: float = _key("global_write_pj", 0.0)
    read_latency_cycle: Whole = _key("global_read_cycles", 8)
    read_dynamic_energy: float = _key("global_read_pj", 0.0)


class MatrixConfig(SimulatorSection):
    """matrix_config. xbar_size is [rows, physical columns]."""

    xbar_array_count: Whole = _key("crossbars_per_core", 1, ge=1, le=1_000_000)
    period: float = _key("matrix_period_ns", 1 / 1.28, gt=0)
    pipeline_mode: bool = arch_field("matrix_pipelined", "", default=True)
    dac_resolution: Whole = _key("dac_bits", 1, ge=1)
    dac_latency_cycle: Whole = _key("dac_latency_cycles", 1)
    dac_dynamic_power: float = _key("dac_mw", 0.0)
    dac_count: Whole = _key("dac_count", 128, ge=1)
    xbar_size: Pair = Field(default=[128, 128], json_schema_extra={"expected": "[rows, columns], both >= 1"})
    cell_precision: Whole = _key("cell_bits", 2, ge=1, le=32)
    xbar_latency: float = _key("crossbar_latency_ns", 30.0)
    xbar_read_power: float = _key("crossbar_read_mw", 0.0)
    sample_hold_latency_cycle: Whole = _key("sample_hold_latency_cycles", 1)
    sample_hold_dynamic_power: float = _key("sample_hold_mw", 0.0)
    adc_resolution: Whole = _key("adc_bits", 1, ge=1)
    adc_latency_cycle: Whole = _key("adc_latency_cycles", 1)
    adc_dynamic_power: float = _key("adc_mw", 0.0)
    adc_count: Whole = _key("adc_count", 1, ge=1)
    shift_adder_latency_cycle: Whole = _key("shift_add_latency_cycles", 1)
    shift_adder_dynamic_power: float = _key("shift_add_mw", 0.0)
    output_buffer_latency_cycle: Whole = _key("output_buffer_latency_cycles", 1)
    output_buffer_dynamic_power: float = _key("output_buffer_mw", 0.0)


class CoreConfig(SimulatorSection):
    """core_config. The simulator reads vector_latency_cycle as whole ns per beat."""

    rob_size: Whole = _key("rob_size", 1, ge=1)
    period: float = _key("core_period_ns", 1.0, gt=0)
    matrix_config: MatrixConfig = MatrixConfig()
    vector_width: Whole = _key("vector_width", 16, ge=1)
    vector_latency_cycle: Annotated[float, BeforeValidator(_whole_ns)] = _key("vector_latency_ns", 8.0)
    vector_alu_static_power: float = _key("vector_alu_static_mw", 0.0)
    vector_alu_dynamic_energy: float = _key("vector_alu_pj", 0.0)
    vector_reg_static_power: float = _key("vector_reg_static_mw", 0.0)
    vector_reg_read_dynamic_energy: float = _key("vector_reg_read_pj", 0.0)
    vector_reg_write_dynamic_energy: float = _key("vector_reg_write_pj", 0.0)
    inst_fetch_static_power: float = _key("fetch_static_mw", 0.0)
    inst_fetch_dynamic_power: float = _key("fetch_dynamic_mw", 0.0)
    inst_decode_static_power: float = _key("decode_static_mw", 0.0)
    inst_decode_dynamic_power: float = _key("decode_dynamic_mw", 0.0)
    inst_decode_offset_static_power: float = _key("decode_offset_static_mw", 0.0)
    inst_decode_offset_dynamic_power: float = _key("decode_offset_dynamic_mw", 0.0)
    reg_file_static_power: float = _key("reg_file_static_mw", 0.0)
    reg_file_read_dynamic_power: float = _key("reg_file_read_mw", 0.0)
    reg_file_write_dynamic_power: float = _key("reg_file_write_mw", 0.0)
    scalar_static_power: float = _key("scalar_static_mw", 0.0)
    scalar_dynamic_power: float = _key("scalar_dynamic_mw", 0.0)
    transfer_static_power: float = _key("transfer_static_mw", 0.0)
    local_memory_config: LocalMemoryConfig = LocalMemoryConfig()
    global_memory_switch_id: Whole = Field(default=-10)


class NetworkConfig(SimulatorSection):
    """network_config. bus_width is bytes per flit; the layout is not used by the simulator, but it is the mesh."""

    bus_width: Whole = _key("bus_width_bytes", 16, ge=1)
    layout: Pair = Field(default=[0, 0], json_schema_extra={"expected": "[rows, columns]"})
    net_config_file_path: str = ""


class ChipConfig(SimulatorSection):
    """chip_config."""

    core_cnt: Whole = Field(default=1, ge=1, le=MAX_CORES)
    core_config: CoreConfig = CoreConfig()
    global_memory_config: GlobalMemoryConfig = GlobalMemoryConfig()
    network_config: NetworkConfig = NetworkConfig()
    global_memory_switch_id: Whole = Field(default=-10)


class SimulatorDocument(BaseModel):
    """The part of config.json that describes the chip; sim_config describes a run."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)
    chip_config: ChipConfig


def arch_from_simulator_config(
    path: str | Path, *, crossbars: Literal["logical", "physical"] = "physical"
) -> tuple[Arch, tuple[str, ...]]:
    """The chip of a config.json, and notes on every choice the file leaves open.

    crossbars: "physical" takes cell_precision as it is; "logical" is PIMCOMP-NN's view, one cell per weight.
    Activations and weights are 8 bit, which the file does not say. A network file beside it is read; without one the
    mesh's costs are Arch's defaults. Raises ConfigError naming file and key.
    """
    path = Path(path)
    document = validate(SimulatorDocument, _load_json(path), str(path))
    chip = document.chip_config
    notes = [f"{key}: not a key of the simulator, ignored" for key in _unknown_keys(chip, "chip_config")]
    rows, cols = chip.core_config.matrix_config.xbar_size
    if not rows or not cols:
        raise ConfigError(
            f"{path}: chip_config.core_config.matrix_config.xbar_size", f"expected both >= 1, found [{rows}, {cols}]"
        )
    if chip.global_memory_switch_id != chip.core_config.global_memory_switch_id:
        raise ConfigError(
            f"{path}: chip_config.core_config.global_memory_switch_id",
            f"expected the chip's {chip.global_memory_switch_id}, found {chip.core_config.global_memory_switch_id}",
        )
    values = flatten(chip) | {"crossbar_rows": rows, "crossbar_cols": cols}
    if values["local_memory_bytes"] is None:
        values["local_memory_bytes"] = ARCH_DEFAULTS["local_memory_bytes"]
        notes.append(f"local_memory_config.memory_size is not set: {values['local_memory_bytes']} bytes assumed")
    if "rob_size" not in chip.core_config.model_fields_set:
        notes.append("core_config.rob_size is not set: 1, the simulator's default")
    notes.append("the file has no number formats: 8-bit activations, weights and partial sums assumed")
    if crossbars == "logical" and values["cell_bits"] != 8:
        notes.append(f"logical crossbars: cells of {values['cell_bits']} bits taken as 8, one cell per weight")
        values["cell_bits"] = 8
    cores, mesh_rows = _size(path, chip, notes)
    if 0 <= chip.global_memory_switch_id < cores:
        raise ConfigError(f"{path}: chip_config.global_memory_switch_id", "expected an id that no core has")
    try:
        arch = Arch(
            name=path.stem, weight_bits=8, activation_bits=8, psum_bits=8, cores=cores, mesh_rows=mesh_rows,
            cut_off=True, adc_mode="ideal" if values["cell_bits"] >= 8 else "saturate", **values,
        )  # fmt: skip
    except ConfigError as error:  # names the chip, not its file
        field, _, problem = str(error).removeprefix(f"{path.stem}.").partition(": ")
        raise ConfigError(f"{path}: {field}", problem) from None
    notes.extend(_floor_notes(arch))
    return _with_network(path, chip, arch, notes), tuple(notes)


def _load_json(path: Path) -> object:
    try:
        if not path.is_file():  # a pipe would be read for ever
            raise ConfigError(str(path), "is a folder or no regular file" if path.exists() else "no such file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(str(path), f"expected at most {MAX_BYTES} bytes of JSON, found more")
    try:
        return orjson.loads(content.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise ConfigError(str(path), f"expected JSON, found {file_kind(content) or error}") from None


def _unknown_keys(section: SimulatorSection, prefix: str) -> list[str]:
    """Dotted names of keys that the simulator does not know."""
    names = [f"{prefix}.{key}" for key in section.model_extra or {}]
    for name, field in type(section).model_fields.items():
        if submodel(field.annotation):
            names += _unknown_keys(getattr(section, name), f"{prefix}.{name}")
    return [name for name in names if name not in UNUSED]


def _size(path: Path, chip: ChipConfig, notes: list[str]) -> tuple[int, int]:
    """(cores, mesh rows): the layout wins over core_cnt, as in PIMCOMP-NN."""
    rows, columns = chip.network_config.layout
    if not rows or not columns:
        if "layout" in chip.network_config.model_fields_set:
            where = field_path(str(path), ("chip_config", "network_config", "layout"))
            raise ConfigError(where, f"expected both >= 1, found [{rows}, {columns}]")
        notes.append(f"network_config.layout is not set: core_cnt = {chip.core_cnt} cores in the most square mesh")
        return chip.core_cnt, 0
    if rows * columns > MAX_CORES:
        where = field_path(str(path), ("chip_config", "network_config", "layout"))
        raise ConfigError(where, f"expected at most {MAX_CORES} cores, found [{rows}, {columns}]")
    if chip.core_cnt != rows * columns:
        notes.append(f"layout {rows} x {columns} = {rows * columns} cores wins over core_cnt = {chip.core_cnt}")
    return rows * columns, rows


def _floor_notes(arch: Arch) -> list[str]:
    """The simulator's divisions cut off: what a chip with remainders does not get modelled."""
    pairs = (
        ("adc_count", "crossbar columns", arch.crossbar_cols, arch.adc_count),
        ("dac_count", "crossbar rows", arch.crossbar_rows, arch.dac_count),
        ("dac_resolution", "activation bits", arch.activation_bits, arch.dac_bits),
    )
    return [
        f"{key} = {divisor} does not divide {total} {what}: the simulator times only {total // divisor} whole steps"
        for key, what, total, divisor in pairs
        if total % divisor
    ]


def _with_network(path: Path, chip: ChipConfig, arch: Arch, notes: list[str]) -> Arch:
    """`arch` with the costs of the network file: a mesh if one explains them, else the table."""
    name = chip.network_config.net_config_file_path
    if not name or not os.path.exists(path.parent / name):
        notes.append(
            f"network file {name!r} not found: mesh with {arch.noc_base_ns} ns + {arch.noc_hop_ns} ns per hop, "
            f"{arch.noc_memory_ns} ns to memory, {arch.noc_energy_pj} pJ, per flit"
        )
        return arch
    file = path.parent / name
    latency_ns, energy_pj = read_noc_tables(file, arch.cores, str(chip.global_memory_switch_id))
    if costs := mesh_costs(latency_ns, energy_pj, arch.mesh):
        notes.append(
            f"{name} is a mesh: {costs.base_ns} ns + {costs.hop_ns} ns per hop, {costs.memory_ns} ns to memory"
        )
        return replace(
            arch,
            noc_base_ns=costs.base_ns,
            noc_hop_ns=costs.hop_ns,
            noc_memory_ns=costs.memory_ns,
            noc_energy_pj=costs.energy_pj,
        )
    table = complete_table(file, latency_ns, energy_pj)
    return replace(arch, interconnect="file", noc_file=name, noc_table=table)
