"""What no chip can be: the rules that descriptions from files and from Python share."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from pimcomp.errors import ConfigError, check_name
from pimcomp.ir.price.node import LARGEST_NM, SMALLEST_NM

if TYPE_CHECKING:
    from pimcomp.ir.arch import Arch

MAX_CORES = 16384  # of all chips: the network tables are quadratic in cores
MAX_MVM_NS = 1_000_000_000
# (end of a name, least, most): far beyond any chip, and whole programs stay within 64 bits of ps, the simulator's unit.
_TIMES = (("_period_ns", 0.001, 10_000), ("_cycles", 0, 1_000), ("_ns", 0, 1_000_000))
_DIVISORS = (("adc_count", "crossbar_cols"), ("dac_count", "crossbar_rows"), ("dac_bits", "activation_bits"))
WORDS = {
    "encoding": ("offset", "isaac"), "adc_mode": ("saturate", "round", "ideal"), "interconnect": ("mesh", "bus", "file")
}  # fmt: skip


def least_values(kind: type[Any]) -> dict[str, int]:
    """The least value of every number: counts and sizes are at least 1, times, powers and areas at least 0."""
    least = {}
    for entry in fields(kind):
        if entry.type in (int, float):
            counted = entry.type is int and (entry.default is MISSING or entry.default >= 1)
            least[entry.name] = int(counted and not entry.name.endswith("_cycles"))
    return least | {"adc_bits": 0}


def check_ranges(arch: "Arch", least_of: Mapping[str, int]) -> None:
    """Every number alone; least_of: their least values. Raises ConfigError."""
    for name, least in least_of.items():
        value = getattr(arch, name)
        if not least <= value < math.inf:
            raise ConfigError(f"{arch.name}.{name}", f"expected at least {least}, found {value}")
    for name in least_of:
        limits = next((limits for end, *limits in _TIMES if name.endswith(end)), None)
        if limits and not limits[0] <= getattr(arch, name) <= limits[1]:
            found = f"expected from {limits[0]} to {limits[1]}, found {getattr(arch, name)}"
            raise ConfigError(f"{arch.name}.{name}", found)
    if not SMALLEST_NM <= arch.node_nm <= LARGEST_NM:
        found = f"expected {SMALLEST_NM:g} to {LARGEST_NM:g} nm, found {arch.node_nm}"
        raise ConfigError(f"{arch.name}.node_nm", found)


def check_rules(arch: "Arch") -> None:
    """Numbers together. Raises ConfigError."""
    if arch.weight_cols < 1:
        raise ConfigError(
            arch.name,
            f"a weight of {arch.weight_bits} bits takes {arch.cells_per_weight} cells of {arch.cell_bits} bits, "
            f"but a crossbar has {arch.crossbar_cols} columns",
        )
    if arch.psum_bits != arch.activation_bits:
        raise ConfigError(
            f"{arch.name}.psum_bits",
            f"expected {arch.activation_bits} (= activation_bits), found {arch.psum_bits}: "
            "the emitted streams keep one element width",
        )
    for part, whole in _DIVISORS:
        value, limit = getattr(arch, part), getattr(arch, whole)
        if limit % value and not arch.cut_off:
            raise ConfigError(
                f"{arch.name}.{part}",
                f"expected a divisor of {whole} = {limit}, found {value}: the simulator cuts off the rest",
            )
    if (mvm_ns := arch.mvm_ns(1)) > MAX_MVM_NS:
        raise ConfigError(arch.name, f"expected an MVM of at most {MAX_MVM_NS:g} ns, found {mvm_ns:g} ns")
    if arch.mesh_rows > arch.cores:
        raise ConfigError(f"{arch.name}.mesh_rows", f"expected at most cores = {arch.cores}, found {arch.mesh_rows}")
    if arch.total_cores > MAX_CORES:
        found = f"{arch.cores} x {arch.chips}"
        raise ConfigError(f"{arch.name}.chips", f"expected at most {MAX_CORES} cores in all, found {found}")
    if arch.vector_latency_ns % 1:
        found = f"expected a whole number of ns, found {arch.vector_latency_ns}: the simulator reads integers"
        raise ConfigError(f"{arch.name}.vector_latency_ns", found)
    for word, words in WORDS.items():
        check_name(f"{arch.name}.{word}", getattr(arch, word), words)
    if arch.stuck_cells > 1:
        raise ConfigError(f"{arch.name}.stuck_cells", f"expected a share, at most 1, found {arch.stuck_cells}")
    if (arch.interconnect == "file") != (arch.noc_table is not None):
        raise ConfigError(
            f"{arch.name}.interconnect", "a network table is needed for, and only for, interconnect: file"
        )
    if arch.noc_table is not None and arch.noc_table.cores != arch.total_cores:
        raise ConfigError(
            f"{arch.name}.noc_file",
            f"expected a table of {arch.total_cores} cores, found {arch.noc_table.cores} in {arch.noc_file}",
        )
