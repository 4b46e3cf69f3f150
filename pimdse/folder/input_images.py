"""Images for `pimdse verify --input`: .npy, .npz or .png as the network's inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pimcomp.emit.decode import UNREADABLE_ARRAYS
from pimcomp.errors import ModelError
from pimcomp.ir.graph import FloatArray, Graph, Input, Node
from pimcomp.ir.image_shape import image_shape
from pimcomp.proof.feeds import count_images

_ONE, _PICTURE = "", "\0picture"  # not the names of an archive's arrays


def read_inputs(path: Path, graph: Graph) -> dict[str, FloatArray]:
    """Per network input float32[images, *shape without the batch].

    .npy: one array for a network with one input; .npz: one array per input name; .png: one picture, 0 to 1 per channel,
    in the order of axes that the network wants. Raises ModelError naming the file, the expected and the found shape.
    """
    nodes = {node.name: node for node in graph.nodes if isinstance(node.operation, Input)}
    arrays = _read(path)
    if arrays and arrays.keys() <= {_ONE, _PICTURE}:
        if len(nodes) != 1:
            raise ModelError(f"{path}: the network has {len(nodes)} inputs; give an .npz with {', '.join(nodes)}")
        name, node = next(iter(nodes.items()))
        arrays = {name: arrays[_ONE] if _ONE in arrays else _arrange(arrays[_PICTURE], node)}
    if missing := sorted(set(nodes) - set(arrays)):
        raise ModelError(f"{path}: no array {', '.join(missing)}; found {', '.join(sorted(arrays))}")
    inputs = {name: _fit(path, arrays[name], node) for name, node in nodes.items()}
    try:
        count_images(inputs)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return inputs


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ModelError(f"{path}: expected .npy, .npz or .png, found no regular file")
        with path.open("rb") as file:  # not by name: numpy leaves a damaged archive open
            match path.suffix.lower():
                case ".npy":
                    return {_ONE: np.asarray(np.load(file, allow_pickle=False))}
                case ".npz":
                    with np.load(file, allow_pickle=False) as archive:
                        return dict(archive)
                case ".png":
                    from matplotlib.image import imread

                    picture = np.asarray(imread(file))
                    return {_PICTURE: picture[:, :, None] if picture.ndim == 2 else picture[:, :, :3]}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UNREADABLE_ARRAYS:
        raise ModelError(f"{path}: expected an array of numbers or a picture, found a damaged or other file") from None
    raise ModelError(f"{path}: expected .npy, .npz or .png")


def _arrange(picture: npt.NDArray[Any], node: Node) -> npt.NDArray[Any]:
    """A picture [rows, columns, channels] in the axes of a network's input, colours as grey (or grey as colours) if it
    wants those; left as it is if it does not fit.
    """
    if picture.shape[2] == 3 and node.channels == 1:
        picture = picture.mean(axis=2, keepdims=True)
    elif picture.shape[2] == 1 and node.channels == 3:
        picture = picture.repeat(3, axis=2)
    if picture.shape != (node.height, node.width, node.channels):
        return picture
    assert isinstance(node.operation, Input)
    ordered = picture if node.operation.layout == "NHWC" else picture.transpose(2, 0, 1)
    return ordered.reshape(image_shape(node.operation.onnx_shape))


def _fit(path: Path, array: npt.NDArray[Any], node: Node) -> FloatArray:
    """The array as float32[images, *shape of one image]; a single image may come without the leading axis."""
    assert isinstance(node.operation, Input)
    wanted = image_shape(node.operation.onnx_shape)
    if array.shape == wanted:
        array = array[None]
    if len(wanted) == 3 and array.shape[1:] == (3, *wanted[1:]) and wanted[0] == 1:
        array = array.mean(axis=1, keepdims=True)
    if array.shape[1:] != wanted or not len(array):
        found = " x ".join(map(str, array.shape))
        raise ModelError(f"{path}: expected images of {' x '.join(map(str, wanted))}, found {found}")
    if array.dtype.kind not in "iuf":
        raise ModelError(f"{path}: expected real numbers, found {array.dtype}")
    with np.errstate(over="ignore"):  # said below
        real = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(real).all():
        raise ModelError(f"{path}: expected finite numbers, found infinite ones or NaN")
    return real
