"""YAML to Arch: what the keys mean, and that every mistake names file, field, expectation and value.

Covers: fields, schema, validation, yaml_loader.
"""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.config import arch_to_yaml, list_archs, load_arch, load_yaml, read_arch
from pimcomp.config.fields import flatten
from pimcomp.config.schema import ChipDocument
from pimcomp.config.validation import validate
from pimcomp.errors import ConfigError
from pimcomp.ir.arch import Arch
from tests.config.chip_yaml import MINIMAL, write_chip


def test_a_minimal_chip_has_archs_defaults_and_the_files_name(tmp_path: Path) -> None:
    assert load_arch(write_chip(tmp_path)) == Arch(
        name="tiny", cores=4, crossbars_per_core=8, crossbar_rows=128, crossbar_cols=64, cell_bits=2, rob_size=1
    )


def test_a_grid_of_crossbars_is_its_product(tmp_path: Path) -> None:
    text = MINIMAL.replace("crossbars_per_core: 8", "crossbars_per_core: [12, 8]")
    assert load_arch(write_chip(tmp_path, text)).crossbars_per_core == 96


def test_partial_sums_follow_the_activations(tmp_path: Path) -> None:
    arch = load_arch(write_chip(tmp_path, MINIMAL + "numbers: {activation_bits: 16, weight_bits: 4}\n"))
    assert (arch.activation_bits, arch.psum_bits, arch.weight_bits) == (16, 16, 4)


def test_chips_multiply_cores_and_crossbars(tmp_path: Path) -> None:
    arch = load_arch(write_chip(tmp_path, MINIMAL.replace("cores: 4", "cores: 4\n  chips: 3")))
    assert (arch.total_cores, arch.crossbars) == (12, 96)
    near, far = arch.noc_latency_ns[0, 1], arch.noc_latency_ns[0, 5]
    assert far == near + arch.offchip_ns


def test_a_sweep_section_belongs_to_others(tmp_path: Path) -> None:
    text = MINIMAL + "sweep:\n  anything: [1, {goes: here}]\n"
    assert load_arch(write_chip(tmp_path, text)) == load_arch(write_chip(tmp_path))


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    assert load_arch(write_chip(tmp_path, MINIMAL + "noc: {flit_pj: 1e3}\n")).noc_energy_pj == 1000


# (edit: old text, new text), what the message must contain
MISTAKES = [
    pytest.param(("rows: 128", "row: 128"), ["crossbar.row: ", "did you mean 'rows'"], id="misspelt"),
    pytest.param(
        ("rob_size: 1", "rob_size: 1\n  cell_bits: 2"), ["core.cell_bits", "'crossbar.cell_bits'"], id="place"
    ),
    pytest.param(("  cores: 4", "  zzz: 4"), ["chip.zzz: unknown key; known here: cores"], id="unknown"),
    pytest.param(("core:\n  rob_size: 1", ""), ["core: missing: expected the keys rob_size"], id="no section"),
    pytest.param(("  rob_size: 1", "  {}"), ["core.rob_size: missing: expected an integer >= 1"], id="no rob"),
    pytest.param(("cores: 4", "cores: '4'"), ["chip.cores: expected an integer >= 1", "found text '4'"], id="text"),
    pytest.param(("cores: 4", "cores: 4.0"), ["chip.cores: expected an integer", "found number 4.0"], id="float"),
    pytest.param(("cores: 4", "cores: true"), ["chip.cores: expected an integer", "found true"], id="bool"),
    pytest.param(("cores: 4", "cores:"), ["chip.cores: expected an integer", "found nothing"], id="empty"),
    pytest.param(("cores: 4", "cores: 0"), ["chip.cores: expected an integer >= 1", "found integer 0"], id="zero"),
    pytest.param(("cores: 4", "cores: 99999999999"), ["<= 16384", "99999999999"], id="huge"),
    pytest.param(
        ("crossbars_per_core: 8", "crossbars_per_core: [12, 0]"),
        ["chip.crossbars_per_core: expected an integer >= 1 or [rows, columns], found list [12, 0]"],
        id="grid",
    ),
    pytest.param(("core:\n  rob_size: 1", "core: 5"), ["core: expected the keys rob_size", "integer 5"], id="scalar"),
    pytest.param(
        ("rows: 128", "rows: 128\n  adc: {count: 3}"), ["crossbar.adc.count: ", "cols = 64, found 3"], id="adc"
    ),
    pytest.param(("rows: 128", "rows: 64"), ["crossbar.dac.count: ", "crossbar.rows = 64, found 128"], id="dac"),
    pytest.param(("rows: 128", "rows: 128\n  dac: {bits: 3}"), ["crossbar.dac.bits", "activation_bits = 8"], id="bits"),
    pytest.param(("rows: 128", "rows: 128\n  latency_ns: .nan"), ["crossbar.latency_ns: expected a number"], id="nan"),
    pytest.param(("rows: 128", "rows: 128\n  pipelined: 1"), ["pipelined: expected true or false"], id="not bool"),
    pytest.param(
        ("cell_bits: 2", "cell_bits: 2\nnumbers: {psum_bits: 32}"), ["numbers.psum_bits: expected"], id="psum"
    ),
    pytest.param(("cols: 64", "cols: 2\n  adc: {count: 1}"), ["8 bits takes 4 cells", "2 columns"], id="narrow"),
    pytest.param(("core:\n", "noc: {interconnect: ring}\ncore:\n"), ["one of 'mesh', 'bus', 'file'"], id="ring"),
    pytest.param(("core:\n", "noc: {interconnect: file}\ncore:\n"), ["noc.file: expected with"], id="no table"),
    pytest.param(("core:\n", "noc: {file: x.json}\ncore:\n"), ["noc.file: expected with"], id="unused table"),
    pytest.param(
        ("core:\n", "noc: {interconnect: file, file: x.json}\ncore:\n"),
        ["noc.file: no such file: ", "x.json"],
        id="gone",
    ),
    pytest.param(
        ("core:\n", f"noc: {{interconnect: file, file: {'x' * 300}}}\ncore:\n"),
        ["noc.file: no such file: ", "xxx"],
        id="a name that no file can have",
    ),
    pytest.param(
        ("core:\n", "noc: {mesh_rows: 5}\ncore:\n"), ["noc.mesh_rows: expected at most chip.cores = 4"], id="mesh"
    ),
    pytest.param(
        ("rob_size: 1", "rob_size: 1\n  vector_latency_ns: 1.5"), ["core.vector_latency_ns: expected a whole"], id="ns"
    ),
    pytest.param(("cores: 4", "cores: 4\n  chips: 1000\n  cores: 4"), [":4:3: duplicate key 'cores'"], id="duplicate"),
    pytest.param(
        ("cores: 4", "cores: 16384\n  chips: 2"), ["chip.chips: expected at most 16384 cores"], id="all cores"
    ),
    pytest.param(("cores: 4", "cores: &a 4\n  chips: *a"), [":3:10: aliases"], id="alias"),
    pytest.param(("cores: 4", "cores: !!python/name:os.system 4"), ["could not determine a constructor"], id="object"),
    pytest.param(("cores: 4", "4: cores"), [":2:3: expected a text key"], id="key"),
    pytest.param(("  cores: 4", "\tcores: 4"), [":2:1: "], id="tab"),
    pytest.param(("cores: 4", "cores: 010"), [":2:10: 010 is 8 in YAML 1.1"], id="octal"),
    pytest.param(("cores: 4", "cores: 1:30"), [":2:10: 1:30 is 90 in YAML 1.1"], id="sexagesimal"),
    pytest.param(("rob_size: 1", "rob_size: 1\n  period_ns: 1:30.5"), ["1:30.5 is 90.5 in"], id="sexagesimal real"),
]


@pytest.mark.parametrize(("edit", "expected"), MISTAKES)
def test_a_mistake_names_file_field_expectation_and_value(
    tmp_path: Path, edit: tuple[str, str], expected: list[str]
) -> None:
    assert edit[0] in MINIMAL
    path = write_chip(tmp_path, MINIMAL.replace(*edit, 1))
    with pytest.raises(ConfigError) as caught:
        load_arch(path)
    for text in [str(path), *expected]:
        assert text in str(caught.value)


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    path = write_chip(tmp_path, MINIMAL.replace("cores: 4", "cores: 0").replace("rows: 128", "rows: x"))
    with pytest.raises(ConfigError, match=r"2 problems\n  chip\.cores: .*\n  crossbar\.rows: ") as caught:
        load_arch(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"- 1\n", "found list"),
        (b"\xff\xfe\x00", "expected UTF-8 text, found text in UTF-16"),
        (b"a: [1,\n", "tiny.yaml:2:1"),
        (b"a: " + b"[" * 5000, "nested deeper than 32 levels"),
        (b"a: " + b"9" * 5000, "a number of thousands of digits"),
        (b"#" + b" " * 1_000_000, "at most 1000000 bytes"),
        (b"a: 2001-99-99", "month must be in"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_yaml(path)


def test_missing_files_and_folders_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file, and no shipped chip .*isaac.*did you mean 'isaac'"):
        load_arch("isaak")
    with pytest.raises(ConfigError, match="is a folder: expected a chip"):
        load_arch(tmp_path)
    with pytest.raises(ConfigError, match="Is a directory"):
        load_yaml(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: embedded null"):
        load_yaml("a\0b")


def test_every_field_of_arch_can_be_set_from_yaml() -> None:
    document = validate(
        ChipDocument,
        {
            "chip": {"cores": 1, "crossbars_per_core": 1},
            "core": {"rob_size": 1},
            "crossbar": {"rows": 128, "cols": 128, "cell_bits": 2},
        },
        "test",
    )
    assert set(flatten(document)) == {f.name for f in fields(Arch)} - {"name", "noc_table", "cut_off", "rating"}


@pytest.mark.parametrize("name", list_archs())
def test_a_chip_written_as_yaml_reads_back_equal(tmp_path: Path, name: str) -> None:
    arch = load_arch(name)
    text = arch_to_yaml(arch, ["where it came from"])
    assert text.startswith("# where it came from\n")
    assert load_arch(write_chip(tmp_path, text)) == arch


positive = st.integers(1, 64)
cost = st.floats(0, 1e6, allow_nan=False)


@given(positive, positive, st.integers(1, 8), cost, cost, st.booleans(), st.sampled_from(["mesh", "bus"]))
def test_any_chip_written_as_yaml_reads_back_equal(
    cores: int, per_core: int, chips: int, power: float, latency: float, pipelined: bool, interconnect: str
) -> None:
    arch = Arch(
        name="any",
        cores=cores,
        crossbars_per_core=per_core,
        chips=chips,
        adc_mw=power,
        crossbar_latency_ns=latency,
        matrix_pipelined=pipelined,
        interconnect=interconnect,
    )
    document = validate(ChipDocument, _yaml(arch_to_yaml(arch)), "test")
    assert Arch(name=document.name, **flatten(document)) == arch


def _yaml(text: str) -> object:
    import yaml

    return yaml.safe_load(text)


def test_yaml_chips_have_no_notes(tmp_path: Path) -> None:
    path = write_chip(tmp_path)
    assert read_arch(path) == (load_arch(path), ())


def test_numbers_that_no_time_can_be_made_of_are_refused(tmp_path: Path) -> None:
    text = MINIMAL + f"  vector_width: {1 << 70}\n"
    with pytest.raises(ConfigError, match=r"core\.vector_width: expected an integer >= 1 and <= 1000000000, found"):
        load_arch(write_chip(tmp_path, text))
