"""Images for `pimdse verify --input`: .npy, .npz or .png as the network's inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pimcomp.decode import UNREADABLE_ARRAYS
from pimcomp.errors import ModelError
from pimcomp.ir.graph import Graph, Input

if TYPE_CHECKING:
    from pimcomp.ir.graph import FloatArray


def read_inputs(path: Path, graph: Graph) -> "dict[str, FloatArray]":
    """Per network input float32[images, *shape without the batch].

    .npy: one array for a network with one input; .npz: one array per input name; .png: one picture, 0 to 1 per channel.
    Raises ModelError naming the file, the expected and the found shape.
    """
    shapes = {node.name: node.operation.onnx_shape for node in graph.nodes if isinstance(node.operation, Input)}
    arrays = _read(path)
    if "" in arrays:
        if len(shapes) != 1:
            raise ModelError(f"{path}: the network has {len(shapes)} inputs; give an .npz with {', '.join(shapes)}")
        arrays = {next(iter(shapes)): arrays[""]}
    if missing := sorted(set(shapes) - set(arrays)):
        raise ModelError(f"{path}: no array {', '.join(missing)}; found {', '.join(sorted(arrays))}")
    return {name: _fit(path, arrays[name], shape) for name, shape in shapes.items()}


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ModelError(f"{path}: expected .npy, .npz or .png, found no regular file")
        with path.open("rb") as file:  # not by name: numpy leaves a damaged archive open
            match path.suffix.lower():
                case ".npy":
                    return {"": np.asarray(np.load(file, allow_pickle=False))}
                case ".npz":
                    with np.load(file, allow_pickle=False) as archive:
                        return dict(archive)
                case ".png":
                    from matplotlib.image import imread

                    picture = np.asarray(imread(file))
                    channels = picture[None] if picture.ndim == 2 else picture[:, :, :3].transpose(2, 0, 1)
                    return {"": channels[None]}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UNREADABLE_ARRAYS:
        raise ModelError(f"{path}: expected an array of numbers or a picture, found a damaged or other file") from None
    raise ModelError(f"{path}: expected .npy, .npz or .png")


def _fit(path: Path, array: npt.NDArray[Any], shape: tuple[int, ...]) -> "FloatArray":
    """The array as float32[images, *shape[1:]]; one image may come without the leading axis, grey pictures as RGB."""
    wanted = tuple(shape[1:])
    if array.shape == wanted:
        array = array[None]
    if array.ndim == len(shape) == 4 and array.shape[1] == 3 and wanted[0] == 1 and array.shape[2:] == wanted[1:]:
        array = array.mean(axis=1, keepdims=True)
    if array.shape[1:] != wanted or not len(array):
        found = " x ".join(map(str, array.shape))
        raise ModelError(f"{path}: expected images of {' x '.join(map(str, wanted))}, found {found}")
    if not np.issubdtype(array.dtype, np.number):
        raise ModelError(f"{path}: expected numbers, found {array.dtype}")
    real = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(real).all():
        raise ModelError(f"{path}: expected finite numbers, found infinite ones or NaN")
    return real
