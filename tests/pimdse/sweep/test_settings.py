"""Options go before the file's settings, and are named in what is said about them.

Covers: words.
"""

from pathlib import Path

import pytest

from pimcomp.errors import ConfigError, ModelError
from pimdse.sweep.settings import EvaluatorElsewhere, load_sweep, study_content
from spaces.space import Fidelity, Limit
from tests.pimdse.small_chip import SMALL_SWEEP

_CHIP = (
    SMALL_SWEEP.replace("model: digits_mlp", "models: [digits_mlp, digits_lenet5]")
    + """\
  solvers: [balance]
  objectives: [latency_ns@digits_mlp, crossbars]
  limits: {edp: {max: 9.0}, energy_pj: {min: 1.0, max: 5.0e+9}}
  space: {bus_width_bytes: [16, 32]}
"""
)


@pytest.fixture
def chip(tmp_path: Path) -> str:
    (tmp_path / "small.yaml").write_text(_CHIP)
    return str(tmp_path / "small.yaml")


def test_objectives_are_given_in_peoples_words(chip: str) -> None:
    assert load_sweep(chip, objectives=["throughput", "energy"]).objectives == ("throughput_per_s", "energy_pj")
    assert load_sweep(chip).objectives == ("latency_ns@digits_mlp", "crossbars")


def test_limits_join_those_of_the_file(chip: str) -> None:
    found = load_sweep(chip, limits=["energy<3mJ", "latency<=2ms", "crossbars>=64", "crossbars<=99"]).limits
    by_metric = {limit.metric: limit for limit in found}
    assert by_metric["edp_pj_ns"] == Limit(metric="edp_pj_ns", high=9.0)
    assert by_metric["latency_ns"] == Limit(metric="latency_ns", high=2e6)
    assert by_metric["crossbars"] == Limit(metric="crossbars", low=64, high=99)
    energy = by_metric["energy_pj"]
    assert energy.low == 1.0
    assert energy.high is not None
    assert 2.99e9 < energy.high < 3e9


def test_another_network_takes_the_place_of_all(chip: str) -> None:
    sweep = load_sweep(chip, model="digits_resnet8", trials=5, sampler="random")
    assert [n.model for n in sweep.networks] == ["digits_resnet8"]
    assert sweep.objectives == ("latency_ns", "crossbars")
    assert (sweep.trials, sweep.sampler) == (5, "random")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"objectives": ["latency", "enrgy"]}, "--objectives: expected one of .*did you mean 'energy'"),
        ({"objectives": ["latency"]}, "--objectives: expected a list of 2 or 3 metrics"),
        ({"objectives": ["latency", "memory"]}, "--objectives: expected some of .*found 'local_peak_bytes'"),
        ({"limits": ["latency<3"]}, "--limit latency<3: expected a number with a unit"),
        ({"limits": ["crossbars<1e400"]}, "--limit crossbars<1e400: expected a number"),
        ({"limits": ["latency<1e308s"]}, "--limit latency<1e308s: expected a number with a unit"),
        ({"limits": ["latency@nobody<3ms"]}, "--limit: expected some of"),
        ({"sampler": "magic"}, "--sampler: expected one of 'tpe'"),
        ({"trials": 0}, "--trials: expected"),
    ],
)
def test_what_is_wrong_with_an_option_names_the_option(chip: str, given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_sweep(chip, **given)  # type: ignore[arg-type]


def test_what_is_wrong_with_the_file_still_names_the_file(chip: str) -> None:
    text = Path(chip).read_text().replace("[16, 32]", "[]")
    Path(chip).write_text(text)
    with pytest.raises(ConfigError, match=r"small\.yaml: sweep\.space\.bus_width_bytes"):
        load_sweep(chip, sampler="random")


def test_a_network_whose_name_no_file_can_have_is_said_to_be_the_files(chip: str) -> None:
    text = Path(chip).read_text().replace("[digits_mlp, digits_lenet5]", f"[{'x' * 300}]")
    Path(chip).write_text(text.replace("latency_ns@digits_mlp", "latency_ns"))
    with pytest.raises(ModelError, match=r"^sweep of .*small\.yaml: x+: neither a file nor a shipped network"):
        study_content(load_sweep(chip))


def test_a_worker_elsewhere_judges_only_what_was_meant(chip: str) -> None:
    sweep = load_sweep(chip)
    content = study_content(sweep)
    assert EvaluatorElsewhere(**content) == EvaluatorElsewhere(**content), "a worker makes one judge for all tasks"
    point = sweep.anchors()[0]
    assert EvaluatorElsewhere(**content)(sweep).evaluate(point, Fidelity.COST).metrics is not None
    with pytest.raises(ConfigError, match="another network there than where the sweep was started"):
        EvaluatorElsewhere(**{**content, "network": "0"})(sweep)
