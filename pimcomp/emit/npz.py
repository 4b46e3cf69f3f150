"""NumPy archives whose bytes depend on their content alone."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can have


def write_npz(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Writes an uncompressed .npz, entries in the given order, without times or permissions of this machine."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.create_system = 3  # Unix everywhere: zipfile would record the platform
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
