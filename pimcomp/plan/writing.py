"""Writing weights into crossbars before a program can run: rows, time, energy, and how long cells last."""

from collections.abc import Sequence

from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import LayerMatrix, Partition
from pimcomp.ir.plan import Plan


def rows_written(parts: Partition, plan: Plan) -> int:
    """Rows of cells that a program's crossbars hold weights in, of all replicas."""
    chosen = zip(parts.options, plan.option, plan.replication, strict=True)
    return sum(replicas * rows_of(options[option]) for options, option, replicas in chosen)


def rows_of(matrix: LayerMatrix) -> int:
    """Rows of cells that one replica's weights take."""
    return sum((group.row_stop - group.row_start) * group.crossbars for group in matrix.groups)


def write_ns(arch: Arch, rows: int) -> float | None:
    """Time of writing so many rows, `rows_written_at_once` at a time; None: the chip's description does not say."""
    return arch.row_write_ns * -(-rows // arch.rows_written_at_once) if arch.row_write_ns else None


def write_pj(arch: Arch, rows: int) -> float | None:
    """Energy of writing so many rows; None: the chip's description does not say."""
    return arch.row_write_pj * rows if arch.row_write_pj else None


def lifetime_images(arch: Arch, rows: Sequence[int], images_per_visit: int) -> int | None:
    """Images until a cell has been written as often as it endures, where programs of so many rows take turns.

    The cell is one that all of them write, so that no order of crossbars lasts shorter. None: not known, or nothing is
    written more than once.
    """
    writes = sum(count > 0 for count in rows)
    if not arch.cell_endurance or len(rows) < 2 or not writes:
        return None
    return arch.cell_endurance // writes * images_per_visit
