"""Compiled digits networks: right in real numbers, right enough in integers, and hard to break unnoticed."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pimcomp.compile import compile_network
from pimcomp.config import load_arch
from pimcomp.data_files import data_dir
from pimcomp.emit.memory_npz import write_checkpoints, write_memory
from pimcomp.emit.pimsim import write_program
from pimcomp.errors import InvariantError
from pimcomp.feeds import random_inputs
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.program import Program
from pimcomp.ir.unread import verify_nothing_lost
from pimcomp.ir.verify import verify_program as verify_table
from pimcomp.verify_integer import verify_integer
from pimcomp.verify_program import verify_program
from solvers import get_solver
from tests.interpret.mutations import KINDS, mutate

NETWORKS = (
    "mlp", "lenet5", "incnet", "dscnn", "resnet8", "vgg8", "vgg8_bn", "resnet8_bnkept", "dscnn_bnkept",
    "vgg8_bn_bnkept",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A compiled network and where its files are."""

    network: LoadedNetwork
    arch: Arch
    program: Program
    folder: Path

    def write(self, program: Program) -> None:
        """Put a program's files into the folder."""
        channels = np.array([node.channels for node in self.network.graph.nodes], np.int32)
        write_program(program, self.arch, self.folder / "program.gz")
        write_memory(program, self.folder / "memory.npz")
        write_checkpoints(program, channels, self.folder / "checkpoints.npz")


def compiled(name: str, pipeline: Pipeline, folder: Path) -> Case:
    network, arch = load_network(f"digits_{name}"), load_arch("pimcomp_default")
    program = compile_network(network.graph, arch, get_solver("balance"), pipeline=pipeline).program
    case = Case(network, arch, program, folder)
    case.write(program)
    return case


def digits(network: LoadedNetwork) -> tuple[dict[str, FloatArray], IntArray, dict[str, FloatArray]]:
    """(test images, their labels, calibration images) of the network's size."""
    node = network.graph.nodes[0]
    with np.load(data_dir("models") / "trained" / f"digits_test_{node.height}x{node.width}.npz") as data:
        images, labels, known = data["x"], data["y"], data["x_calib"]
    return {node.name: images.astype(np.float32)}, labels.astype(np.int32), {node.name: known.astype(np.float32)}


@pytest.mark.parametrize("pipeline", Pipeline)
def test_a_small_network_is_right_in_real_numbers_and_integers(pipeline: Pipeline, tmp_path: Path) -> None:
    case = compiled("mlp", pipeline, tmp_path)
    verify_nothing_lost(case.program)
    report = verify_program(tmp_path, case.network)
    assert report.passed, report.reason
    assert report.images >= (case.program.output_round_delay + 2) * case.program.images_per_round
    assert report.maps == len(case.network.graph.nodes)
    images, labels, known = digits(case.network)
    integer = verify_integer(tmp_path, case.network, inputs=images, labels=labels, calibration=known, save=True)
    assert integer.passed, integer.reason
    assert integer.images == 360
    with np.load(tmp_path / "integer.npz") as saved:
        assert {"bits", "instruction", "shift", "constants"} <= set(saved)
        assert all(np.abs(saved[key]).max() <= 128 for key in saved if key.startswith("core"))


def test_integers_follow_the_real_numbers_without_labels(tmp_path: Path) -> None:
    case = compiled("mlp", Pipeline.ELEMENT, tmp_path)
    integer = verify_integer(tmp_path, case.network, images=6)
    assert integer.passed, integer.reason
    assert integer.correlation > 0.95
    assert integer.accuracy is None


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", Pipeline)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_digits_network(name: str, pipeline: Pipeline, tmp_path: Path) -> None:
    """The acceptance limits: 1e-4 of the range in real numbers, one point of top-1 accuracy in integers."""
    case = compiled(name, pipeline, tmp_path)
    images, labels, known = digits(case.network)
    report = verify_program(tmp_path, case.network, inputs=images)
    assert report.passed, report.reason
    integer = verify_integer(tmp_path, case.network, inputs=images, labels=labels, calibration=known)
    assert integer.passed, integer.reason


def survivors(case: Case, mutants: int) -> list[str]:
    """Mutations that neither the static invariants nor an execution of the emitted files reject."""
    inputs, rng, passed = random_inputs(case.network.graph, 4, 0), np.random.default_rng(0), []
    rejected: Counter[str] = Counter()
    for k in range(mutants):
        kind = KINDS[k % len(KINDS)]
        mutant = mutate(case.program, kind, rng)
        try:
            verify_table(mutant.program, case.arch)
            verify_nothing_lost(mutant.program)
        except InvariantError:
            rejected[kind] += 1
            continue
        case.write(mutant.program)
        if verify_program(case.folder, case.network, inputs=inputs).passed:
            passed.append(mutant.what)
        else:
            rejected[kind] += 1
    assert set(rejected) == set(KINDS)
    return passed


def test_mutations_are_rejected(tmp_path: Path) -> None:
    assert len(survivors(compiled("lenet5", Pipeline.ELEMENT, tmp_path), 28)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", Pipeline)
@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_98_percent_of_200_mutations_are_rejected(name: str, pipeline: Pipeline, tmp_path: Path) -> None:
    """Survivors mean the same as the original, which the mutations avoid only in part.

    A replica's array group holds the same weights; neighbours that do not depend on each other, or add to the same
    sum, commute: these are not drawn. What is left: a fill with zeros that goes where zeros are already, or whose old
    place holds zeros; a copy of padding whose last bytes are zero in the destination as well; the exchange of two
    products that are both zero.
    """
    left = survivors(compiled(name, pipeline, tmp_path), 200)
    assert len(left) <= 4, left
