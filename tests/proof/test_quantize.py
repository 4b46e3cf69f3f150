"""Scales of transformers: what iterates, is masked or is summed in a softmax leaves integers to the rest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pimcomp.config import load_arch
from pimcomp.ir.plan import Pipeline
from pimcomp.proof.executed_in_integers import IntegerReport, verify_integer
from pimcomp.proof.feeds import random_inputs
from pimcomp.proof.interpret.moves import BINS, bin_magnitudes
from pimcomp.proof.quantize import _masks_nearer
from pimdse.api import compile_model
from tests.frontend.small_onnx import make, op
from tests.transformer import encoder


def _in_integers(
    model: onnx.ModelProto, folder: Path, *, size: float = 1.0, pipeline: Pipeline = Pipeline.ELEMENT
) -> IntegerReport:
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    program = compile_model(folder / "net.onnx", "pimcomp_default", solver="stream", pipeline=pipeline)
    program.write(folder / "out")
    given, known = (
        {k: x * np.float32(size) for k, x in random_inputs(program.network.graph, 8, s).items()} for s in (0, 1)
    )
    return verify_integer(folder / "out", program.network, images=given, calibration=known)


@pytest.mark.parametrize("pipeline", Pipeline)
def test_normalisations_of_small_values_are_right_in_integers(pipeline: Pipeline, tmp_path: Path) -> None:
    """A thousandth of the mean square that the program's iteration is for."""
    report = _in_integers(encoder(8, 16, 2, 2), tmp_path, size=0.05, pipeline=pipeline)
    assert report.correlation > 0.97


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_values_have_the_bits_of_the_chip(bits: int, tmp_path: Path) -> None:
    chip = replace(load_arch("pimcomp_default"), activation_bits=bits, psum_bits=bits)
    (tmp_path / "net.onnx").write_bytes(encoder(8, 16, 2).SerializeToString())
    program = compile_model(tmp_path / "net.onnx", chip, solver="stream")
    program.write(tmp_path / "out")
    report = verify_integer(tmp_path / "out", program.network, save=True)
    assert report.correlation > (0.99 if bits == 8 else 0.999)
    with np.load(tmp_path / "out" / "integer.npz") as saved:
        assert saved["bits"] == bits
        assert (np.abs(saved["constants"]).max() > 128) == (bits > 8)


@pytest.mark.parametrize("below", [-np.inf, -1e9])
def test_masks_leave_integers_to_the_scores(below: float, tmp_path: Path) -> None:
    mask = np.triu(np.full((6, 6), below, np.float32), 1)
    nodes = [op("Transpose", "x", "t", perm=[0, 2, 1]), op("MatMul", "x t", "s"), op("Add", "s m", "z")]
    nodes += [op("Softmax", "z", "p", axis=-1), op("MatMul", "p x", "y")]
    assert _in_integers(make(nodes, {"x": [1, 6, 8]}, {"m": mask}), tmp_path).correlation > 0.99


def test_only_what_is_far_from_all_else_is_a_mask() -> None:
    middle, counts = bin_magnitudes(), np.zeros((2, BINS), np.int64)
    counts[0, np.searchsorted(middle, [0.5, 4.0, 1e9])] = 1, 2, 5
    counts[1, np.searchsorted(middle, 2.0)] = 3
    moved, masked = _masks_nearer(counts)
    assert masked
    assert moved.sum() == counts.sum()
    assert 16 <= middle[np.flatnonzero(moved[0])[-1]] < 20
    counts[1, np.searchsorted(middle, 1e7)] = 1
    assert not _masks_nearer(counts)[1]
