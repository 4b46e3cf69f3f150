"""Crossbars with real converters: nothing is lost at the needed resolution, a coarse one fails a trained network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pimcomp.config import load_arch
from pimcomp.ir.arch import Arch
from pimcomp.proof.cells import cells_of
from pimcomp.proof.executed_in_integers import verify_integer
from pimcomp.proof.interpret.integer_kernel import EXACT, Weights
from pimcomp.proof.interpret.integer_kernel import product as kernel_product
from pimcomp.proof.trained import find_test_set
from pimdse.api import compile_model
from tests.proof.interpret.bit_serial import bit_serial_product


def chip(**changes: object) -> Arch:
    values: dict[str, object] = {"crossbar_rows": 16, "dac_count": 8, "adc_count": 4, "adc_bits": 0, "cell_bits": 2}
    return Arch(name="chip", cores=1, crossbars_per_core=8, **(values | changes))  # type: ignore[arg-type]


UNCHANGED = st.sampled_from(["cell_noise", "stuck_cells"])  # 1e-30 of it changes nothing, but is not known to


def product(arch: Arch, x: np.ndarray, w: np.ndarray, disturbed: str = "cell_noise") -> np.ndarray:
    """w^T x of every column of x, by the cells of a chip, lossless or not."""
    one, rows = np.zeros(1, np.int64), np.array([w.shape[0]])
    weights = Weights(one, rows, np.array([w.shape[1]]), w.astype(np.int32).ravel(), False)
    little = {name: 1e-30 if name == disturbed else 0.0 for name in ("cell_noise", "stuck_cells")}
    coarse = replace(arch, adc_bits=arch.adc_resolution, **little)  # type: ignore[arg-type]
    weights = weights._replace(cells=cells_of(coarse, weights, arch.activation_bits))
    assert weights.cells is not EXACT
    out = np.zeros((w.shape[1], x.shape[1]), np.int64)
    sums = (np.zeros(w.shape[1], np.int32), np.zeros(w.shape[1], np.int64))
    kernel_product(x.astype(np.int32), 0, weights, sums, out)
    return out


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 16), encoding=st.sampled_from(["offset", "isaac"]),
    cell_bits=st.sampled_from([1, 2, 3, 4]), dac_bits=st.sampled_from([1, 2, 4]), dac_count=st.sampled_from([4, 16]),
    disturbed=UNCHANGED,
)  # fmt: skip
def test_nothing_is_lost_at_the_needed_resolution(
    seed: int, rows: int, encoding: str, cell_bits: int, dac_bits: int, dac_count: int, disturbed: str
) -> None:
    rng = np.random.default_rng(seed)
    arch = chip(encoding=encoding, cell_bits=cell_bits, dac_bits=dac_bits, dac_count=dac_count)
    x, w = rng.integers(-128, 128, (rows, 3)), rng.integers(-128, 128, (rows, 5))
    np.testing.assert_array_equal(product(arch, x, w, disturbed), w.T @ x)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 16), adc_bits=st.integers(1, 8), cell_bits=st.integers(1, 5),
    dac_bits=st.sampled_from([1, 2]), largest=st.sampled_from([3, 128]), disturbed=st.sampled_from(["", "cell_noise"]),
)  # fmt: skip
def test_a_coarse_converter_clips_each_sum(
    seed: int, rows: int, adc_bits: int, cell_bits: int, dac_bits: int, largest: int, disturbed: str
) -> None:
    rng = np.random.default_rng(seed)
    arch = chip(adc_bits=adc_bits, cell_bits=cell_bits, dac_bits=dac_bits, dac_count=16)
    x, w = rng.integers(-largest, largest, (rows, 4)), rng.integers(-128, 128, (rows, 5))
    assume(disturbed or not arch.is_lossless)
    oracle = bit_serial_product(
        x.T, w, input_bits=8, weight_bits=8, dac_bits=dac_bits, cell_bits=cell_bits, adc_bits=adc_bits
    )
    np.testing.assert_array_equal(product(arch, x, w, disturbed).T, oracle)


def test_rounding_spans_all_sums_in_fewer_steps() -> None:
    x, w = np.full((8, 1), -1), np.full((8, 1), 127)
    arch = chip(adc_bits=4, adc_mode="round")
    assert abs(product(arch, x, w)[0, 0] / (w.T @ x)[0, 0] - 1) < 0.1
    assert abs(product(replace(arch, adc_mode="saturate"), x, w)[0, 0] / (w.T @ x)[0, 0] - 1) > 0.1


def test_noise_and_faults_are_seeded() -> None:
    weights = Weights(np.zeros(1, np.int64), np.array([4]), np.array([50]), np.full(200, 37, np.int32), False)
    noisy, other = chip(cell_noise=0.1, stuck_cells=0.2), chip(cell_noise=0.1, stuck_cells=0.2, noise_seed=1)
    first, again, third = (cells_of(a, weights, 8).levels for a in (noisy, noisy, other))
    np.testing.assert_array_equal(first, again)
    assert (first != third).any()
    held, stuck_held = (cells_of(chip(stuck_cells=s, cell_noise=1e-30), weights, 8).levels for s in (0, 0.2))
    assert 0.15 < (held != stuck_held).mean() < 0.25


def test_a_chip_that_loses_nothing_is_executed_exactly() -> None:
    weights = Weights(np.zeros(1, np.int64), np.array([4]), np.array([5]), np.zeros(20, np.int32), True)
    assert cells_of(chip(), weights, 8) is EXACT
    assert cells_of(chip(adc_bits=1, adc_mode="ideal"), weights, 8) is EXACT


def test_a_one_bit_converter_fails_a_trained_network(tmp_path: Path) -> None:
    arch = load_arch("isaac")
    program = compile_model("digits_mlp", arch, solver="balance")
    program.write(tmp_path / "out")
    known = find_test_set("digits_mlp", program.network)
    assert known is not None

    def accuracy(chip: Arch | None) -> tuple[bool, float | None]:
        report = verify_integer(
            tmp_path / "out", program.network, arch=chip,
            images=known.images, labels=known.labels, calibration=known.calibration,
        )  # fmt: skip
        return report.passed, report.accuracy

    passed, share = accuracy(replace(arch, adc_bits=1))
    assert not passed
    assert share is not None
    assert share < 0.2
    enough = replace(arch, adc_bits=0, cell_noise=1e-30)
    assert accuracy(enough) == accuracy(arch) == accuracy(None)
    assert accuracy(arch)[0]
