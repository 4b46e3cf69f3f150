"""What a crossbar really does with integers: bit-serial inputs, sliced offset-encoded weights, shift and add.

Integer execution uses exact matrix products instead; tests prove the two equal for every conversion that does not clip.
Source of the scheme: ISAAC (Shafiee et al., ISCA 2016), sections 3 and 5.
"""

import numpy as np

from pimcomp.ir.program import LongArray


def offset_encode(weights: LongArray, weight_bits: int) -> LongArray:
    """Signed weights as the non-negative numbers cells hold: w + 2 ** (weight_bits - 1)."""
    return weights + (1 << (weight_bits - 1))


def cell_slices(encoded: LongArray, weight_bits: int, cell_bits: int) -> LongArray:
    """int64[ceil(weight_bits / cell_bits), *shape]: the levels of the cells of each weight, least significant first."""
    shifts = np.arange(0, weight_bits, cell_bits).reshape(-1, *([1] * encoded.ndim))
    return (encoded >> shifts) & ((1 << cell_bits) - 1)


def input_slices(x: LongArray, bits: int, dac_bits: int) -> LongArray:
    """int64[ceil(bits / dac_bits), *shape]: what the DACs drive, least significant first; the last slice is signed."""
    shifts = np.arange(0, bits, dac_bits)
    low = (x >> shifts[:-1].reshape(-1, *([1] * x.ndim))) & ((1 << dac_bits) - 1)
    return np.concatenate([low, (x >> shifts[-1])[None]])


def bit_serial_product(
    x: LongArray,
    weights: LongArray,
    *,
    input_bits: int,
    weight_bits: int,
    dac_bits: int,
    cell_bits: int,
    adc_bits: int | None = None,
) -> LongArray:
    """x @ weights, computed conversion by conversion. x: int64[..., rows]; weights: int64[rows, cols].

    adc_bits: every conversion saturates at what so many bits can tell apart (None: never). The offset of the encoding
    is taken out again with the sum of the inputs.
    """
    cells = cell_slices(offset_encode(weights, weight_bits), weight_bits, cell_bits)
    total = np.zeros((*x.shape[:-1], weights.shape[1]), np.int64)
    for k, driven in enumerate(input_slices(x, input_bits, dac_bits)):
        for s, levels in enumerate(cells):
            column = driven @ levels
            if adc_bits is not None:
                # The signed slice needs conversions of both signs: the same levels, once per sign.
                column = np.clip(column, -(1 << adc_bits) + 1, (1 << adc_bits) - 1)
            total += column << (k * dac_bits + s * cell_bits)
    return np.asarray(total - (x.sum(axis=-1, keepdims=True) << (weight_bits - 1)), np.int64)


def adc_bits_needed(rows: int, dac_bits: int, cell_bits: int) -> int:
    """Bits of a conversion of `rows` cells that can never clip."""
    return int(rows * ((1 << dac_bits) - 1) * ((1 << cell_bits) - 1)).bit_length()
