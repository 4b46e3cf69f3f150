"""What a chip's crossbars hold and how they read it: cells, converters, noise and faults of integer execution."""

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import LongArray
from pimcomp.proof.interpret.integer_kernel import EXACT, Cells, Weights

_BASE = 1 << 12
"""What a word's upper slice is counted in: sums of either below half of it keep their sum within float32's 24 bits."""


def cells_of(arch: Arch, weights: Weights, input_bits: int, weight_bits: LongArray | None = None) -> Cells:
    """The cells of all matrices: EXACT where neither a conversion nor a cell can lose anything.

    weight_bits: int64[groups], of their weights; None: the chip's. Weights are offset (w + 2 ** (weight_bits - 1)) and
    cut into slices of cell_bits; a matrix of fewer bits has no cells for the higher slices. With encoding
    "isaac" a column is stored inverted, per rows read at a time, where its levels add up to more than half of the
    possible.
    """
    if arch.is_lossless:
        return EXACT
    full, rows = (1 << arch.cell_bits) - 1, min(arch.dac_count, arch.crossbar_rows)
    most = rows * ((1 << arch.dac_bits) - 1) * full
    resolution = arch.adc_bits_needed if arch.adc_mode == "ideal" else arch.adc_resolution
    short = max(arch.adc_bits_needed - resolution, 0) if arch.adc_mode == "round" else 0
    top, disturbed = (1 << resolution) - 1, bool(arch.cell_noise or arch.stuck_cells)
    base = _BASE if 2 * most < _BASE and not arch.cell_noise else 0
    shifts = np.arange(0, arch.weight_bits, arch.cell_bits)[:, None, None]
    rng = np.random.default_rng(arch.noise_seed)
    levels: list[npt.NDArray[np.float32]] = []
    flipped: list[npt.NDArray[np.float32]] = []
    first_read: list[int] = []
    known: dict[tuple[bytes, int, int], int] = {}  # replicas hold the same, unless something disturbs them
    bits = np.full(len(weights.start), arch.weight_bits, np.int64) if weight_bits is None else weight_bits
    for start, height, cols, own in zip(weights.start, weights.rows, weights.cols, bits.tolist(), strict=True):
        values = weights.values[start : start + height * cols].reshape(height, cols).astype(np.int64)
        first_read.append(
            len(levels) if disturbed else known.setdefault((values.tobytes(), int(cols), own), len(levels))
        )
        if first_read[-1] < len(levels):
            continue
        held = ((values + (1 << (own - 1))) >> shifts) & full
        for first in range(0, int(height), rows):
            part = held[:, first : first + rows]
            flip = (2 * part.sum(axis=1) > rows * full) & (arch.encoding == "isaac")
            flipped.append(flip.T.astype(np.float32))
            found = _disturbed(np.where(flip[:, None], full - part, part), full, most, arch, rng)
            found[-(-own // arch.cell_bits) :] = 0  # no cells
            levels.append(_words(found, base))
    sizes = [(block.size, len(flip)) for block, flip in zip(levels, flipped, strict=True)]
    level_start, flipped_start = np.cumsum([(0, 0), *sizes], axis=0).T.astype(np.int64, order="C")
    return Cells(
        slices=len(shifts),
        rows=rows,
        cell_bits=arch.cell_bits,
        dac_bits=arch.dac_bits,
        input_bits=input_bits,
        offset=np.ldexp(1.0, bits - 1),
        step=1 << short,
        top=top,
        harmless=0 if short or disturbed else top // full,
        base=base,
        levels=np.concatenate([np.zeros(0, np.float32), *(block.ravel() for block in levels)]),
        level_start=level_start,
        flipped=np.concatenate([np.zeros((0, len(shifts)), np.float32), *flipped]),
        flipped_start=flipped_start,
        first_read=np.array(first_read, np.int64),
    )


def _disturbed(
    levels: npt.NDArray[np.int64], full: int, most: int, arch: Arch, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """The levels with the chip's seeded noise, and with cells stuck at either end.

    Noisy levels are whole numbers of a unit so small, and so large, that float32 holds every sum of a column exactly.
    """
    held = levels.astype(np.float32)
    if arch.cell_noise:
        unit = 2.0 ** (int(4 * most).bit_length() - 24)
        held *= rng.normal(1.0, arch.cell_noise, held.shape).astype(np.float32)
        held = np.asarray(np.rint(held / unit) * unit, np.float32)
    if arch.stuck_cells:
        stuck = rng.random(held.shape)
        held[stuck < arch.stuck_cells] = full
        held[stuck < arch.stuck_cells / 2] = 0
    return held


def _words(levels: npt.NDArray[np.float32], base: int) -> npt.NDArray[np.float32]:
    """Levels [slices, rows, columns] as `Cells` keeps them."""
    if base:
        lower, upper = levels[::2], levels[1::2]
        levels = lower.copy()
        levels[: len(upper)] += base * upper
    words, rows, cols = levels.shape
    return np.pad(levels.transpose(2, 0, 1).reshape(cols * words, rows), ((0, cols * words % 2), (0, -rows % 4)))
