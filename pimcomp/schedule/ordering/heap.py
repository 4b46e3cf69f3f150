"""A binary min-heap in rows of an array, for kernels: rows are (key, rank, item), ordered by key, then rank."""

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel

KEY, RANK, ITEM = range(3)
HEAP_COLUMNS = 4  # two rows fill a cache line


@kernel
def push(heap: npt.NDArray[np.float64], size: int, key: float, rank: float, item: int) -> int:
    """Insert into a heap of `size` rows; the new size."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if heap[parent, KEY] < key or (heap[parent, KEY] == key and heap[parent, RANK] <= rank):
            break
        heap[i, KEY], heap[i, RANK], heap[i, ITEM] = heap[parent, KEY], heap[parent, RANK], heap[parent, ITEM]
        i = parent
    heap[i, KEY], heap[i, RANK], heap[i, ITEM] = key, rank, item
    return size + 1


@kernel
def pop(heap: npt.NDArray[np.float64], size: int) -> tuple[int, float, int]:
    """Remove the minimum; (item, its key, new size)."""
    item, first_key = int(heap[0, ITEM]), heap[0, KEY]
    size -= 1
    key, rank, last = heap[size, KEY], heap[size, RANK], heap[size, ITEM]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            heap[right, KEY] < heap[child, KEY]
            or (heap[right, KEY] == heap[child, KEY] and heap[right, RANK] < heap[child, RANK])
        ):
            child = right
        if key < heap[child, KEY] or (key == heap[child, KEY] and rank <= heap[child, RANK]):
            break
        heap[i, KEY], heap[i, RANK], heap[i, ITEM] = heap[child, KEY], heap[child, RANK], heap[child, ITEM]
        i = child
    if size > 0:
        heap[i, KEY], heap[i, RANK], heap[i, ITEM] = key, rank, last
    return item, first_key, size
