"""The chip of one candidate: the published chip with the point's values, and what follows from them."""

import dataclasses

from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.precision import Precision
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.precision import ALL, check_bits, with_precision
from spaces.space import AUTO, CHIP, CROSSBAR_SIZE, OPTION_NAMES, OPTIONS, PRECISION, Parameters, Scalar, Sweep


def chip_of(sweep: Sweep, parameters: Parameters) -> Arch:
    """The chip of a point: the published chip it starts from, with the point's values.

    Raises ConfigError for a combination that is no chip.
    """
    given = dict(parameters)
    base = {chip.name: chip for chip in (sweep.arch, *sweep.other_chips)}[str(given.get(CHIP, sweep.arch.name))]
    arch = apply(base, tuple((n, v) for n, v in parameters if n not in (CHIP, PRECISION, *OPTION_NAMES)))
    for layer, bits in precision_of(sweep, parameters).items():
        check_bits(f"{_named(parameters)}: {layer}", bits, arch)
    return arch


def options_of(parameters: Parameters) -> ScheduleOptions:
    """The compile options of a point."""
    given = {name: value for name, value in parameters if name in OPTION_NAMES}
    return dataclasses.replace(OPTIONS, **given)  # type: ignore[arg-type]


def precision_of(sweep: Sweep, parameters: Parameters) -> dict[str, Precision]:
    """Bits by layer: a point's precision is a number, of the weights of all, or a file."""
    chosen = dict(parameters).get(PRECISION)
    return {ALL: Precision(chosen)} if isinstance(chosen, int) else dict(dict(sweep.precisions).get(str(chosen), ()))


def at_precision(sweep: Sweep, network: LoadedNetwork, parameters: Parameters, arch: Arch) -> LoadedNetwork:
    """A network with the precision of a point. Raises ConfigError where the network, or the chip, cannot have it."""
    graph = with_precision(network.graph, precision_of(sweep, parameters), arch, _named(parameters))
    return dataclasses.replace(network, graph=graph)


def _named(parameters: Parameters) -> str:
    return f"precision {dict(parameters).get(PRECISION)}"


def apply(arch: Arch, parameters: tuple[tuple[str, Scalar], ...]) -> Arch:
    """`arch` with the given parameters; its powers, energies, areas and mesh follow them, as `Arch` says.

    Two things more follow unless they are parameters themselves: a chip with one DAC per crossbar row keeps that, and
    one whose partial sums are as wide as its activations.

    Raises ConfigError for a combination that is no chip (more ADCs than columns, for example).
    """
    given = dict(parameters)
    if (size := given.pop(CROSSBAR_SIZE, None)) is not None:
        given |= {"crossbar_rows": size, "crossbar_cols": size}
    if given.get("adc_bits") == AUTO:
        given["adc_bits"] = 0
    changed = {name: value for name, value in given.items() if getattr(arch, name) != value}
    if not changed:
        return arch
    if "crossbar_rows" in changed and "dac_count" not in given and arch.dac_count == arch.crossbar_rows:
        changed["dac_count"] = changed["crossbar_rows"]
    if "activation_bits" in changed and arch.psum_bits == arch.activation_bits:
        changed["psum_bits"] = changed["activation_bits"]
    label = ",".join(f"{name}={value}" for name, value in parameters)
    return dataclasses.replace(arch, name=f"{arch.name}[{label}]", **changed)  # type: ignore[arg-type]
