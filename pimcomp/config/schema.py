"""The YAML description of a chip: sections, keys, types, ranges, defaults.

docs/config-reference.md is made from this file (`make docs`).
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pimcomp.config.fields import REQUIRED, arch_field
from pimcomp.config.validation import Section
from pimcomp.ir.arch import MAX_CHIPS
from pimcomp.ir.price.node import LARGEST_NM, SMALLEST_NM


def _count_or_grid(value: object) -> object:
    """[12, 8] means 96: papers give crossbars per core as a grid."""
    if isinstance(value, list) and len(value) == 2 and all(type(v) is int and v >= 1 for v in value):
        return value[0] * value[1]
    return value


def _bits_or_auto(value: object) -> object:
    """auto means as many as are needed, which Arch calls 0."""
    if type(value) is int and value == 0:
        raise ValueError("expected an integer >= 1, or auto, found integer 0")
    return 0 if value == "auto" else value


class ChipSection(Section):
    """How much of everything there is."""

    cores: int = arch_field("cores", "cores of one chip", default=REQUIRED, ge=1, le=16384)
    crossbars_per_core: Annotated[int, BeforeValidator(_count_or_grid)] = arch_field(
        "crossbars_per_core",
        "crossbars of one core; [12, 8] means 96",
        default=REQUIRED,
        expected="an integer >= 1 or [rows, columns]",
        ge=1,
        le=1_000_000,
    )
    chips: int = arch_field("chips", "copies of the chip, joined by an off-chip link", ge=1, le=MAX_CHIPS)
    node_nm: float = arch_field("node_nm", "technology node", ge=SMALLEST_NM, le=LARGEST_NM)


class NumbersSection(Section):
    """Number formats. Activations and partial sums share one width: the streams keep one element width."""

    weight_bits: int = arch_field("weight_bits", "bits of a weight", ge=1, le=32)
    activation_bits: int = arch_field("activation_bits", "bits of an activation", ge=1, le=32)
    psum_bits: int | None = Field(
        default=None,
        description="bits of a partial sum as it leaves the crossbar; must equal activation_bits, which is the default",
        json_schema_extra={"arch": "psum_bits", "expected": "an integer >= 1 and <= 32"},
        ge=1,
        le=32,
    )


class CoreSection(Section):
    """Front end and vector unit."""

    rob_size: int = arch_field("rob_size", "instructions in flight; 1: one at a time", default=REQUIRED, ge=1, le=1024)
    period_ns: float = arch_field("core_period_ns", "clock period", gt=0)
    vector_width: int = arch_field("vector_width", "elements per beat of the vector unit", ge=1)
    vector_latency_ns: float = arch_field(
        "vector_latency_ns",
        "time of one beat; the simulator reads whole ns only",
        expected="a whole number >= 0",
        ge=0,
    )


class DacSection(Section):
    """Input converters of one crossbar."""

    bits: int = arch_field("dac_bits", "input bits converted at a time", ge=1, le=32)
    count: int = arch_field("dac_count", "rows driven at a time; must divide crossbar.rows", ge=1)
    latency_cycles: int = arch_field("dac_latency_cycles", "crossbar cycles of a conversion", ge=0)
    power_mw: float = arch_field("dac_mw", "power of one converter while it converts", ge=0)


class SampleHoldSection(Section):
    """Sample-and-hold of every column."""

    latency_cycles: int = arch_field("sample_hold_latency_cycles", "crossbar cycles", ge=0)
    power_mw: float = arch_field("sample_hold_mw", "power of one column's circuit while active", ge=0)


class AdcSection(Section):
    """Output converters of one crossbar."""

    bits: Annotated[int, BeforeValidator(_bits_or_auto)] = arch_field(
        "adc_bits",
        "resolution; auto: what the sum of all rows read at a time needs",
        expected="an integer >= 1 and <= 32, or auto",
        ge=0,
        le=32,
    )
    mode: Literal["saturate", "round", "ideal"] = arch_field(
        "adc_mode", "what happens to sums beyond the resolution; ideal: converters are not modelled, nothing is lost"
    )
    count: int = arch_field("adc_count", "converters per crossbar; must divide crossbar.cols", ge=1)
    latency_cycles: int = arch_field("adc_latency_cycles", "crossbar cycles of a conversion", ge=0)
    power_mw: float = arch_field("adc_mw", "power of one converter while it converts", ge=0)


class ShiftAddSection(Section):
    """Shift-and-add after the converters."""

    latency_cycles: int = arch_field("shift_add_latency_cycles", "crossbar cycles", ge=0)
    power_mw: float = arch_field("shift_add_mw", "power per crossbar while active", ge=0)


class OutputBufferSection(Section):
    """Output registers of a crossbar."""

    latency_cycles: int = arch_field("output_buffer_latency_cycles", "crossbar cycles", ge=0)
    power_mw: float = arch_field("output_buffer_mw", "power per crossbar while active", ge=0)


class WriteSection(Section):
    """Writing weights into cells, between the programs of segments; verification included. 0: not known."""

    row_ns: float = arch_field("row_write_ns", "time to write one row of one crossbar", ge=0)
    row_pj: float = arch_field("row_write_pj", "energy to write one row of one crossbar", ge=0)
    rows_at_once: int = arch_field("rows_written_at_once", "rows that all crossbars together write at a time", ge=1)
    endurance: int = arch_field("cell_endurance", "writes that a cell takes", ge=0)


class CrossbarSection(Section):
    """One crossbar and its converters."""

    rows: int = arch_field("crossbar_rows", "word lines", default=REQUIRED, ge=1, le=65536)
    cols: int = arch_field("crossbar_cols", "physical bit lines", default=REQUIRED, ge=1, le=65536)
    cell_bits: int = arch_field("cell_bits", "bits stored in a cell", default=REQUIRED, ge=1, le=32)
    encoding: Literal["offset", "isaac"] = arch_field(
        "encoding", "of weights in cells; isaac stores a column inverted where that is smaller, and saves an ADC bit"
    )
    noise: float = arch_field("cell_noise", "relative standard deviation of a cell's conductance", ge=0)
    stuck: float = arch_field("stuck_cells", "share of cells that hold nothing or all, half each", ge=0, le=1)
    noise_seed: int = arch_field("noise_seed", "decides which cells are off, and how much", ge=0)
    period_ns: float = arch_field("matrix_period_ns", "clock period of the crossbar's converters", gt=0)
    pipelined: bool = arch_field("matrix_pipelined", "input slices overlap with conversion of the slice before")
    latency_ns: float = arch_field("crossbar_latency_ns", "analog read of the array", ge=0)
    read_power_mw: float = arch_field("crossbar_read_mw", "power of the array during a read", ge=0)
    dac: DacSection = DacSection()
    sample_hold: SampleHoldSection = SampleHoldSection()
    adc: AdcSection = AdcSection()
    shift_add: ShiftAddSection = ShiftAddSection()
    output_buffer: OutputBufferSection = OutputBufferSection()
    write: WriteSection = WriteSection()


class LocalMemorySection(Section):
    """Memory of a core: one port, a whole number of beats per access."""

    bytes: int = arch_field("local_memory_bytes", "capacity: a hard limit", ge=1, le=1 << 40)
    width_bytes: int = arch_field("local_width_bytes", "bytes per beat", ge=1)
    period_ns: float = arch_field("local_period_ns", "clock period", gt=0)
    read_cycles: int = arch_field("local_read_cycles", "cycles per beat read", ge=0)
    write_cycles: int = arch_field("local_write_cycles", "cycles per beat written", ge=0)
    read_pj: float = arch_field("local_read_pj", "energy per beat read", ge=0)
    write_pj: float = arch_field("local_write_pj", "energy per beat written", ge=0)
    static_mw: float = arch_field("local_static_mw", "static power, per core", ge=0)


class GlobalMemorySection(Section):
    """The memory that all cores share: one request at a time."""

    bytes: int = arch_field("global_memory_bytes", "room for maps that wait between segments; 0: enough", ge=0)
    width_bytes: int = arch_field("global_width_bytes", "bytes per beat", ge=1)
    period_ns: float = arch_field("global_period_ns", "clock period", gt=0)
    read_cycles: int = arch_field("global_read_cycles", "cycles per beat read", ge=0)
    write_cycles: int = arch_field("global_write_cycles", "cycles per beat written", ge=0)
    read_pj: float = arch_field("global_read_pj", "energy per beat read", ge=0)
    write_pj: float = arch_field("global_write_pj", "energy per beat written", ge=0)
    static_mw: float = arch_field("global_static_mw", "static power", ge=0)


class NocSection(Section):
    """Network between the cores and to global memory."""

    interconnect: Literal["mesh", "bus", "file"] = arch_field(
        "interconnect", "mesh: cost grows with distance; bus: all pairs alike; file: a table of pimsim-nn's form"
    )
    file: str = arch_field("noc_file", "table for interconnect: file, relative to this file")
    mesh_rows: int = arch_field("mesh_rows", "rows of one chip's mesh; 0: the most square layout", ge=0)
    flit_bytes: int = arch_field("bus_width_bytes", "bytes per flit", ge=1)
    base_ns: float = arch_field("noc_base_ns", "per flit between any two cores", ge=0)
    hop_ns: float = arch_field("noc_hop_ns", "per flit and hop", ge=0)
    memory_ns: float = arch_field("noc_memory_ns", "per flit to and from global memory", ge=0)
    flit_pj: float = arch_field("noc_energy_pj", "per flit", ge=0)
    offchip_ns: float = arch_field("offchip_ns", "added per flit between chips", ge=0)
    offchip_pj: float = arch_field("offchip_energy_pj", "added per flit between chips", ge=0)


class PowerSection(Section):
    """What is left of the power model: vector unit, front end, static power of a core's parts."""

    vector_alu_pj: float = arch_field("vector_alu_pj", "vector arithmetic, per beat", ge=0)
    vector_reg_read_pj: float = arch_field("vector_reg_read_pj", "vector register read, per beat and operand", ge=0)
    vector_reg_write_pj: float = arch_field("vector_reg_write_pj", "vector register write, per beat", ge=0)
    fetch_dynamic_mw: float = arch_field("fetch_dynamic_mw", "instruction fetch", ge=0)
    decode_dynamic_mw: float = arch_field("decode_dynamic_mw", "instruction decode", ge=0)
    decode_offset_dynamic_mw: float = arch_field("decode_offset_dynamic_mw", "address offset in decode", ge=0)
    scalar_dynamic_mw: float = arch_field("scalar_dynamic_mw", "scalar unit", ge=0)
    reg_file_read_mw: float = arch_field("reg_file_read_mw", "register file, read", ge=0)
    reg_file_write_mw: float = arch_field("reg_file_write_mw", "register file, write", ge=0)
    fetch_static_mw: float = arch_field("fetch_static_mw", "per core", ge=0)
    decode_static_mw: float = arch_field("decode_static_mw", "per core", ge=0)
    decode_offset_static_mw: float = arch_field("decode_offset_static_mw", "per core", ge=0)
    reg_file_static_mw: float = arch_field("reg_file_static_mw", "per core", ge=0)
    scalar_static_mw: float = arch_field("scalar_static_mw", "per core", ge=0)
    vector_alu_static_mw: float = arch_field("vector_alu_static_mw", "per core", ge=0)
    vector_reg_static_mw: float = arch_field("vector_reg_static_mw", "per core", ge=0)
    transfer_static_mw: float = arch_field("transfer_static_mw", "transfer unit and its share of the network", ge=0)


class AreaSection(Section):
    """Silicon area; 0: not known. A part is all of its kind in one core, and follows the parameters in its own way."""

    core_mm2: float = arch_field("core_area_mm2", "one core with its crossbars and all parts", ge=0)
    chip_mm2: float = arch_field("chip_area_mm2", "everything outside the cores, per chip", ge=0)
    cells_mm2: float = arch_field("cells_mm2", "part of a core: cells", ge=0)
    dac_mm2: float = arch_field("dac_mm2", "part of a core: input converters", ge=0)
    registers_mm2: float = arch_field("registers_mm2", "part of a core: input registers", ge=0)
    sample_hold_mm2: float = arch_field("sample_hold_mm2", "part of a core: sample-and-hold", ge=0)
    adc_mm2: float = arch_field("adc_mm2", "part of a core: output converters", ge=0)
    shift_add_mm2: float = arch_field("shift_add_mm2", "part of a core: shift-and-add, output registers", ge=0)
    local_memory_mm2: float = arch_field("local_memory_mm2", "part of a core: local memory", ge=0)
    local_bus_mm2: float = arch_field("local_bus_mm2", "part of a core: bus between memory and crossbars", ge=0)
    router_mm2: float = arch_field("router_mm2", "part of a core: its share of the network", ge=0)
    vector_mm2: float = arch_field("vector_mm2", "part of a core: vector unit", ge=0)


class ChipDocument(Section):
    """A chip's YAML file."""

    name: str = Field(
        default="",
        description="name in reports; default: the file's name",
        json_schema_extra={"expected": "text of at most 200 characters"},
        max_length=200,
    )
    chip: ChipSection
    crossbar: CrossbarSection
    core: CoreSection
    numbers: NumbersSection = NumbersSection()
    local_memory: LocalMemorySection = LocalMemorySection()
    global_memory: GlobalMemorySection = GlobalMemorySection()
    noc: NocSection = NocSection()
    power: PowerSection = PowerSection()
    area: AreaSection = AreaSection()
    sweep: Any = Field(default=None, description="the search space of `pimdse sweep`; see docs/sweep.md")
