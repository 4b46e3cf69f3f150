"""Published chips stay themselves; changed ones cost what the models' ratio says, whatever way they are changed."""

from dataclasses import replace

import pytest

from pimcomp.config import list_archs, load_arch
from pimcomp.errors import ConfigError
from pimcomp.ir.arch import Arch
from pimcomp.ir.price.adc import adc_energy_pj
from pimcomp.ir.price.figures import PARTS, prices_at
from pimcomp.timeline.energy import mvm_stages_pj

ISAAC = load_arch("isaac")


@pytest.mark.parametrize("name", list_archs())
def test_a_copy_of_a_published_chip_is_the_chip(name: str) -> None:
    arch = load_arch(name)
    assert replace(arch, name=name) == arch
    assert replace(replace(arch, vector_width=2 * arch.vector_width), vector_width=arch.vector_width) == arch


@pytest.mark.parametrize(("name", "total_mm2"), [("isaac", 85.4), ("puma", 90.638)])
def test_parts_and_total_are_the_papers(name: str, total_mm2: float) -> None:
    arch = load_arch(name)
    assert arch.area_mm2 == pytest.approx(total_mm2, rel=0.001)
    parts_mm2 = sum(getattr(arch, f"{part}_mm2") for part in PARTS)
    assert 0.8 * arch.core_area_mm2 < parts_mm2 < arch.core_area_mm2


MVMU = ("cells", "dac", "registers", "sample_hold", "adc", "shift_add")
# mm2 of a tile, as the papers print them: ISAAC, Table 1, 12 IMAs and a quarter of a router; PUMA, Table 3, 16 MVMUs.
PUBLISHED_PARTS = [
    ("isaac", ("adc",), 12 * 0.0096),
    ("isaac", ("dac",), 12 * 0.00017),
    ("isaac", ("cells",), 12 * 0.0002),
    ("isaac", ("registers",), 12 * 0.0021),
    ("isaac", ("sample_hold",), 12 * 0.00004),
    ("isaac", ("shift_add",), 12 * (0.00024 + 0.00077)),
    ("isaac", ("local_memory",), 0.083),
    ("isaac", ("local_bus",), 0.09),
    ("isaac", ("router",), 0.151 / 4),
    ("puma", MVMU, 16 * 0.012),
    ("puma", ("local_memory",), 0.086),
    ("puma", ("local_bus",), 0.09),
    ("puma", ("vector",), 8 * 0.004),
    ("puma", ("router",), 1.622 / 138),
]


@pytest.mark.parametrize(("name", "parts", "published_mm2"), PUBLISHED_PARTS)
def test_a_part_of_a_published_chip_has_its_papers_area(
    name: str, parts: tuple[str, ...], published_mm2: float
) -> None:
    arch = load_arch(name)
    found = sum(arch.area_by_mm2[part] for part in parts) / arch.total_cores
    assert found == pytest.approx(published_mm2, rel=0.1)


@pytest.mark.parametrize(("name", "read_ns", "published_mw"), [("isaac", 100, 24.08), ("puma", 144, 19.09)])
def test_eight_crossbars_at_work_draw_their_papers_power(name: str, read_ns: float, published_mw: float) -> None:
    """An IMA of ISAAC (parts of Table 1), an MVMU of PUMA (Table 3), while they read."""
    energy_pj = 8 * sum(mvm_stages_pj(load_arch(name)).values())
    assert energy_pj / read_ns == pytest.approx(published_mw, rel=0.05)


def test_models_of_isaacs_parts_are_near_the_paper_where_it_is_their_source() -> None:
    model = prices_at(ISAAC.parameters)
    for part in ("cells", "dac", "registers", "sample_hold", "shift_add", "local_memory", "local_bus"):
        assert model[part].area_mm2 == pytest.approx(getattr(ISAAC, f"{part}_mm2"), rel=0.1), part
    beat_pj = model["local_memory"].energy_pj + model["local_bus"].energy_pj
    assert beat_pj == pytest.approx(ISAAC.local_read_pj, rel=0.1)
    read_pj = model["cells"].energy_pj + model["registers"].energy_pj + 128 * model["dac"].energy_pj
    assert read_pj == pytest.approx(ISAAC.crossbar_read_mw * ISAAC.crossbar_latency_ns, rel=0.1)


def test_more_bits_cost_what_the_converter_costs() -> None:
    fine = replace(ISAAC, adc_bits=12)
    ratio = adc_energy_pj(12, 1.28e9, 32) / adc_energy_pj(8, 1.28e9, 32)
    assert fine.adc_mw == pytest.approx(ISAAC.adc_mw * ratio)
    assert fine.adc_mm2 > 3 * ISAAC.adc_mm2
    assert fine.core_area_mm2 - ISAAC.core_area_mm2 == pytest.approx(
        fine.adc_mm2 + fine.shift_add_mm2 - ISAAC.adc_mm2 - ISAAC.shift_add_mm2
    )
    assert fine.local_read_pj == ISAAC.local_read_pj


def test_a_figure_that_is_given_is_taken() -> None:
    assert replace(ISAAC, adc_bits=12, adc_mw=3.0).adc_mw == 3.0


def test_parts_without_an_area_are_in_the_core() -> None:
    whole = Arch(name="whole", cores=4, crossbars_per_core=8, core_area_mm2=1.0)
    assert 1.0 < replace(whole, adc_bits=12).core_area_mm2 < 4.0
    assert replace(whole, crossbars_per_core=16).core_area_mm2 < 2.0


def test_without_areas_the_models_alone_say_it() -> None:
    bare = Arch(name="bare", cores=4, crossbars_per_core=8)
    assert bare.area_is_modelled
    assert 0 < bare.area_mm2 < replace(bare, adc_bits=12).area_mm2


def test_mesh_and_area_follow_the_cores() -> None:
    smaller = replace(ISAAC, cores=100)
    assert smaller.mesh == (10, 10)
    assert smaller.area_mm2 == pytest.approx(100 * 0.372 + 22.88)


def test_needed_resolution_follows_rows_cells_inputs_and_encoding() -> None:
    chip = replace(ISAAC, adc_bits=0, encoding="offset")
    assert chip.adc_resolution == chip.adc_bits_needed == 9
    assert replace(chip, encoding="isaac").adc_resolution == 8
    assert replace(chip, crossbar_rows=256, dac_count=256, cell_bits=4).adc_resolution == 12
    assert replace(chip, dac_count=16).adc_resolution == 6
    assert replace(chip, adc_bits=7).adc_resolution == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crossbar_rows": 100}, "dac_count: expected a divisor of crossbar_rows = 100, found 128"),
        ({"crossbar_rows": 192}, "dac_count: expected a divisor of crossbar_rows = 192, found 128"),
        ({"cores": 0}, "cores: expected at least 1, found 0"),
        ({"adc_count": 3}, "adc_count: expected a divisor of crossbar_cols = 128, found 3"),
        ({"matrix_period_ns": 0.0}, "matrix_period_ns: expected from 0.001 to 10000"),
        ({"crossbar_latency_ns": float("nan")}, "crossbar_latency_ns: expected at least 0, found nan"),
        ({"mesh_rows": 169}, "mesh_rows: expected at most cores = 168, found 169"),
        ({"node_nm": 3.0}, "node_nm: expected 7 to 130 nm, found 3.0"),
        ({"cores": 9000, "chips": 2}, "expected at most 16384 cores in all"),
        ({"encoding": "other"}, "expected offset or isaac"),
        ({"vector_latency_ns": 1.5}, "expected a whole number of ns"),
    ],
)
def test_chips_made_in_python_are_checked_like_files(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(ISAAC, **changes)  # type: ignore[arg-type]


def test_a_row_of_more_cells_takes_more_energy_to_write_and_no_more_time() -> None:
    arch = load_arch("isaac")
    wide = replace(arch, crossbar_cols=2 * arch.crossbar_cols)
    assert (wide.row_write_pj, wide.row_write_ns) == (2 * arch.row_write_pj, arch.row_write_ns)
