"""What a network still gets right on a chip's crossbars: the metric `accuracy`."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from pimcomp.compile import compile_network
from pimcomp.emit.outputs import emit
from pimcomp.errors import InvariantError
from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.plan.cores_needed import cores_needed
from pimcomp.plan.levers import group_sizes
from pimcomp.plan.partition import conv_of
from pimcomp.proof.executed_in_integers import verify_integer
from pimcomp.proof.trained import LabelledImages
from solvers import get_solver

_EXACT = ("crossbar_rows", "weight_bits", "activation_bits", "psum_bits")  # what exact products depend on
_CONVERTED = (
    *("cell_bits", "dac_bits", "dac_count", "adc_mode", "encoding", "cell_noise", "stuck_cells", "noise_seed"),
)
_CORE, _COLUMNS, _MEMORY_BYTES = 64, 256, 1 << 23  # crossbars, their columns, local memory: all networks find room


def crossbars_of(arch: Arch, *, narrow: bool = False) -> Arch:
    """A core whose crossbars compute as the chip's do; equal for chips on which a network is equally accurate.

    What costs only time or area is not the chip's: how many crossbars there are, their columns, the converters' number.
    narrow: of a network whose layers have bits of their own, which fill whole cells.
    """
    names = (*_EXACT, *(("cell_bits",) if narrow else ())) if arch.is_lossless else (*_EXACT, *_CONVERTED)
    given = {"dac_count": arch.crossbar_rows, **{name: getattr(arch, name) for name in names}}
    resolution = {"adc_mode": "ideal"} if arch.is_lossless else {"adc_bits": arch.adc_resolution}
    return Arch(
        name="crossbars", cores=1, crossbars_per_core=_CORE, crossbar_cols=_COLUMNS, adc_count=1,
        local_memory_bytes=_MEMORY_BYTES, **(given | resolution),
    )  # fmt: skip


def accuracy_by(network: LoadedNetwork, find: Callable[[], LabelledImages | None]) -> Callable[[Arch], float]:
    """A function from chips to what the network gets right there, executed once for chips with equal crossbars.

    find: what is known of it, asked for when it is executed first.
    """
    found: dict[Arch, float] = {}
    known = cache(find)
    narrow = any(conv_of(network.graph.nodes[node]).precision.weight_bits for node in network.graph.weighted())

    def accuracy(arch: Arch) -> float:
        crossbars = crossbars_of(arch, narrow=narrow)
        if crossbars not in found:
            found[crossbars] = execute_on(network, known(), crossbars)
        return found[crossbars]

    return accuracy


def execute_on(network: LoadedNetwork, known: LabelledImages | None, crossbars: Arch) -> float:
    """Top-1 accuracy in percent on the images that are known, or the outputs' signal to noise in dB on random ones.

    A plain program for as many cores as the network takes is executed as `pimdse verify --integer` does. Others round
    their partial sums elsewhere, which moves the accuracy by a fraction of a percent.
    """
    arch = replace(crossbars, cores=cores_needed(group_sizes(network.graph, crossbars), crossbars.crossbars_per_core))
    compiled = compile_network(network.graph, arch, get_solver("balance"))
    with tempfile.TemporaryDirectory(prefix="pimdse-") as name:
        folder = Path(name) / "program"
        emit(compiled, folder)
        report = verify_integer(
            folder, network, arch=arch,
            images=known.images if known else 1,
            labels=known.labels if known else None,
            calibration=known.calibration if known else None,
        )  # fmt: skip
    if not report.images:
        raise InvariantError(report.reason)
    return report.sqnr_db if report.accuracy is None else 100 * report.accuracy
