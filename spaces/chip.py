"""The chip of one candidate: the published chip with the point's values, and what follows from them."""

import dataclasses
import math

from pimcomp.errors import ConfigError
from pimcomp.ir.arch import Arch
from pimcomp.ir.schedule_options import ScheduleOptions
from spaces.space import CHIP, CROSSBAR_SIZE, OPTION_NAMES, OPTIONS, Parameters, Scalar, Sweep


def chip_of(sweep: Sweep, parameters: Parameters) -> Arch:
    """The chip of a point: the published chip it starts from, with the point's values.

    Raises ConfigError for a combination that is no chip.
    """
    given = dict(parameters)
    base = {chip.name: chip for chip in (sweep.arch, *sweep.other_chips)}[str(given.get(CHIP, sweep.arch.name))]
    return apply(base, tuple((n, v) for n, v in parameters if n != CHIP and n not in OPTION_NAMES))


def options_of(parameters: Parameters) -> ScheduleOptions:
    """The compile options of a point."""
    given = {name: value for name, value in parameters if name in OPTION_NAMES}
    return dataclasses.replace(OPTIONS, **given)  # type: ignore[arg-type]


def apply(arch: Arch, parameters: tuple[tuple[str, Scalar], ...]) -> Arch:
    """`arch` with the given parameters.

    Two things follow the parameters unless they are parameters themselves: a chip with one DAC per crossbar row keeps
    that, and a changed core count gets the most square mesh that holds it (the published layout fits only the published
    count). A changed core no longer has the published core's area, so the area becomes unknown (0).

    Raises ConfigError for a combination that is no chip (more ADCs than columns, for example).
    """
    given = dict(parameters)
    if (size := given.pop(CROSSBAR_SIZE, None)) is not None:
        given |= {"crossbar_rows": size, "crossbar_cols": size}
    changed = {name: value for name, value in given.items() if getattr(arch, name) != value}
    if not changed:
        return arch
    if "crossbar_rows" in changed and "dac_count" not in given and arch.dac_count == arch.crossbar_rows:
        changed["dac_count"] = changed["crossbar_rows"]
    if "cores" in changed and "mesh_rows" not in given:
        changed["mesh_rows"] = math.isqrt(int(changed["cores"]))
    if changed.keys() & CORE_AREA and "core_area_mm2" not in given:
        changed |= {"core_area_mm2": 0.0, "chip_area_mm2": 0.0}
    label = ",".join(f"{name}={value}" for name, value in parameters)
    chip = dataclasses.replace(arch, name=f"{arch.name}[{label}]", **changed)  # type: ignore[arg-type]
    _check(chip)
    return chip


# What a core is made of: with another value the published core area does not hold.
CORE_AREA = frozenset(
    [
        *("crossbars_per_core", "crossbar_rows", "crossbar_cols", "cell_bits"),
        *("dac_bits", "dac_count", "adc_bits", "adc_count", "vector_width"),
        *("local_memory_bytes", "local_width_bytes", "bus_width_bytes"),
    ]
)


def _check(chip: Arch) -> None:
    """Raise ConfigError where the simulator's formulas (which divide rounding down) would make work vanish."""
    for part, whole in (
        ("adc_count", "crossbar_cols"),
        ("dac_count", "crossbar_rows"),
        ("dac_bits", "activation_bits"),
    ):
        value, limit = getattr(chip, part), getattr(chip, whole)
        if limit % value:
            raise ConfigError(f"{chip.name}.{part}", f"expected a divisor of {whole} = {limit}, found {value}")
