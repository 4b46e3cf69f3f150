"""The chip: one frozen description with the simulator's parameters under unit-carrying names, and what follows.

Source of the formulas: pimsim-nn's timing model (docs/timing.md, "unit durations"); fields name the simulator's key
where they differ.
"""

import math
from dataclasses import dataclass, field, fields
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch_rules import check_ranges, check_rules, least_values
from pimcomp.ir.brief import brief
from pimcomp.ir.price.components import PER_CHIP, Parameters
from pimcomp.ir.price.figures import FIGURES, PARTS, Rating, model_chip_mm2, model_core_mm2, prices_at

MAX_CHIPS = 1024

Count = TypeVar("Count", npt.NDArray[Any], float)  # a number of things, or one per element of an array


@brief
@dataclass(frozen=True, slots=True)
class NocTable:
    """Measured or simulated network costs per flit, in place of the mesh formula.

    Both tuples are (cores + 1) x (cores + 1) in row-major order [source, destination]; the last index is global memory.
    Tuples, so that an Arch with a table stays hashable.
    """

    cores: int
    latency_ns: tuple[float, ...]
    energy_pj: tuple[float, ...]


@brief
@dataclass(frozen=True, kw_only=True)
class Arch:
    """A crossbar PIM chip (or `chips` copies joined by an off-chip link). Equal chips compare equal and hash alike.

    Figures follow: in a copy with other parameters (`dataclasses.replace`), powers, energies and areas that are not
    given themselves are those of the original times the ratio of their models (pimcomp/ir/price), and another number of
    cores gets the most square mesh. Raises ConfigError for what no chip can be.
    """

    name: str
    # --- size
    cores: int  # per chip
    crossbars_per_core: int  # simulator: xbar_array_count
    crossbar_rows: int = 128
    crossbar_cols: int = 128  # physical columns
    chips: int = 1
    node_nm: float = 32.0  # technology node
    mesh_rows: int = 0  # per chip; 0: the most square layout that holds `cores`
    # --- numbers
    cell_bits: int = 2
    weight_bits: int = 8
    activation_bits: int = 8
    psum_bits: int = 8  # simulator: obiw
    # --- core and front end
    rob_size: int = 1
    core_period_ns: float = 1.0
    vector_width: int = 32  # elements per beat
    vector_latency_ns: float = 4.0  # per beat; the simulator's vector_latency_cycle is in ns
    # --- crossbar pipeline
    matrix_period_ns: float = 1.0
    matrix_pipelined: bool = True
    dac_bits: int = 1
    dac_count: int = 128
    dac_latency_cycles: int = 1
    crossbar_latency_ns: float = 30.0
    sample_hold_latency_cycles: int = 1
    adc_bits: int = 8  # 0: as many as are needed
    adc_mode: str = "saturate"  # beyond its resolution: saturate | round, to steps that span all | ideal, exact
    encoding: str = "offset"  # of weights in cells: offset | isaac, which stores a column inverted if that is smaller
    cell_noise: float = 0.0  # relative standard deviation of a cell's conductance
    stuck_cells: float = 0.0  # share of cells that hold nothing or all whatever was written, half each
    noise_seed: int = 0
    adc_count: int = 16  # per crossbar
    adc_latency_cycles: int = 1
    shift_add_latency_cycles: int = 1
    output_buffer_latency_cycles: int = 1
    # --- writing crossbars (0: not known), per row of one crossbar's cells, verification included
    row_write_ns: float = 0.0
    row_write_pj: float = 0.0
    rows_written_at_once: int = 1  # of all crossbars of all chips together
    cell_endurance: int = 0  # writes that a cell takes
    # --- memories
    local_memory_bytes: int = 262144
    local_width_bytes: int = 64
    local_period_ns: float = 1.0
    local_read_cycles: int = 8
    local_write_cycles: int = 10
    global_memory_bytes: int = 0  # 0: as many as are needed
    global_width_bytes: int = 32
    global_period_ns: float = 1.0
    global_read_cycles: int = 8
    global_write_cycles: int = 10
    # --- network on chip
    interconnect: str = "mesh"  # mesh | bus | file
    noc_file: str = ""  # interconnect: file; where `noc_table` came from
    noc_table: NocTable | None = field(default=None, repr=False)  # interconnect: file
    bus_width_bytes: int = 32  # bytes per flit
    noc_base_ns: float = 2.0  # per flit between any two cores
    noc_hop_ns: float = 2.0  # and per hop
    noc_memory_ns: float = 15.0  # per flit to and from global memory
    noc_energy_pj: float = 46.0  # per flit
    offchip_ns: float = 100.0  # added per flit when the ends are on different chips
    offchip_energy_pj: float = 200.0  # added per flit likewise
    # --- dynamic power and energy (0: not modelled)
    crossbar_read_mw: float = 0.0
    dac_mw: float = 0.0
    sample_hold_mw: float = 0.0
    adc_mw: float = 0.0
    shift_add_mw: float = 0.0
    output_buffer_mw: float = 0.0
    local_read_pj: float = 0.0  # per beat
    local_write_pj: float = 0.0
    global_read_pj: float = 0.0
    global_write_pj: float = 0.0
    vector_alu_pj: float = 0.0
    vector_reg_read_pj: float = 0.0
    vector_reg_write_pj: float = 0.0
    fetch_dynamic_mw: float = 0.0
    decode_dynamic_mw: float = 0.0
    decode_offset_dynamic_mw: float = 0.0
    scalar_dynamic_mw: float = 0.0
    reg_file_read_mw: float = 0.0
    reg_file_write_mw: float = 0.0
    # --- static power
    fetch_static_mw: float = 0.0
    decode_static_mw: float = 0.0
    decode_offset_static_mw: float = 0.0
    reg_file_static_mw: float = 0.0
    scalar_static_mw: float = 0.0
    vector_alu_static_mw: float = 0.0
    vector_reg_static_mw: float = 0.0
    transfer_static_mw: float = 0.0
    local_static_mw: float = 1.0  # the simulator's default
    global_static_mw: float = 1.0
    # --- area (0: not known); of a core's area, the parts that are known
    core_area_mm2: float = 0.0
    chip_area_mm2: float = 0.0  # everything outside the cores, per chip
    cells_mm2: float = 0.0
    dac_mm2: float = 0.0
    registers_mm2: float = 0.0
    sample_hold_mm2: float = 0.0
    adc_mm2: float = 0.0
    shift_add_mm2: float = 0.0
    local_memory_mm2: float = 0.0
    local_bus_mm2: float = 0.0
    router_mm2: float = 0.0
    vector_mm2: float = 0.0
    # --- not part of the description
    cut_off: bool = field(default=False, compare=False)  # as the simulator does: divisions may leave a rest, untimed
    rating: Rating | None = field(default=None, repr=False, compare=False)  # of the original, while a copy is made

    def __post_init__(self) -> None:
        check_ranges(self, _LEAST)
        self._follow()
        check_rules(self)

    def _follow(self) -> None:
        """Take over what follows from changed parameters, and remember what the figures belong to."""
        parameters, old = self.parameters, self.rating
        figures = dict(zip(FIGURES, _FIGURES(self), strict=True))
        mesh_rows = self.mesh_rows
        if old is not None:
            figures = old.figures_at(parameters, figures)
            if old.cores != self.cores and old.mesh_rows == mesh_rows and mesh_rows:
                mesh_rows = math.isqrt(self.cores)
        rating = Rating(parameters, figures, self.cores, mesh_rows)
        for name, value in (figures | {"mesh_rows": mesh_rows, "rating": rating}).items():
            object.__setattr__(self, name, value)

    @property
    def total_cores(self) -> int:
        """Cores of all chips."""
        return self.cores * self.chips

    @property
    def crossbars(self) -> int:
        """Crossbars of all chips: the hardware cost."""
        return self.total_cores * self.crossbars_per_core

    @property
    def cells_per_weight(self) -> int:
        """Physical columns that one weight takes."""
        cells: int = self.cells_at(0)
        return cells

    def cells_at(self, weight_bits: Any) -> Any:
        """The same for weights of so many bits, 0: the chip's. A layer may choose fewer than the chip's."""
        return -(-(weight_bits + (weight_bits == 0) * self.weight_bits) // self.cell_bits)

    def weight_cols_at(self, weight_bits: Any) -> Any:
        """`weight_cols` for weights of so many bits."""
        return self.crossbar_cols // self.cells_at(weight_bits)

    @property
    def weight_cols(self) -> int:
        """Logical columns (whole weights) of one crossbar: what the simulator writes back per crossbar."""
        columns: int = self.weight_cols_at(0)
        return columns

    @property
    def element_bytes(self) -> int:
        """Bytes of one activation or partial sum."""
        return -(-self.activation_bits // 8)

    @property
    def area_mm2(self) -> float:
        """Area of all chips: from the description, or by the models alone where it has none (`area_is_modelled`)."""
        core_mm2, chip_mm2 = self.core_area_mm2, self.chip_area_mm2
        if self.area_is_modelled:
            core_mm2, chip_mm2 = model_core_mm2(self.parameters), model_chip_mm2(self.parameters)
        return self.total_cores * core_mm2 + self.chips * chip_mm2

    @property
    def area_by_mm2(self) -> dict[str, float]:
        """The same by component; "other parts of cores" have no area of their own in the description."""
        core = {name: float(getattr(self, f"{name}_mm2")) for name in PARTS}
        core["other parts of cores"], outside_mm2 = self.core_area_mm2 - sum(core.values()), self.chip_area_mm2
        if self.area_is_modelled:
            core = {name: float(cost.area_mm2) for name, cost in prices_at(self.parameters).items()}
            outside_mm2 = core.pop(PER_CHIP)
        parts = {name: self.total_cores * mm2 for name, mm2 in core.items()}
        return {name: mm2 for name, mm2 in (parts | {"outside cores": self.chips * outside_mm2}).items() if mm2 > 0}

    @property
    def parameters(self) -> Parameters:
        """What the prices of its components depend on."""
        return Parameters(*_PARAMETERS(self))._replace(adc_bits=self.adc_resolution)

    def described(self) -> dict[str, Any]:
        """Field name to value of all that describes the chip, without the network table (large; noc_file names it)."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("noc_table", "rating")}

    @property
    def area_is_modelled(self) -> bool:
        """Whether the description has no area of a core, so that nothing anchors the models."""
        return not self.core_area_mm2

    @property
    def adc_bits_needed(self) -> int:
        """Bits of a conversion that can never clip: the sum of all rows read at a time, at full levels.

        ceil(log2 rows) + cell bits + DAC bits - 1 where either is 1 (ISAAC, section 5); its encoding takes one off.
        """
        levels = self.dac_count * ((1 << self.dac_bits) - 1) * ((1 << self.cell_bits) - 1)
        return max((levels >> (self.encoding == "isaac")).bit_length(), 1)

    @property
    def adc_resolution(self) -> int:
        """Bits of a conversion."""
        return self.adc_bits or self.adc_bits_needed

    @property
    def clips(self) -> bool:
        """Whether there are sums that a conversion cannot tell apart."""
        return self.adc_mode != "ideal" and self.adc_resolution < self.adc_bits_needed

    @property
    def is_lossless(self) -> bool:
        """Whether an MVM gives exact products."""
        return not (self.clips or self.cell_noise or self.stuck_cells)

    def local_read_ns(self, size_bytes: Count) -> Count:
        """Time one local-memory read occupies the port."""
        return -(-size_bytes // self.local_width_bytes) * self.local_read_cycles * self.local_period_ns

    def local_write_ns(self, size_bytes: Count) -> Count:
        """Time one local-memory write occupies the port."""
        return -(-size_bytes // self.local_width_bytes) * self.local_write_cycles * self.local_period_ns

    def flits(self, size_bytes: int) -> int:
        """Flits of a message."""
        return -(-size_bytes // self.bus_width_bytes)

    def input_bits_at(self, activation_bits: Any) -> Any:
        """Bits that an MVM reads of an input (`ibiw`). activation_bits: of its layer, 0: the chip's."""
        return activation_bits + (activation_bits == 0) * self.activation_bits

    def slices(self, input_bits: Any) -> Any:
        """Input slices times row passes for inputs of so many bits: a `setbw` may choose others than the chip's."""
        return (input_bits // self.dac_bits) * (self.crossbar_rows // self.dac_count)

    @property
    def adc_steps(self) -> int:
        """Sequential conversions per input slice."""
        return self.crossbar_cols // self.adc_count

    def compute_ns(self, input_bits: Any) -> Any:
        """Crossbar time of one MVM for inputs of so many bits, without its memory accesses (timing.md, mvmul)."""
        drain = self.shift_add_latency_cycles + self.output_buffer_latency_cycles
        front = (
            self.dac_latency_cycles
            + math.ceil(self.crossbar_latency_ns / self.matrix_period_ns)
            + self.sample_hold_latency_cycles
        )
        back = self.adc_latency_cycles + drain + (self.adc_steps - 1) * max(self.adc_latency_cycles, drain)
        slices = self.slices(input_bits)
        cycles = front + back + (slices - 1) * max(front, back) if self.matrix_pipelined else (front + back) * slices
        return cycles * self.matrix_period_ns

    def mvm_ns(self, crossbars: Count, weight_bits: Any = 0, activation_bits: Any = 0) -> Count:
        """Unit time of one `mvmul` on an array group of that many crossbars: always full rows, however few are used.

        weight_bits, activation_bits: of its weights and of what it reads, 0: the chip's.
        """
        b = self.element_bytes
        # The simulator reads 8 x rows x bytes: the factor is in its source.
        time_ns: Count = (
            self.local_read_ns(8 * self.crossbar_rows * b)
            + self.compute_ns(self.input_bits_at(activation_bits))
            + self.local_write_ns(self.weight_cols_at(weight_bits) * b * crossbars)
        )
        return time_ns

    def vector_ns(self, elements: Count, operands: int) -> Count:
        """Unit time of a vector instruction with one or two operands of `elements` elements."""
        n = elements * self.element_bytes
        beats = -(-elements // self.vector_width)
        time_ns: Count = operands * self.local_read_ns(n) + beats * self.vector_latency_ns + self.local_write_ns(n)
        return time_ns

    @cached_property
    def mesh(self) -> tuple[int, int]:
        """(rows, columns) of one chip's mesh: as configured, or the most square layout without empty places."""
        if self.mesh_rows:
            return self.mesh_rows, -(-self.cores // self.mesh_rows)
        rows = next(r for r in range(math.isqrt(self.cores), 0, -1) if self.cores % r == 0)
        return rows, self.cores // rows

    @cached_property
    def noc_latency_ns(self) -> npt.NDArray[np.float64]:
        """float64[cores + 1, cores + 1]: ns per flit; the last index is global memory."""
        n = self.total_cores
        if self.noc_table is not None:
            return np.array(self.noc_table.latency_ns).reshape(n + 1, n + 1)
        core = np.arange(n)
        chip, local = core // self.cores, core % self.cores
        y, x = local // self.mesh[1], local % self.mesh[1]
        hops = np.abs(y[:, None] - y) + np.abs(x[:, None] - x)
        if self.interconnect == "bus":
            hops = np.ones_like(hops)
        table = np.full((n + 1, n + 1), self.noc_memory_ns)
        table[:n, :n] = self.noc_base_ns + self.noc_hop_ns * hops + self.offchip_ns * (chip[:, None] != chip)
        table[n, n] = 0.0
        return table

    @cached_property
    def noc_flit_energy_pj(self) -> npt.NDArray[np.float64]:
        """float64[cores + 1, cores + 1]: pJ per flit; the last index is global memory."""
        n = self.total_cores
        if self.noc_table is not None:
            return np.array(self.noc_table.energy_pj).reshape(n + 1, n + 1)
        chip = np.arange(n) // self.cores
        table = np.full((n + 1, n + 1), self.noc_energy_pj)
        table[:n, :n] += self.offchip_energy_pj * (chip[:, None] != chip)
        return table


_LEAST = least_values(Arch)
_PARAMETERS, _FIGURES = attrgetter(*Parameters._fields), attrgetter(*FIGURES)
