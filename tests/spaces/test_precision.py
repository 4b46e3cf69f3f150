"""Bits per layer: fewer crossbars at an accuracy that is kept, narrow layers on converters that clip, and precisions as
points of a sweep.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.compile import compile_network
from pimcomp.config import arch_to_yaml, load_arch
from pimcomp.config.precision_file import precision_to_yaml
from pimcomp.errors import ConfigError
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv
from pimcomp.ir.precision import Precision
from pimcomp.plan.levers import group_sizes
from pimcomp.plan.precision import ALL, with_precision
from pimcomp.plan.rewriting.merge_siblings import merge_siblings
from pimcomp.proof.trained import find_test_set
from pimdse.sweep.settings import load_sweep, study_content
from solvers import get_solver
from spaces import precision
from spaces.accuracy import crossbars_of, execute_on
from spaces.chip import precision_of
from spaces.evaluate import compile_evaluator, figures
from spaces.precision import Goal, narrow
from spaces.search.study import load_stored, open_study
from spaces.space import Fidelity

ISAAC = replace(load_arch("isaac"), weight_bits=8, activation_bits=8, psum_bits=8)
SMALL = replace(ISAAC, crossbar_rows=32, crossbar_cols=32, dac_count=32)
NETWORK = load_network("digits_mlp")
TESTED = find_test_set("digits_mlp", NETWORK)
NAMES = tuple(NETWORK.graph.nodes[node].name for node in NETWORK.graph.weighted())


def test_a_quarter_of_the_crossbars_is_saved_for_at_most_a_point() -> None:
    seen: list[object] = []
    found = narrow(NETWORK, TESTED, SMALL, max_loss=1, observe=lambda stage, accuracy: seen.append(accuracy))
    assert found.accuracy_before - found.accuracy <= 1
    assert found.crossbars <= 0.75 * found.crossbars_before
    graph = with_precision(NETWORK.graph, found.precision, SMALL)
    assert found.crossbars == group_sizes(graph, SMALL).sum() == sum(layer.crossbars for layer in found.layers)
    assert found.crossbars_before == group_sizes(NETWORK.graph, SMALL).sum()
    executed = execute_on(replace(NETWORK, graph=graph), TESTED, crossbars_of(SMALL))
    assert found.accuracy == executed
    assert found.measurements == len(seen)


def test_without_test_images_the_limit_is_one_of_signal_to_noise() -> None:
    found = narrow(NETWORK, None, SMALL, max_loss=12, start_bits=6)
    assert found.bits_before == 6
    assert 1 < found.accuracy_before - found.accuracy <= 12
    assert found.crossbars < found.crossbars_before


def test_energy_is_saved_for_at_most_a_point() -> None:
    """By fewer bits of activations above all: of the estimate that is searched by, and of a program."""
    found = narrow(NETWORK, TESTED, ISAAC, max_loss=1, goal=Goal.ENERGY)
    assert found.accuracy_before - found.accuracy <= 1
    assert found.goal_after <= 0.85 * found.goal_before
    assert any(own.activation_bits for own in found.precision.values())
    narrowed = with_precision(NETWORK.graph, found.precision, ISAAC)
    after, before = (compile_network(g, ISAAC, get_solver("stream")).energy_pj for g in (narrowed, NETWORK.graph))
    assert after <= 0.9 * before


def test_latency_is_a_goal_and_layers_that_it_does_not_depend_on_keep_their_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "execute_on", lambda *_: 100.0)
    found = narrow(NETWORK, None, ISAAC, max_loss=0, goal=Goal.LATENCY)
    assert found.goal_after < found.goal_before
    for layer in found.layers:
        assert (layer.weight_bits, layer.activation_bits) == (8, 8) or layer.accuracy_alone


def test_siblings_have_the_same_bits_and_without_a_limit_crossbars_are_as_few_as_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Narrowing one of the siblings alone would part them and cost crossbars."""
    monkeypatch.setattr(precision, "execute_on", lambda *_: 100.0)
    graph, chip = load_network("digits_incnet").graph, replace(SMALL, cell_bits=4)
    found = narrow(load_network("digits_incnet"), None, chip, max_loss=0)
    families = [layer.name.split(" + ") for layer in found.layers]
    assert max(map(len, families)) > 1
    assert sorted(name for family in families for name in family) == sorted(found.precision)
    assert all(len({found.precision[name] for name in family}) == 1 for family in families)
    least = merge_siblings(with_precision(graph, dict.fromkeys(found.precision, Precision(4)), chip))
    assert found.crossbars == sum(layer.crossbars for layer in found.layers) == group_sizes(least, chip).sum()


def test_a_step_that_costs_too_much_is_undone_and_the_cheapest_per_crossbar_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Layers save 2, 4 and 1 crossbars by their first step: the second goes first, the third would be too much."""
    lost_by_two_bits = dict(zip(NAMES, (0.9, 0.3, 1.0), strict=True))
    tried: list[tuple[int, ...]] = []

    def fake(network: LoadedNetwork, known: object, crossbars: Arch) -> float:
        bits = [n.operation.precision.weight_bits for n in network.graph.nodes if isinstance(n.operation, Conv)]
        tried.append(tuple(bits))
        return 100 - sum(lost_by_two_bits[name] * (8 - b) / 2 for name, b in zip(NAMES, bits, strict=True))

    monkeypatch.setattr(precision, "execute_on", fake)
    found = narrow(NETWORK, None, SMALL, max_loss=1.9)
    assert found.accuracy_before == 100
    assert found.accuracy == pytest.approx(100 - 0.9 - 3 * 0.3)
    assert tuple(own.weight_bits for own in found.precision.values()) == (6, 2, 8)
    assert len(tried) == len(set(tried)) == found.measurements


def test_a_point_of_a_sweep_has_a_precision_which_all_its_figures_follow(tmp_path: Path) -> None:
    """Bits of all layers, or a file: other crossbars, programs and accuracy, and picked and made again with it."""
    of_layers = {NAMES[0]: Precision(4, 6), NAMES[1]: Precision(2)}
    (tmp_path / "narrow.yaml").write_text(precision_to_yaml(of_layers))
    (tmp_path / "chip.yaml").write_text(
        arch_to_yaml(replace(SMALL, cores=4))
        + """
sweep:
  model: digits_mlp
  objectives: [latency_ns, crossbars_used, accuracy]
  fidelity: cost
  space: {precision: [8, narrow.yaml, 2]}
  solvers: [stream]
  pipelines: [batch]
"""
    )
    sweep = load_sweep(str(tmp_path / "chip.yaml"))
    study_content(sweep)
    open_study(tmp_path, sweep, {}).close()
    assert load_stored(tmp_path).sweep == sweep
    assert dict(sweep.anchors()[0].parameters) == {"precision": 8}
    judge, points = compile_evaluator(sweep), list(sweep.points())
    assert len({judge.content(point) for point in points}) == len(points)
    for point, bits in zip(points, ({ALL: Precision(8)}, of_layers, {ALL: Precision(2)}), strict=True):
        own = replace(NETWORK, graph=with_precision(NETWORK.graph, bits, SMALL))
        estimated, timed = (judge.evaluate(point, f).metrics for f in (Fidelity.COST, Fidelity.TIMELINE))
        program = compile_network(own.graph, sweep.arch, get_solver("stream"), pipeline=point.pipeline)
        assert estimated is not None
        assert timed is not None
        assert estimated.crossbars_used == timed.crossbars_used == program.plan.crossbars_used(program.problem)
        assert timed.latency_ns == figures(program).latency_ns
        assert estimated.accuracy == timed.accuracy == execute_on(own, TESTED, crossbars_of(SMALL, narrow=True))
        assert judge.bound(point) is not None
    assert precision_of(sweep, points[1].parameters) == of_layers


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("[8, FILE]", "narrow.yaml: expected .*did you mean"),
        ("[8, none.yaml]", "none.yaml"),
        ("[8, 1]", "precision 1: .*expected an integer from 2 to 8"),
        ("{low: 8, high: 9}", "precision 9: .*expected an integer from 2 to 8"),
    ],
)
def test_a_precision_that_cannot_be_is_refused_or_infeasible(listed: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "narrow.yaml"
    file.write_text(precision_to_yaml({NAMES[0][:-1]: Precision(4)}))
    section = (
        "sweep: {model: digits_mlp, solvers: [stream], pipelines: [batch], fidelity: cost, space: {precision: %s}}"
    )
    (tmp_path / "chip.yaml").write_text(
        arch_to_yaml(replace(SMALL, cores=4)) + "\n" + section % listed.replace("FILE", str(file))
    )

    def refused() -> str:
        try:
            sweep = load_sweep(str(tmp_path / "chip.yaml"))
            study_content(sweep)
        except ConfigError as error:
            return str(error)
        judge = compile_evaluator(sweep)
        return " ".join(judge.evaluate(point, Fidelity.COST).reason for point in sweep.points())

    assert re.search(message, refused())


def test_narrow_layers_are_converted_as_wide_ones() -> None:
    """Enough resolution loses nothing, whatever the bits of a layer; too little clips."""
    bits = dict(zip(NAMES, (Precision(4), Precision(6, 6), Precision(6)), strict=True))
    network = replace(NETWORK, graph=with_precision(NETWORK.graph, bits, ISAAC))
    exact, serial, coarse = ISAAC, replace(ISAAC, stuck_cells=1e-30), replace(ISAAC, adc_bits=5)
    kept, converted, clipped = (execute_on(network, None, crossbars_of(a)) for a in (exact, serial, coarse))
    assert kept == converted > clipped + 3, "dB"
    found = narrow(NETWORK, TESTED, replace(SMALL, adc_bits=5), max_loss=2)
    assert found.crossbars < found.crossbars_before
    assert found.accuracy_before - found.accuracy <= 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_loss": -1}, "--max-loss: expected a number from 0 on"),
        ({"max_loss": np.nan}, "--max-loss: expected a number from 0 on"),
        ({"start_bits": 9}, r"--bits: expected an integer from 2 to 8 \(isaac: weight_bits\), found 9"),
        ({"arch": replace(SMALL, cell_bits=8, adc_bits=0)}, "nothing to narrow"),
    ],
)
def test_what_cannot_be_narrowed_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        narrow(NETWORK, TESTED, **({"arch": SMALL, "max_loss": 1} | given))  # type: ignore[arg-type]
