"""Array groups: the unit of weight storage and of one `mvmul`."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.ir.brief import brief
from pimcomp.ir.graph import IntArray
from pimcomp.ir.precision import CHIPS, Precision

LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unfolding:
    """What one MVM takes in and gives out.

    block: neighbouring output positions of a row that one MVM computes; their shared patch becomes the input vector.
    1 is the plain im2col matrix. Source: window blocks as in VW-SDK (DATE'22).
    scatter: if not 0, neighbouring input pixels of a row that one MVM takes; it gives their contributions to every
    window they touch (`block` is 1 then). Source: the (I, O K^2, 1) unfolding of PIMCOMP's TCAD paper, for several
    pixels.
    """

    block: int = 1
    scatter: int = 0


@dataclass(frozen=True, slots=True)
class ArrayGroup:
    """Crossbars that share an input slice and fire together, all on one core.

    It holds rows [row_start, row_stop) of the layer's unfolded weight matrix and, of their columns, the given intervals
    (in order; its output vector is their concatenation). `crossbars` counts physical crossbars.
    """

    row_start: int
    row_stop: int
    col_spans: tuple[tuple[int, int], ...]
    crossbars: int
    precision: Precision = CHIPS

    @property
    def columns(self) -> int:
        """Length of the output vector."""
        return sum(stop - start for start, stop in self.col_spans)


@brief
@dataclass(frozen=True, slots=True, eq=False)
class LayerMatrix:
    """One layer's weights unfolded to a matrix, for one choice of unfolding, and its array groups (one replica).

    Row r multiplies element (`row_dy[r]`, `row_dx[r]`, channel `row_channel[r]` of node `row_source[r]`), where dy
    and dx are input offsets from the window's first position. Rows are ordered by (source, dy, dx, channel), so that
    what is contiguous in a feature-map row is contiguous here. Columns are ordered (window in block, output channel);
    those of a scattering matrix (kernel row, output position, output channel), where output positions begin kernel
    width - 1 before the one whose window starts at the first pixel.
    """

    node: int
    unfolding: Unfolding
    row_source: IntArray
    row_dy: IntArray
    row_dx: IntArray
    row_channel: IntArray
    row_input: IntArray  # the convolution's input channel that the row belongs to (its position in the view)
    columns: int
    groups: tuple[ArrayGroup, ...]

    @property
    def rows(self) -> int:
        """Length of the input vector of a whole window block."""
        return len(self.row_source)

    @property
    def crossbars(self) -> int:
        """Physical crossbars of one replica."""
        return sum(g.crossbars for g in self.groups)


class Unfoldings(NamedTuple):
    """All unfoldings of a partition as flat arrays: what times and energies on any chip with these crossbars follow
    from. Sizes in elements.

    node, block, scatter, kernel_rows, channels (of the output), rows, columns, firings: int64[options]; group_start and
    run_start int64[options + 1]. run: contiguous runs of the feature map in the input vector. Per array group:
    crossbars, weight_bits and activation_bits (0: the chip's), group_columns; copy_start int64[groups + 1] into copy,
    the runs that gather its part of the input (none if it lies in one piece); span_start into span, the widths of its
    column intervals.
    """

    node: LongArray
    block: LongArray
    scatter: LongArray
    kernel_rows: LongArray
    channels: LongArray
    rows: LongArray
    columns: LongArray
    firings: LongArray
    group_start: LongArray
    run_start: LongArray
    run: LongArray
    crossbars: LongArray
    weight_bits: LongArray
    activation_bits: LongArray
    group_columns: LongArray
    copy_start: LongArray
    copy: LongArray
    span_start: LongArray
    span: LongArray


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Every weighted layer's possible unfoldings: `options[k]` belongs to the k-th weighted node `nodes[k]`.

    flat: the same, layer after layer, as arrays. depends: per layer the layers (by k) whose results it reads, possibly
    through vector layers.
    """

    nodes: tuple[int, ...]
    options: tuple[tuple[LayerMatrix, ...], ...]
    flat: Unfoldings
    depends: tuple[tuple[int, ...], ...]
