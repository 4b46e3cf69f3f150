"""The shipped chips: the mission's sizes, sourced values, the papers' totals, safe for the simulator's divisions."""

import re
from pathlib import Path

import pytest

from pimcomp.config import list_archs, load_arch
from pimcomp.foundation.data_files import data_dir
from pimcomp.ir.arch import Arch

MISSION = {  # cores, crossbars per core, rows, columns
    "isaac": (168, 96, 128, 128),
    "puma": (138, 128, 128, 128),
    "sre": (168, 96, 128, 128),
    "isscc20_15_4": (1, 8, 512, 512),
    "isscc21_16_1": (1, 8, 1024, 512),
    "forms": (168, 96, 128, 128),
    "isscc22_11_4": (1, 32, 1024, 256),
    "isscc23_16_6": (4, 8, 512, 1024),
}


def test_all_chips_are_shipped() -> None:
    assert set(list_archs()) == {"pimcomp_default", "pimsim_example", *MISSION}


@pytest.mark.parametrize("name", MISSION)
def test_the_missions_chips_have_the_missions_sizes(name: str) -> None:
    arch = load_arch(name)
    assert (arch.cores, arch.crossbars_per_core, arch.crossbar_rows, arch.crossbar_cols) == MISSION[name]
    assert arch.name == name


@pytest.mark.parametrize("name", list_archs())
def test_the_simulators_floor_divisions_lose_nothing(name: str) -> None:
    arch = load_arch(name)
    assert arch.activation_bits % arch.dac_bits == 0
    assert arch.crossbar_rows % arch.dac_count == 0
    assert arch.crossbar_cols % arch.adc_count == 0
    assert arch.slices(arch.activation_bits) >= 1
    assert arch.adc_steps >= 1
    assert arch.weight_bits % arch.cell_bits == 0
    rows, columns = arch.mesh
    assert rows * columns == arch.cores


VALUE = re.compile(r"^\s+[a-z_]+: [^{#]+(#.*)?$")


@pytest.mark.parametrize("name", MISSION)
def test_every_value_has_a_source_or_is_called_an_assumption(name: str) -> None:
    text = (data_dir("configs") / f"{name}.yaml").read_text(encoding="utf-8").split("\nsweep:")[0]
    bare = [line for line in text.splitlines() if (m := VALUE.match(line)) and not m.group(1)]
    assert bare == []


@pytest.mark.parametrize("name", ["pimcomp_default", "isaac", "puma", "forms", "sre", "isscc23_16_6"])
def test_the_page_of_chips_states_the_models_figures(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "chips.md"
    row = next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {name} |"))
    arch = load_arch(name)
    assert f"| {round(arch.compute_ns(arch.activation_bits)):,} ns |" in row
    assert f"| {_mvm_pj(arch) / 1000:.1f} nJ |" in row


def _mvm_pj(a: Arch) -> float:
    """Energy of one MVM of one crossbar by the simulator's formula."""
    convert = a.adc_mw * a.adc_latency_cycles * a.adc_count
    convert += a.shift_add_mw * a.shift_add_latency_cycles + a.output_buffer_mw * a.output_buffer_latency_cycles
    once = a.dac_mw * a.dac_latency_cycles * a.dac_count
    once += a.sample_hold_mw * a.sample_hold_latency_cycles * a.crossbar_cols
    per_slice = a.matrix_period_ns * (once + a.adc_steps * convert) + a.crossbar_read_mw * a.crossbar_latency_ns
    return float(a.slices(a.activation_bits) * per_slice)


def test_isaac_adds_up_to_the_papers_chip() -> None:
    isaac = load_arch("isaac")
    assert isaac.area_mm2 == pytest.approx(85.4, abs=0.1)
    ima_mw = 24.08  # Table 1: ADC 16, DAC 4, arrays 2.4, input 1.24, output 0.23, shift-and-add 0.2, sample 0.01
    assert _mvm_pj(isaac) / isaac.slices(isaac.activation_bits) == pytest.approx(ima_mw / 8 * 100, rel=0.005)


def test_puma_has_the_papers_time_energy_and_area() -> None:
    puma = load_arch("puma")
    assert puma.compute_ns(puma.activation_bits) == 2304
    assert _mvm_pj(puma) * 8 == pytest.approx(19.09 * 2304, rel=0.005)
    assert puma.area_mm2 == pytest.approx(90.638, abs=0.05)


def test_isaac_has_the_capacity_that_messages_about_vgg16_state() -> None:
    isaac = load_arch("isaac")
    assert (isaac.crossbars, isaac.weight_cols) == (16128, 16)
