"""Attention inside windows of a map, as Swin transformers have it: windows beside heads, shifted by rolling the map."""

from pathlib import Path

import numpy as np
import pytest

from pimcomp.compile import compile_network
from pimcomp.emit.outputs import emit
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Pipeline
from pimcomp.proof.executed import verify_program
from solvers import get_solver
from tests.frontend.small_onnx import Array, agree, kinds, load
from tests.frontend.structures import Layers
from tests.frontend.test_structures import CHIP


def windowed(
    side: int, window: int, *, shift: int = 0, heads: int = 2, size: int = 3, blocks: int = 1, padded: int = 0
) -> Layers:
    """`blocks` residual blocks of attention in windows of `window` x `window` pixels, every second one shifted."""
    channels = heads * size
    n = Layers(channels, side)
    x = n.node("Transpose", "x", perm=[0, 2, 3, 1])
    for block in range(blocks):
        found = n.node("LayerNormalization", f"{x} {n.normal(channels)} {n.normal(channels)}", axis=-1)
        if padded:
            amounts = n.constant([0, 0, 0, 0, 0, padded, padded, 0], np.int64)
            found = n.node("Pad", f"{found} {amounts}")
        found = attention(n, found, side + padded, window, shift if block % 2 == 0 else 0, (heads, size))
        if padded:
            bounds = [n.constant(v, np.int64) for v in ([0, 0], [side, side], [1, 2])]
            found = n.node("Slice", f"{found} {' '.join(bounds)}")
        x = n.node("Add", f"{x} {found}")
    n.node("Transpose", x, perm=[0, 3, 1, 2])
    return n


def attention(n: Layers, x: str, side: int, window: int, shift: int, heads: tuple[int, int]) -> str:
    """Scaled products of queries and keys of all windows and heads, a bias, a mask if shifted, softmax, values."""
    many, size = heads
    channels, across, tokens = many * size, side // window, window * window
    x = rolled(n, x, shift)
    x = reshaped(n, x, 1, across, window, across, window, channels)
    x = reshaped(n, n.node("Transpose", x, perm=[0, 1, 3, 2, 4, 5]), across**2, tokens, channels)
    x = n.node("Add", f"{n.node('MatMul', f'{x} {n.normal(channels, 3 * channels)}')} {n.normal(3 * channels)}")
    x = n.node("Transpose", reshaped(n, x, across**2, tokens, 3, many, size), perm=[2, 0, 3, 1, 4])
    q, k, v = (n.node("Gather", f"{x} {n.constant(part, np.int64)}", axis=0) for part in range(3))
    q = n.node("Mul", f"{q} {n.constant(size**-0.5)}")
    scores = n.node("MatMul", f"{q} {n.node('Transpose', k, perm=[0, 1, 3, 2])}")
    scores = n.node("Add", f"{scores} {n.normal(1, many, tokens, tokens)}")
    if shift:
        scores = reshaped(n, scores, 1, across**2, many, tokens, tokens)
        mask = n.constant(mask_of(side, window, shift)[None, :, None])
        scores = reshaped(n, n.node("Add", f"{scores} {mask}"), across**2, many, tokens, tokens)
    found = n.node("MatMul", f"{n.node('Softmax', scores, axis=-1)} {v}")
    found = reshaped(n, n.node("Transpose", found, perm=[0, 2, 1, 3]), across**2, tokens, channels)
    found = n.node("Add", f"{n.node('MatMul', f'{found} {n.normal(channels, channels)}')} {n.normal(channels)}")
    found = reshaped(n, found, 1, across, across, window, window, channels)
    found = reshaped(n, n.node("Transpose", found, perm=[0, 1, 3, 2, 4, 5]), 1, side, side, channels)
    return rolled(n, found, -shift)


def reshaped(n: Layers, x: str, *shape: int) -> str:
    return n.node("Reshape", f"{x} {n.constant(shape, np.int64)}")


def rolled(n: Layers, x: str, shift: int) -> str:
    """Rows and columns moved up and left by `shift`, around the edges."""
    for axis in (1, 2) if shift else ():
        parts = []
        for first, last in ((shift, 1 << 30), (0, shift)):
            bounds = [n.constant([v], np.int64) for v in (first, last, axis)]
            parts.append(n.node("Slice", f"{x} {' '.join(bounds)}"))
        x = n.node("Concat", " ".join(parts), axis=axis)
    return x


def mask_of(side: int, window: int, shift: int) -> Array:
    """[windows, tokens, tokens]: -100 between pixels that only rolling has made neighbours."""
    line = np.digitize(np.arange(side), [side - window, side - shift])
    region = (3 * line[:, None] + line).reshape(side // window, window, side // window, window)
    flat = region.transpose(0, 2, 1, 3).reshape(-1, window * window)
    return np.where(flat[:, :, None] == flat[:, None], 0, -100).astype(np.float32)


def graph_of(layers: Layers, folder: Path) -> Graph:
    return agree(load(layers.model(layers.nodes[-1].output[0], opset=17), folder))


@pytest.mark.parametrize(
    ("side", "window", "shift", "padded"), [(4, 2, 0, 0), (4, 2, 1, 0), (6, 2, 1, 0), (5, 3, 1, 1), (6, 3, 0, 0)]
)
def test_windows_are_heads(side: int, window: int, shift: int, padded: int, tmp_path: Path) -> None:
    graph = graph_of(windowed(side, window, shift=shift, padded=padded), tmp_path)
    found = kinds(graph)
    assert found.count("Product") == 2 * 2 * ((side + padded) // window) ** 2
    assert found.count("Conv") <= 4  # queries, keys and values, and what joins the heads: once for all windows


@pytest.mark.parametrize("pipeline", [pytest.param(Pipeline.BATCH, marks=pytest.mark.slow), Pipeline.ELEMENT])
def test_the_program_of_two_blocks_computes_it_too(pipeline: Pipeline, tmp_path: Path) -> None:
    layers = windowed(4, 2, shift=1, blocks=2)
    network = load(layers.model(layers.nodes[-1].output[0], opset=17), tmp_path)
    emit(compile_network(network.graph, CHIP, get_solver("balance"), pipeline=pipeline), tmp_path / "out")
    report = verify_program(tmp_path / "out", network, images=2)
    assert report.passed, report.reason
