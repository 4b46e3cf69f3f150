"""What counts in an average: pads, borders and the overhang of windows."""

import numpy as np

from pimcomp.ir.graph import LongArray, Pool, first_read


def counted_range(pool: Pool, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns [first, stop) of the padded map that count in an average's divisor."""
    if not pool.count_padding:
        return (0, height), (0, width)
    top, left, bottom, right = pool.window.pads
    return (-top, height + bottom - pool.overhang[0]), (-left, width + right - pool.overhang[1])


def averaged(pool: Pool, outputs: tuple[int, int], source: tuple[int, int]) -> tuple[LongArray, LongArray]:
    """How many rows, and columns, of its window count in an average: int64 per output row and per output column.

    outputs, source: (height, width).
    """
    window, counts = pool.window, []
    for axis, (first, stop) in enumerate(counted_range(pool, *source)):
        taps = np.arange(window.kernel[axis]) * window.dilation[axis]
        position = first_read(pool, axis, np.arange(outputs[axis]))[:, None] + taps
        counts.append(((position >= first) & (position < stop)).sum(axis=1))
    return counts[0], counts[1]
