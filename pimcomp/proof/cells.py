"""What a chip's crossbars hold and how they read it: cells, converters, noise and faults of integer execution."""

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.proof.interpret.integer_kernel import EXACT, Cells, Weights


def cells_of(arch: Arch, weights: Weights, input_bits: int) -> Cells:
    """The cells of all matrices: EXACT where neither a conversion nor a cell can lose anything.

    Weights are offset (w + 2 ** (weight_bits - 1)) and cut into slices of cell_bits. With encoding "isaac" a column is
    stored inverted, per rows read at a time, where its levels add up to more than half of the possible.
    """
    if arch.is_lossless:
        return EXACT
    full, rows = (1 << arch.cell_bits) - 1, min(arch.dac_count, arch.crossbar_rows)
    encoded = weights.values.astype(np.int64) + (1 << (arch.weight_bits - 1))
    shifts = np.arange(0, arch.weight_bits, arch.cell_bits)[:, None]
    levels = (encoded >> shifts) & full
    chunks = -(-weights.rows.astype(np.int64) // rows)
    ends = np.cumsum(chunks * weights.cols)
    flipped = np.zeros((len(shifts), int(ends[-1]) if len(ends) else 0), np.float32)
    if arch.encoding == "isaac":
        _invert(levels, flipped, weights, rows, full)
    short = max(arch.adc_bits_needed - arch.adc_resolution, 0) if arch.adc_mode == "round" else 0
    return Cells(
        slices=len(shifts),
        rows=rows,
        cell_bits=arch.cell_bits,
        dac_bits=arch.dac_bits,
        input_bits=input_bits,
        weight_bits=arch.weight_bits,
        step=1 << short,
        top=(1 << arch.adc_resolution) - 1,
        levels=_disturbed(levels, full, arch),
        flipped=flipped,
        flipped_start=(ends - chunks * weights.cols).astype(np.int64),
    )


def _invert(
    levels: npt.NDArray[np.int64], flipped: npt.NDArray[np.float32], weights: Weights, rows: int, full: int
) -> None:
    """Store the columns inverted whose levels add up to more than half of `rows` full ones."""
    place = 0
    for start, height, cols in zip(weights.start, weights.rows, weights.cols, strict=True):
        for first in range(0, int(height), rows):
            last = min(first + rows, int(height))
            held = levels[:, start + first * cols : start + last * cols].reshape(len(levels), last - first, cols)
            flip = 2 * held.sum(axis=1) > rows * full
            held[:] = np.where(flip[:, None], full - held, held)
            flipped[:, place : place + cols] = flip
            place += int(cols)


def _disturbed(levels: npt.NDArray[np.int64], full: int, arch: Arch) -> npt.NDArray[np.float32]:
    """The levels with the chip's seeded noise, and with cells stuck at either end."""
    held = levels.astype(np.float32)
    rng = np.random.default_rng(arch.noise_seed)
    if arch.cell_noise:
        held *= rng.normal(1.0, arch.cell_noise, held.shape).astype(np.float32)
    if arch.stuck_cells:
        stuck = rng.random(held.shape)
        held[stuck < arch.stuck_cells] = full
        held[stuck < arch.stuck_cells / 2] = 0
    return held
