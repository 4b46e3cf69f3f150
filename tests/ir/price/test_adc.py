"""The converter's regression gives what its authors publish, and shrinks below where they define it."""

import numpy as np
import pytest

from pimcomp.ir.price.adc import adc_area_mm2, adc_energy_pj

# bits, nm, samples per s, pJ per conversion, um2: values of the published model
PUBLISHED = [
    (4, 32, 1.28e9, 0.9237, 5190),
    (6, 32, 1.28e9, 1.065, 5416),
    (8, 32, 1.28e9, 1.929, 6469),
    (9, 32, 1.28e9, 5.530, 8865),
    (10, 32, 1.28e9, 16.42, 12275),
    (12, 32, 1.28e9, 156.8, 24110),
    (8, 65, 1e8, 6.494, 11862),
    (6, 22, 1e7, 0.5266, 1258),
    (12, 45, 1e7, 13.62, 6777),
]


def test_the_published_values_come_out() -> None:
    bits, node_nm, rate, energy_pj, area_um2 = np.array(PUBLISHED).T
    assert adc_energy_pj(bits, rate, node_nm) == pytest.approx(energy_pj, rel=1e-3)
    assert adc_area_mm2(bits, rate, node_nm) * 1e6 == pytest.approx(area_um2, rel=1e-3)


def test_a_comparator_is_a_fifteenth_of_four_bits() -> None:
    assert adc_energy_pj(1, 1e9, 32) == pytest.approx(adc_energy_pj(4, 1e9, 32) / 15)
    assert adc_area_mm2(1, 1e9, 32) == pytest.approx(adc_area_mm2(4, 1e9, 32) / 15)
