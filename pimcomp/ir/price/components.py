"""The components of a chip and what each costs: one table, one pure function over any number of chips.

Absolute figures are those of published designs at 32 nm; docs/price.md is made from this table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pimcomp.ir.price.adc import adc_area_mm2, adc_energy_pj
from pimcomp.ir.price.node import area_factor, energy_factor

_FLIT_BYTES = 32  # of ISAAC's and PUMA's links as modelled here: 8 phits of 32 bits


class Parameters(NamedTuple):
    """What prices depend on: fields of `Arch` by name, each one number or an array of one per chip.

    adc_bits: the resolution, never 0.
    """

    node_nm: Any
    crossbars_per_core: Any
    crossbar_rows: Any
    crossbar_cols: Any
    activation_bits: Any
    dac_bits: Any
    dac_count: Any
    dac_latency_cycles: Any
    crossbar_latency_ns: Any
    sample_hold_latency_cycles: Any
    adc_bits: Any
    adc_count: Any
    adc_latency_cycles: Any
    shift_add_latency_cycles: Any
    output_buffer_latency_cycles: Any
    matrix_period_ns: Any
    core_period_ns: Any
    vector_width: Any
    local_memory_bytes: Any
    local_width_bytes: Any
    global_width_bytes: Any
    bus_width_bytes: Any
    offchip_ns: Any


Law = Callable[[Parameters], Any]


def _nothing(p: Parameters) -> Any:
    return 0.0 * p.node_nm


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One kind of circuit. action: what energy_pj is the energy of.

    area_mm2: of all of a core (of the off-chip link: of a chip). static_mw: likewise.
    grows_with: parameters that no price falls with. law, source: for docs/price.md.
    """

    name: str
    action: str
    area_mm2: Law = _nothing
    energy_pj: Law
    static_mw: Law = _nothing
    grows_with: tuple[str, ...]
    law: str
    source: str


class Price(NamedTuple):
    """Of one component: area [mm2] per core (off-chip link: per chip), energy per action [pJ], static power [mW]."""

    area_mm2: Any
    energy_pj: Any
    static_mw: Any


def price(p: Parameters) -> dict[str, Price]:
    """The price of every component by name; elements of arrays are chips."""
    return {c.name: Price(c.area_mm2(p), c.energy_pj(p), c.static_mw(p)) for c in COMPONENTS}


def sampling_ns(p: Parameters) -> Any:
    """Time of one conversion: that of the file, or the share of the read that it is hidden in."""
    hidden = p.crossbar_latency_ns * p.adc_count / p.crossbar_cols
    own = p.matrix_period_ns * p.adc_latency_cycles
    return np.maximum(np.where(p.adc_latency_cycles > 0, own, hidden), 1e-3)


def _adder_bits(p: Parameters) -> Any:
    """Width of the accumulating adder, as a share of ISAAC's 8 + 16 bits."""
    return (p.adc_bits + p.activation_bits) / 24


def _links(p: Parameters) -> Any:
    """Width of a link, as a share of ISAAC's."""
    return p.bus_width_bytes / _FLIT_BYTES


def _lanes(p: Parameters) -> Any:
    """Lanes of the vector unit, in lanes of 16 bits."""
    return p.vector_width * p.activation_bits / 16


def _router_mm2(p: Parameters) -> Any:
    """A quarter of a router of 8 ports: a + b ports through Orion's 0.047 mm2 (4 ports) and 0.116 mm2 (8)."""
    ports = 8 * _links(p)
    return (0.009 * ports + 6.875e-4 * ports**2) / 4 * area_factor(p.node_nm)


COMPONENTS: tuple[Component, ...] = (
    Component(
        name="adc",
        action="one conversion",
        area_mm2=lambda p: (
            p.crossbars_per_core * p.adc_count * adc_area_mm2(p.adc_bits, 1e9 / sampling_ns(p), p.node_nm)
        ),
        energy_pj=lambda p: adc_energy_pj(p.adc_bits, 1e9 / sampling_ns(p), p.node_nm),
        grows_with=("adc_bits", "adc_count", "node_nm", "crossbars_per_core"),
        law="regression over resolution, rate and node, per converter; below 4 bits in proportion to 2^bits - 1",
        source="Murmann's ADC survey, fitted by the hwcomponents-adc project",
    ),
    Component(
        name="dac",
        action="one row driven during one read",
        area_mm2=lambda p: (
            1.66e-7 * p.crossbars_per_core * p.crossbar_rows * (np.exp2(p.dac_bits) - 1) * area_factor(p.node_nm)
        ),
        energy_pj=lambda p: 0.3906 * (np.exp2(p.dac_bits) - 1) * energy_factor(p.node_nm),
        grows_with=("dac_bits", "crossbar_rows", "node_nm", "crossbars_per_core"),
        law="1.66e-7 mm2 and 0.39 pJ per row and level: a capacitor array doubles with every bit",
        source="ISAAC, Table 1 (0.00017 mm2 and 4 mW for 8 x 128, 100 ns); Saberi et al., TCAS-I 2011, for the bits",
    ),
    Component(
        name="cells",
        action="one read of one crossbar",
        area_mm2=lambda p: 1.526e-9 * p.crossbars_per_core * p.crossbar_rows * p.crossbar_cols * area_factor(p.node_nm),
        energy_pj=lambda p: 1.831e-3 * p.dac_count * p.crossbar_cols * energy_factor(p.node_nm),
        grows_with=("crossbar_rows", "crossbar_cols", "dac_count", "node_nm", "crossbars_per_core"),
        law="1.526e-9 mm2 per cell, 1.83 fJ per cell of a driven row; bits per cell cost resolution, not cells",
        source="ISAAC, Table 1 (0.0002 mm2 and 2.4 mW for 8 x 128 x 128, 100 ns)",
    ),
    Component(
        name="registers",
        action="input bits of one read of one crossbar",
        area_mm2=lambda p: (
            1.282e-7 * p.crossbars_per_core * p.crossbar_rows * p.activation_bits * area_factor(p.node_nm)
        ),
        energy_pj=lambda p: 0.1211 * p.dac_count * p.dac_bits * energy_factor(p.node_nm),
        grows_with=("crossbar_rows", "activation_bits", "dac_count", "dac_bits", "node_nm", "crossbars_per_core"),
        law="1.282e-7 mm2 per stored bit, 0.121 pJ per bit read",
        source="ISAAC, Table 1 (input registers: 0.0021 mm2 and 1.24 mW for 8 x 128 x 16 bits, 100 ns)",
    ),
    Component(
        name="sample_hold",
        action="one column sampled",
        area_mm2=lambda p: 3.906e-8 * p.crossbars_per_core * p.crossbar_cols * area_factor(p.node_nm),
        energy_pj=lambda p: 9.77e-4 * energy_factor(p.node_nm),
        grows_with=("crossbar_cols", "node_nm", "crossbars_per_core"),
        law="3.9e-8 mm2 and 0.98 fJ per column",
        source="ISAAC, Table 1 (0.00004 mm2 and 10 uW for 8 x 128, 100 ns)",
    ),
    Component(
        name="shift_add",
        action="one sample added to its sum and kept",
        area_mm2=lambda p: (
            p.crossbars_per_core
            * (3e-5 * p.adc_count + 7.52e-7 * p.crossbar_cols)
            * _adder_bits(p)
            * area_factor(p.node_nm)
        ),
        energy_pj=lambda p: 0.04199 * _adder_bits(p) * energy_factor(p.node_nm),
        grows_with=("adc_bits", "activation_bits", "adc_count", "crossbar_cols", "node_nm", "crossbars_per_core"),
        law="adders and output registers of ADC bits + activation bits: an adder per converter, a register per column",
        source="ISAAC, Table 1 (shift-and-add 0.00024 mm2 0.2 mW, output registers 0.00077 mm2 0.23 mW, 8 ADCs)",
    ),
    Component(
        name="local_memory",
        action="one beat read or written",
        area_mm2=lambda p: 0.083 * p.local_memory_bytes / 65536 * area_factor(p.node_nm),
        energy_pj=lambda p: (
            62.1 * np.sqrt(p.local_memory_bytes / 65536) * p.local_width_bytes / 32 * energy_factor(p.node_nm)
        ),
        static_mw=lambda p: 0.46 * p.local_memory_bytes / 65536 * energy_factor(p.node_nm),
        grows_with=("local_memory_bytes", "local_width_bytes", "node_nm"),
        law="area and leakage linear in bytes, energy in the width and the square root of bytes (length of its lines)",
        source="ISAAC, Table 1 (64 KB eDRAM by CACTI: 0.083 mm2, 20.7 mW); leakage: PUMA's simulator",
    ),
    Component(
        name="local_bus",
        action="one beat between memory and crossbars",
        area_mm2=lambda p: 0.09 * p.local_width_bytes / 32 * area_factor(p.node_nm),
        energy_pj=lambda p: 21.0 * p.local_width_bytes / 32 * energy_factor(p.node_nm),
        static_mw=lambda p: 0.5 * p.local_width_bytes / 32 * energy_factor(p.node_nm),
        grows_with=("local_width_bytes", "node_nm"),
        law="linear in the width",
        source="ISAAC, Table 1 (256 bits: 0.09 mm2, 7 mW)",
    ),
    Component(
        name="router",
        action="one flit over one hop",
        area_mm2=_router_mm2,
        energy_pj=lambda p: 42.0 * _links(p) * energy_factor(p.node_nm),
        static_mw=lambda p: 0.26 * _links(p) * energy_factor(p.node_nm),
        grows_with=("bus_width_bytes", "node_nm"),
        law="buffers linear in ports x width, switch quadratic; energy linear in the width; four cores share a router",
        source="Orion's areas for 4 and 8 ports of 32 bits in PUMA's simulator; ISAAC, Table 1 (42 mW, 8 ports)",
    ),
    Component(
        name="vector",
        action="one beat of all lanes",
        area_mm2=lambda p: 0.004 * _lanes(p) * area_factor(p.node_nm),
        energy_pj=lambda p: 1.9 * _lanes(p) * energy_factor(p.node_nm),
        static_mw=lambda p: 0.192 * _lanes(p) * energy_factor(p.node_nm),
        grows_with=("vector_width", "activation_bits", "node_nm"),
        law="linear in lanes and in their bits",
        source="PUMA, Table 3 (a lane: 0.004 mm2, 1.9 mW at 1 GHz); leakage: PUMA's simulator",
    ),
    Component(
        name="control",
        action="one clock of the front end",
        area_mm2=lambda p: 0.11 * area_factor(p.node_nm),
        energy_pj=lambda p: 8.0 * energy_factor(p.node_nm),
        static_mw=lambda p: 8.0 / p.core_period_ns * energy_factor(p.node_nm),
        grows_with=("node_nm",),
        law="a constant area per core, a power that follows the clock",
        source="PIMCOMP (DAC 2023), Table I (control 0.11 mm2, 8 mW at 1 GHz)",
    ),
    Component(
        name="global_memory",
        action="one beat read or written",
        energy_pj=lambda p: 258.0 * p.global_width_bytes / 32 * energy_factor(p.node_nm),
        grows_with=("global_width_bytes", "node_nm"),
        law="energy linear in the width; it lies outside the chip's area",
        source="PIMCOMP (DAC 2023), Table I (4 MB: 257.72 mW)",
    ),
    Component(
        name="offchip_link",
        action="one flit to another chip",
        area_mm2=lambda p: 22.88 * p.bus_width_bytes / np.maximum(p.offchip_ns, 1e-3) / 6.4,
        energy_pj=lambda p: 13000.0 * _links(p),
        grows_with=("bus_width_bytes",),
        law="area linear in the bandwidth (flit bytes per offchip_ns), energy in the width; no gain from the node",
        source="ISAAC and PUMA (HyperTransport: 22.88 mm2, 10.4 W for 4 x 6.4 GB/s)",
    ),
)
PER_CHIP = "offchip_link"  # the one component whose area is a chip's; all others belong to a core
