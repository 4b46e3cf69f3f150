"""A dense numbering of those bytes of a sparse address space that some ranges touch."""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.brief import brief
from pimcomp.ir.program import LongArray


@brief
@dataclass(frozen=True, slots=True, eq=False)
class ByteSpace:
    """Disjoint segments: segment k begins at address `segment[k]`; its bytes are numbered from `first[k]` on."""

    segment: LongArray
    first: LongArray

    @property
    def cells(self) -> int:
        """Bytes numbered."""
        return int(self.first[-1])

    def cell(self, address: LongArray) -> LongArray:
        """The numbers of these addresses, which must lie in segments. A touched range is numbered consecutively."""
        if not len(address):
            return np.zeros(address.shape, np.int64)
        k = np.searchsorted(self.segment, address, side="right") - 1
        return np.asarray(self.first[k] + address - self.segment[k], np.int64)


def byte_space(start: LongArray, size: LongArray) -> ByteSpace:
    """Number the bytes of the ranges [start, start + size)."""
    order = np.argsort(start, kind="stable")
    begin, end = start[order], np.maximum.accumulate((start + size)[order])
    if not len(begin):
        return ByteSpace(np.zeros(0, np.int64), np.zeros(1, np.int64))
    # A new segment begins where a range starts behind everything before it.
    fresh = np.concatenate([[True], begin[1:] > end[:-1]])
    segment = begin[fresh]
    length = np.concatenate([end[:-1][fresh[1:]], end[-1:]]) - segment
    return ByteSpace(segment, np.concatenate([[0], np.cumsum(length)]).astype(np.int64))
