"""The chip: one frozen description with the simulator's parameters under unit-carrying names, and what follows.

Source of the formulas: pimsim-nn's timing model (docs/timing.md, "unit durations"); fields name the simulator's key
where they differ.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pimcomp.errors import ConfigError
from pimcomp.ir.brief import brief

MAX_CORES = 16384  # of all chips: the network tables are quadratic in cores
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
    """A crossbar PIM chip (or `chips` copies joined by an off-chip link). Equal chips compare equal and hash alike."""

    name: str
    # --- size
    cores: int  # per chip
    crossbars_per_core: int  # simulator: xbar_array_count
    crossbar_rows: int = 128
    crossbar_cols: int = 128  # physical columns
    chips: int = 1
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
    adc_bits: int = 8
    adc_count: int = 16  # per crossbar
    adc_latency_cycles: int = 1
    shift_add_latency_cycles: int = 1
    output_buffer_latency_cycles: int = 1
    # --- memories
    local_memory_bytes: int = 262144
    local_width_bytes: int = 64
    local_period_ns: float = 1.0
    local_read_cycles: int = 8
    local_write_cycles: int = 10
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
    # --- area (0: not known)
    core_area_mm2: float = 0.0
    chip_area_mm2: float = 0.0  # everything outside the cores, per chip

    def __post_init__(self) -> None:
        if self.weight_cols < 1:
            raise ConfigError(
                self.name,
                f"a weight of {self.weight_bits} bits takes {self.cells_per_weight} cells of {self.cell_bits} bits, "
                f"but a crossbar has {self.crossbar_cols} columns",
            )
        if self.psum_bits != self.activation_bits:
            raise ConfigError(
                f"{self.name}.psum_bits",
                f"expected {self.activation_bits} (= activation_bits), found {self.psum_bits}: "
                "the emitted streams keep one element width",
            )
        if self.interconnect not in ("mesh", "bus", "file"):
            raise ConfigError(f"{self.name}.interconnect", f"expected mesh, bus or file, found {self.interconnect!r}")
        if (self.interconnect == "file") != (self.noc_table is not None):
            raise ConfigError(
                f"{self.name}.interconnect", "a network table is needed for, and only for, interconnect: file"
            )
        if self.noc_table is not None and self.noc_table.cores != self.total_cores:
            raise ConfigError(
                f"{self.name}.noc_file",
                f"expected a table of {self.total_cores} cores, found {self.noc_table.cores} in {self.noc_file}",
            )

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
        return -(-self.weight_bits // self.cell_bits)

    @property
    def weight_cols(self) -> int:
        """Logical columns (whole weights) of one crossbar: what the simulator writes back per crossbar."""
        return self.crossbar_cols // self.cells_per_weight

    @property
    def element_bytes(self) -> int:
        """Bytes of one activation or partial sum."""
        return -(-self.activation_bits // 8)

    @property
    def area_mm2(self) -> float | None:
        """Area of all chips; None where the core's is not known."""
        if not self.core_area_mm2:
            return None
        return self.total_cores * self.core_area_mm2 + self.chips * self.chip_area_mm2

    def local_read_ns(self, size_bytes: Count) -> Count:
        """Time one local-memory read occupies the port."""
        return -(-size_bytes // self.local_width_bytes) * self.local_read_cycles * self.local_period_ns

    def local_write_ns(self, size_bytes: Count) -> Count:
        """Time one local-memory write occupies the port."""
        return -(-size_bytes // self.local_width_bytes) * self.local_write_cycles * self.local_period_ns

    def flits(self, size_bytes: int) -> int:
        """Flits of a message."""
        return -(-size_bytes // self.bus_width_bytes)

    @property
    def input_slices(self) -> int:
        """Bit-serial input slices times row passes of one MVM."""
        return (self.activation_bits // self.dac_bits) * (self.crossbar_rows // self.dac_count)

    @property
    def adc_steps(self) -> int:
        """Sequential conversions per input slice."""
        return self.crossbar_cols // self.adc_count

    @cached_property
    def mvm_compute_ns(self) -> float:
        """Crossbar time of one MVM, without its memory accesses (timing.md, mvmul)."""
        drain = self.shift_add_latency_cycles + self.output_buffer_latency_cycles
        front = (
            self.dac_latency_cycles
            + math.ceil(self.crossbar_latency_ns / self.matrix_period_ns)
            + self.sample_hold_latency_cycles
        )
        back = self.adc_latency_cycles + drain + (self.adc_steps - 1) * max(self.adc_latency_cycles, drain)
        slices = self.input_slices
        cycles = front + back + (slices - 1) * max(front, back) if self.matrix_pipelined else (front + back) * slices
        return cycles * self.matrix_period_ns

    def mvm_ns(self, crossbars: Count) -> Count:
        """Unit time of one `mvmul` on an array group of that many crossbars: always full rows, however few are used."""
        b = self.element_bytes
        # The simulator reads 8 x rows x bytes: the factor is in its source.
        return (
            self.local_read_ns(8 * self.crossbar_rows * b)
            + self.mvm_compute_ns
            + self.local_write_ns(self.weight_cols * b * crossbars)
        )

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
