"""From one technology node to another: area and energy of digital logic relative to 32 nm.

Source: Stillmaker and Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm to
7 nm", Integration 58 (2017), tables of areas and of energies at 0.8 V; between their nodes interpolated in logarithms.
"""

from typing import Any

import numpy as np

SMALLEST_NM, LARGEST_NM = 7.0, 130.0
_LN_NM = np.log([7.0, 10, 14, 16, 20, 32, 45, 65, 90, 130])
_LN_AREA = np.log([0.13, 0.22, 0.38, 0.41, 0.46, 1, 2.2, 3.3, 6.1, 14])
_LN_ENERGY = np.log(np.array([0.0654, 0.0817, 0.0962, 0.1202, 0.1532, 0.4569, 0.6930, 0.8598, 1.3150, 2.1262]) / 0.4569)


def area_factor(node_nm: Any) -> Any:
    """Area at a node over that at 32 nm."""
    return np.exp(np.interp(np.log(node_nm), _LN_NM, _LN_AREA))


def energy_factor(node_nm: Any) -> Any:
    """Energy of a switching gate at a node over that at 32 nm; leakage is taken to follow it."""
    return np.exp(np.interp(np.log(node_nm), _LN_NM, _LN_ENERGY))
