"""The metric `accuracy`: what a network gets right on a chip's crossbars, once for chips whose crossbars are alike.

Covers: /pimcomp/proof/trained.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.config import find_arch, load_arch
from pimcomp.frontend import LoadedNetwork, list_models, load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.proof import executed_in_integers
from pimcomp.proof.executed_in_integers import IntegerReport
from pimcomp.proof.trained import LabelledImages, find_test_set
from pimdse.sweep.settings import load_sweep
from spaces import accuracy, proof
from spaces.accuracy import accuracy_by, crossbars_of, execute_on
from spaces.candidate import Candidate, Verdict
from spaces.evaluate import compile_evaluator
from spaces.space import Fidelity

ISAAC = replace(load_arch("isaac"), weight_bits=8, activation_bits=8, psum_bits=8)


def test_only_what_crossbars_compute_decides() -> None:
    coarse = replace(ISAAC, adc_bits=6)
    assert crossbars_of(replace(coarse, cores=7, adc_count=2, bus_width_bytes=64)) == crossbars_of(coarse)
    assert crossbars_of(replace(ISAAC, cell_bits=4, adc_bits=0)) == crossbars_of(ISAAC), "both lose nothing"
    changes: list[dict[str, float]] = [{"adc_bits": 5}, {"cell_noise": 0.1}, {"cell_bits": 1}, {"dac_count": 64}]
    different = [coarse, ISAAC, *(replace(coarse, **change) for change in changes)]  # type: ignore[arg-type]
    assert len({crossbars_of(chip) for chip in different}) == len(different)


def test_chips_with_equal_crossbars_are_executed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_network("digits_mlp")
    runs: list[Arch] = []

    def count(network: LoadedNetwork, known: LabelledImages | None, crossbars: Arch) -> float:
        runs.append(crossbars)
        return execute_on(network, known, crossbars)

    monkeypatch.setattr(accuracy, "execute_on", count)
    measure = accuracy_by(network, lambda: find_test_set("digits_mlp", network))
    assert measure(ISAAC) == measure(replace(ISAAC, cores=9)) > 95
    assert measure(replace(ISAAC, adc_bits=1)) < 20
    assert len(runs) == 2


def test_without_labels_it_is_the_outputs_signal_to_noise() -> None:
    measure = accuracy_by(load_network("digits_mlp", weights="random:1"), lambda: None)
    assert measure(replace(ISAAC, adc_bits=4)) < measure(ISAAC)
    assert 10 < measure(ISAAC) < 60


def test_a_sweep_is_limited_by_it(tmp_path: Path) -> None:
    chip = find_arch("isaac").read_text().partition("sweep:")[0]
    (tmp_path / "chip.yaml").write_text(
        f"""{chip}
sweep:
  model: digits_mlp
  objectives: [latency_ns, crossbars]
  fidelity: cost
  space: {{adc_bits: [1, auto]}}
  solvers: [stream]
  pipelines: [element]
"""
    )
    sweep = load_sweep(str(tmp_path / "chip.yaml"), limits=["accuracy>=95%"])
    evaluator = compile_evaluator(sweep)

    def judged(adc_bits: object) -> Candidate:
        point = next(p for p in sweep.points() if dict(p.parameters)["adc_bits"] == adc_bits)
        return evaluator.evaluate(point, Fidelity.COST)

    good, bad = judged("auto"), judged(1)
    assert good.feasible
    assert good.value("accuracy") > 95
    assert bad.verdict is Verdict.INFEASIBLE
    assert bad.resource == "limit: accuracy >= 95"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(m.name for m in list_models() if m.name.startswith("digits_")))
def test_the_needed_resolution_loses_nothing_and_one_bit_nearly_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, outputs, judge = load_network(name), [], executed_in_integers._judge
    known = find_test_set(name, network)
    assert known is not None
    count = 24 if "vgg" in name else len(known.labels)  # of vgg8 all 360 take a minute
    some = LabelledImages({k: x[:count] for k, x in known.images.items()}, known.labels[:count], known.calibration)

    def keep(found: FloatArray, expected: FloatArray, labels: IntArray | None) -> IntegerReport:
        outputs.append(found)
        return judge(found, expected, labels)

    monkeypatch.setattr(executed_in_integers, "_judge", keep)
    exact, serial, one_bit = ISAAC, replace(ISAAC, stuck_cells=1e-30), replace(ISAAC, adc_bits=1)
    assert exact.is_lossless
    assert not serial.is_lossless, "so small a share hits no cell, but its products are converted bit by bit"
    assert execute_on(network, some, crossbars_of(exact)) == execute_on(network, some, crossbars_of(serial)) > 90
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert execute_on(network, some, crossbars_of(one_bit)) < 40


def test_a_design_that_is_executed_has_an_accuracy_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the sweep is about it: top-1 of networks with data, else the outputs' signal to noise."""
    sweep = load_sweep("isaac", model="digits_mlp", objectives=("latency", "crossbars"))
    point = next(iter(sweep.anchors()))
    found = compile_evaluator(sweep).evaluate(point, Fidelity.EXECUTED)
    assert found.metrics is not None
    assert found.metrics.accuracy is None
    (measured,) = found.proofs
    assert measured.accuracy == execute_on(
        load_network("digits_mlp", weights=sweep.networks[0].weights), None, crossbars_of(sweep.arch)
    )
    monkeypatch.setattr(proof, "MOST_PRODUCTS", 1)
    (unmeasured,) = compile_evaluator(sweep).evaluate(point, Fidelity.EXECUTED).proofs
    assert unmeasured.accuracy is None
    assert "products per image" in unmeasured.unmeasured
