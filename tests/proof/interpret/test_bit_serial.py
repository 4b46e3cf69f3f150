"""Bit-serial inputs and sliced weights give the exact integer product, unless a conversion clips."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proof.interpret.bit_serial import (
    adc_bits_needed,
    bit_serial_product,
    cell_slices,
    input_slices,
    offset_encode,
)

bits = st.integers(1, 16)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40), cols=st.integers(1, 5), input_bits=st.integers(2, 16),
    weight_bits=st.integers(1, 16), dac_bits=st.integers(1, 8), cell_bits=st.integers(1, 8), limited=st.booleans(),
)  # fmt: skip
def test_slices_add_up_to_the_exact_product(
    seed: int, rows: int, cols: int, input_bits: int, weight_bits: int, dac_bits: int, cell_bits: int, limited: bool
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(1 << (input_bits - 1)), 1 << (input_bits - 1), (2, rows))
    w = rng.integers(-(1 << (weight_bits - 1)), 1 << (weight_bits - 1), (rows, cols))
    enough = adc_bits_needed(rows, dac_bits, cell_bits) if limited else None
    found = bit_serial_product(
        x, w, input_bits=input_bits, weight_bits=weight_bits, dac_bits=dac_bits, cell_bits=cell_bits, adc_bits=enough
    )
    np.testing.assert_array_equal(found, x @ w)


@settings(max_examples=40)
@given(value=st.integers(-(2**15), 2**15 - 1), weight_bits=st.just(16), cell_bits=bits, dac_bits=bits)
def test_slices_are_what_cells_and_dacs_can_hold(value: int, weight_bits: int, cell_bits: int, dac_bits: int) -> None:
    cells = cell_slices(offset_encode(np.array([value]), weight_bits), weight_bits, cell_bits)
    assert cells.min() >= 0
    assert cells.max() < 1 << cell_bits
    assert len(cells) == -(-weight_bits // cell_bits)
    driven = input_slices(np.array([value]), 16, dac_bits)[:, 0]
    assert all(0 <= d < 1 << dac_bits for d in driven[:-1])
    assert -(1 << (dac_bits - 1)) <= driven[-1] < 1 << (dac_bits - 1)


def test_a_coarse_converter_clips() -> None:
    x, w = np.full((1, 64), 127), np.full((64, 1), 127)
    coarse = bit_serial_product(x, w, input_bits=8, weight_bits=8, dac_bits=1, cell_bits=2, adc_bits=4)
    assert (coarse < x @ w).all()
