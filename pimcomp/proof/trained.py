"""The images that the shipped trained networks were tested and calibrated with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pimcomp.foundation.data_files import data_dir
from pimcomp.frontend import LoadedNetwork
from pimcomp.frontend.load_network import locate
from pimcomp.ir.graph import FloatArray, Input, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """images, calibration: per network input float32[images, *shape without the batch]; labels: int32[images]."""

    images: dict[str, FloatArray]
    labels: IntArray
    calibration: dict[str, FloatArray]


def find_test_set(model: str, network: LoadedNetwork, *, weights: str | None = None) -> LabelledImages | None:
    """The test set of a shipped trained network, None for any other.

    model: its name or path; weights: as at load_network: with other weights than its own a network is not trained.
    Raises ModelError if there is no such model.
    """
    folder = data_dir("models") / "trained"
    if weights is not None or locate(model).resolve().parent != folder.resolve():
        return None
    inputs = [node for node in network.graph.nodes if isinstance(node.operation, Input)]
    file = folder / f"digits_test_{inputs[0].height}x{inputs[0].width}.npz"
    return _read(file, inputs[0].name) if len(inputs) == 1 and file.is_file() else None


def _read(file: Path, name: str) -> LabelledImages:
    with np.load(file, allow_pickle=False) as data:
        return LabelledImages(
            images={name: data["x"].astype(np.float32)},
            labels=data["y"].astype(np.int32),
            calibration={name: data["x_calib"].astype(np.float32)},
        )
