"""The `sweep:` section: what it means, and what every mistake in it is told.

Covers: chip, space.
"""

import math

import pytest

from pimcomp.errors import ConfigError
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from spaces.chip import apply
from spaces.space import Choice, FloatRange, IntRange, Limit, Sweep
from spaces.sweep_file import parse_sweep

ARCH = Arch(name="isaac", cores=168, crossbars_per_core=96, mesh_rows=12, core_area_mm2=0.4)
GOOD: dict[str, object] = {
    "solvers": ["balance"],
    "space": {
        "cores": {"low": 64, "high": 250, "step": 8},
        "cell_bits": [1, 2, 4],
        "crossbar_latency_ns": {"low": 10, "high": 100, "log": True},
    },
}


def _chip(name: str) -> Arch:
    return Arch(name=name, cores=100, crossbars_per_core=10, cell_bits=4)


def _parse(**changes: object) -> Sweep:
    return parse_sweep({**GOOD, **changes}, arch=ARCH, file="configs/isaac.yaml", load_chip=_chip)


def test_section_becomes_a_typed_sweep() -> None:
    sweep = _parse(limits={"crossbars": {"max": 20000}})
    assert sweep.name == "isaac"
    assert sweep.parameters == (
        Choice(name="cell_bits", values=(1, 2, 4)),
        IntRange(name="cores", low=64, high=248, step=8),
        FloatRange(name="crossbar_latency_ns", low=10.0, high=100.0, log=True),
    )
    assert sweep.objectives == ("latency_ns", "crossbars")
    assert sweep.pipelines == (Pipeline.ELEMENT, Pipeline.BATCH)
    assert sweep.limits == (Limit(metric="crossbars", high=20000),)
    assert sweep.size is None
    assert _parse(solvers=["LNS:budget=2", "most=9", "ga"]).solvers == ("lns:budget=2:most=9", "ga")
    anchor = sweep.anchors()[0]
    assert dict(anchor.parameters) == {"cell_bits": 2, "cores": 168, "crossbar_latency_ns": 30.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, r"isaac\.yaml: sweep\.trails: unknown key; did you mean 'trials'"),
        ({"trials": 0}, r"sweep\.trials: expected an integer >= 1, found integer 0"),
        ({"trials": "many"}, r"sweep\.trials: expected an integer >= 1, found text 'many'"),
        ({"solvers": []}, r"sweep\.solvers: expected a list of solvers"),
        ({"solvers": ["magic"]}, r"sweep\.solvers: solver: expected one of balance, uniform, .*, found 'magic'"),
        ({"solvers": [""]}, r"sweep\.solvers: solver: expected one of balance, .*, found ''"),
        ({"solvers": ["balance", " "]}, r"sweep\.solvers: solver: expected one of balance, .*, found ''"),
        ({"solvers": ["balance", "Balance"]}, r"listed twice"),
        ({"solvers": ["lns:mots=4"]}, r"solver\.lns\.mots: unknown option; .* did you mean 'most'"),
        ({"sampler": "tpa"}, r"sweep\.sampler: expected .*; did you mean 'tpe'"),
        ({"pipelines": ["elment"]}, r"sweep\.pipelines.*did you mean 'element'"),
        ({"objectives": ["latency_ns@nett", "crossbars"]}, r"expected a network of the sweep behind '@'"),
        ({"pipelines": ["stream"]}, r"sweep\.pipelines"),
        ({"objectives": ["latency_ns"]}, r"sweep\.objectives: expected a list of 2 or 3 metrics"),
        (
            {"objectives": ["latency_ns", "beauty"]},
            r"sweep\.objectives: expected some of latency_ns, .* found 'beauty'",
        ),
        (
            {"sampler": "luck"},
            r"sweep\.sampler: expected one of 'tpe', 'nsga2', 'nsga3', 'qmc', 'gp', 'random', found text 'luck'",
        ),
        ({"limits": {"crossbars": {"most": 1}}}, r"sweep\.limits\.crossbars: most: unknown key"),
        ({"limits": {"cost": {"max": 1}}}, r"sweep\.limits: expected some of"),
        (
            {"limits": {"crossbars": {"min": 5, "max": 1}}},
            r"sweep\.limits\.crossbars: expected min <= max, found 5 > 1",
        ),
        ({"model": ""}, r"sweep\.model: expected a model, found text ''"),
        ({"space": {"adc_mode": ["roud"]}}, r"sweep\.space\.adc_mode\[0\]: .*did you mean 'round'"),
        ({"space": {"matrix_period_ns": [math.nan]}}, r"matrix_period_ns\[0\]: expected a finite number, found nan"),
        ({"space": {}}, r"sweep\.space: expected a section of chip parameters"),
        (
            {"space": {"corse": [1]}},
            r"sweep\.space\.corse: unknown chip parameter or compile option; did you mean 'cores'",
        ),
        ({"space": {"cores": 5}}, r"sweep\.space\.cores: expected a list of values or \{low"),
        ({"space": {"cores": []}}, r"sweep\.space\.cores: expected at least one value"),
        ({"space": {"cores": [0]}}, r"sweep\.space\.cores\[0\]: expected >= 1, found 0"),
        ({"space": {"cores": ["two"]}}, r"sweep\.space\.cores\[0\]: expected a value like 168, found text 'two'"),
        ({"space": {"cores": [2, 2]}}, r"sweep\.space\.cores: a value is listed twice"),
        ({"space": {"cores": {"low": 9, "high": 3}}}, r"sweep\.space\.cores: expected low <= high, found 9 > 3"),
        (
            {"space": {"cores": {"low": 1, "high": 2**63 - 1}}},
            r"sweep\.space\.cores: expected at most 1,000,000 values",
        ),
        ({"space": {"cores": {"low": 0, "high": 3}}}, r"sweep\.space\.cores\.low: expected >= 1, found 0"),
        ({"space": {"cores": {"low": 1.5, "high": 3}}}, r"sweep\.space\.cores: expected whole numbers"),
        ({"space": {"cores": {"low": 1}}}, r"sweep\.space\.cores: high: missing"),
        ({"space": {"matrix_pipelined": {"low": 0, "high": 1}}}, r"expected a list of values like"),
        ({"space": {"crossbar_size": [64], "crossbar_rows": [64]}}, r"crossbar_rows: crossbar_size sets it already"),
    ],
)
def test_mistakes_name_file_field_and_rule(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        _parse(**changes)
    assert str(error.value).startswith("configs/isaac.yaml: sweep")


def test_missing_section_is_told() -> None:
    with pytest.raises(ConfigError, match=r"isaac\.yaml: sweep: missing"):
        parse_sweep(None, arch=ARCH, file="isaac.yaml", load_chip=_chip)


def test_area_is_known_for_every_chip_of_a_space() -> None:
    assert _parse(objectives=["latency_ns", "area"]).objectives[1] == "area_mm2"


def test_parameters_change_the_chip_and_what_follows_from_them() -> None:
    chip = apply(ARCH, (("cores", 100), ("crossbar_size", 256)))
    assert (chip.cores, chip.crossbar_rows, chip.crossbar_cols) == (100, 256, 256)
    assert chip.dac_count == 256, "one DAC per row, as in the published chip"
    assert chip.mesh == (10, 10), "the published 12 x 14 mesh does not fit 100 cores"
    assert chip.area_mm2 > ARCH.area_mm2 * 100 / 168, "larger crossbars take area"
    assert apply(ARCH, (("cores", 168), ("cell_bits", 2))) is ARCH
    assert apply(ARCH, (("activation_bits", 6),)).psum_bits == 6, "as wide as activations"
    assert apply(ARCH, (("cores", 100),)).area_mm2 == pytest.approx(40)


def test_impossible_chips_are_refused_with_the_rule() -> None:
    with pytest.raises(ConfigError, match=r"adc_count: expected a divisor of crossbar_cols = 128, found 48"):
        apply(ARCH, (("adc_count", 48),))
