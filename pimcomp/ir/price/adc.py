"""The converter: a regression over Murmann's survey of ADCs, as the hwcomponents-adc project publishes it (MIT).

It is the best design possible at given resolution, rate and node. Defined from 4 bits on; below, a converter is taken
to be as many comparators as it has thresholds (flash), so that it shrinks like 2 ** bits - 1.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Value = npt.NDArray[np.float64] | float  # one number, or one per chip

LEAST_BITS = 4
# Figure of merit [dB] that no converter of so many bits exceeds, and how a high rate lowers it.
_BEST_DB = np.array(
    [
        *(128.3068, 131.5273, 134.7479, 137.9684, 141.1889, 144.4093, 147.6299, 150.8504, 154.0709, 157.2914, 160.5119),
        *(163.7325, 166.9530, 170.1735, 173.3940, 176.6145, 179.8350, 183.0555, 186.2760, 189.4965, 192.7171),
    ]
)
_RATE_DB, _RATE_DB_PER_LN = 213.7806687348118, 2.8719030399529957


def adc_energy_pj(bits: Value, samples_per_s: Value, node_nm: Value) -> Any:
    """Energy of one conversion [pJ]."""
    n = np.maximum(bits, LEAST_BITS)
    best_db = _BEST_DB[np.minimum(np.ceil(n), len(_BEST_DB) - 1).astype(np.int64)]
    merit_db = np.minimum(_RATE_DB - _RATE_DB_PER_LN * np.log(samples_per_s), best_db)
    sndr_db = 20 * n * np.log10(2) + 10 * np.log10(1.5)
    per_merit = 1 / (2 * 10 ** ((merit_db - sndr_db) / 10))
    fit = 26.0496215686518 + 1.8800369206815004 * np.log(node_nm) - 2.8291256050594527 * np.log(n) - 1.4702022133784405
    return per_merit * np.exp(fit) * _thresholds(bits, n)


def adc_area_mm2(bits: Value, samples_per_s: Value, node_nm: Value) -> Any:
    """Area of one converter [mm2]."""
    n = np.maximum(bits, LEAST_BITS)
    ln_energy = np.log(adc_energy_pj(n, samples_per_s, node_nm))
    rate = 0.18071538424508238 * np.log(samples_per_s)
    fit = 0.9932794744745022 * np.log(node_nm) + rate + 0.29912426192653485 * ln_energy + 1.3461916439910742
    return np.exp(fit) * 1e-6 * _thresholds(bits, n)


def _thresholds(bits: Value, modelled: Value) -> Any:
    """1 where the regression holds, below it the share of thresholds that are left."""
    return (np.exp2(bits) - 1) / (np.exp2(modelled) - 1)
