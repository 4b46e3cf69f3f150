"""What would make a network fit a chip: every lever is computed by partitioning and packing for the changed chip.

All of it is about the smallest plan: one replica of every layer, one window per MVM.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from pimcomp.errors import CapacityError, ConfigError
from pimcomp.ir.arch import MAX_CHIPS, Arch
from pimcomp.ir.arch_rules import MAX_CORES
from pimcomp.ir.array_group import Unfolding
from pimcomp.ir.graph import Graph, IntArray
from pimcomp.plan.cores_needed import cores_needed
from pimcomp.plan.partition import unfold

LOWER_WEIGHT_BITS = (8, 4)
HIGHER_CELL_BITS = (2, 4, 8)  # more levels per cell than 256 have not been built
MAX_CROSSBARS_PER_CORE = 1 << 20


def capacity_levers(graph: Graph, arch: Arch) -> tuple[str, ...]:
    """Changes of the chip or its numbers, each enough by itself, as "field: value"; empty if none was found.

    More chips; more cores on each; fewer weight bits, alone or else with the chips they still need; more bits per cell.
    More crossbars per core only where copies of the chip cannot be had, or where crossbars suffice and array groups are
    what is too large for the cores.
    """
    chips = _smallest_chips(graph, arch)
    levers = [f"chips: {chips}"] if chips is not None else []
    cores = _smallest_cores(graph, arch)
    levers += [f"cores: {cores}"] if cores is not None else []
    levers += _weight_bits(graph, arch, chips)
    for cell_bits in HIGHER_CELL_BITS:
        changed = _changed(arch, cell_bits=cell_bits) if arch.cell_bits < cell_bits <= arch.weight_bits else None
        if changed is not None and fits(graph, changed):
            levers.append(f"cell_bits: {cell_bits}")
            break
    if chips is None or group_sizes(graph, arch).sum() <= arch.crossbars:
        crossbars = _smallest_crossbars_per_core(graph, arch)
        levers += [f"crossbars_per_core: {crossbars}"] if crossbars is not None else []
    return tuple(levers)


def fits(graph: Graph, arch: Arch) -> bool:
    """Whether first fit or best fit packs the smallest plan."""
    return cores_needed(group_sizes(graph, arch), arch.crossbars_per_core) <= arch.total_cores


def group_sizes(graph: Graph, arch: Arch) -> IntArray:
    """int32[array groups]: crossbars of every array group of the smallest plan, in layer order."""
    plain = (unfold(graph, node, arch, Unfolding(1)) for node in graph.weighted())
    return np.array([group.crossbars for matrix in plain for group in matrix.groups], dtype=np.int32)


def _changed(arch: Arch, **fields: int) -> Arch | None:
    """The chip with other values, or None if there can be no such chip (its network file is for one size)."""
    try:
        return dataclasses.replace(arch, **fields)  # type: ignore[arg-type]
    except ConfigError:
        return None


def _smallest_chips(graph: Graph, arch: Arch) -> int | None:
    """The fewest copies of the chip that hold the network; None where no configuration file could ask for them."""
    cores = cores_needed(group_sizes(graph, arch), arch.crossbars_per_core)
    chips = max(1, -(-cores // arch.cores))
    if chips > MAX_CHIPS or chips * arch.cores > MAX_CORES:
        return None
    changed = _changed(arch, chips=chips)
    return chips if changed is not None and fits(graph, changed) else None


def _smallest_cores(graph: Graph, arch: Arch) -> int | None:
    """The fewest cores per chip that hold the network; None where no configuration file could ask for them."""
    needed = cores_needed(group_sizes(graph, arch), arch.crossbars_per_core)
    cores = -(-needed // arch.chips)
    if cores <= arch.cores or cores * arch.chips > MAX_CORES:
        return None
    changed = _changed(arch, cores=cores)
    return cores if changed is not None and fits(graph, changed) else None


def _weight_bits(graph: Graph, arch: Arch, chips: int | None) -> list[str]:
    """The most weight bits that fit alone; else the most that fit with fewer chips than the present ones need."""
    lower = [bits for bits in LOWER_WEIGHT_BITS if bits < arch.weight_bits]
    with_chips = []
    for bits in lower:
        changed = dataclasses.replace(arch, weight_bits=bits)
        if fits(graph, changed):
            return [f"weight_bits: {bits}"]
        fewer = _smallest_chips(graph, changed)
        if fewer is not None and (chips is None or fewer < chips):
            with_chips.append(f"weight_bits: {bits} with chips: {fewer}")
    return with_chips[:1]


def _smallest_crossbars_per_core(graph: Graph, arch: Arch) -> int | None:
    """The fewest crossbars per core that hold the network, by bisection over sizes above the present one."""
    low, high = arch.crossbars_per_core, max(arch.crossbars_per_core, 1)

    def enough(crossbars: int) -> bool:
        # column cuts depend on the size of a core, so every size is partitioned anew
        return fits(graph, dataclasses.replace(arch, crossbars_per_core=crossbars))

    while not enough(high):
        low, high = high, 2 * high
        if high > MAX_CROSSBARS_PER_CORE:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


Levers = Callable[[Graph, Arch], tuple[str, ...]]


def shortage(
    graph: Graph, arch: Arch, crossbars: int, sizes: IntArray, reason: str, levers: Levers = capacity_levers
) -> CapacityError:
    """The error for a network that no plan was found for.

    crossbars: what the smallest plan takes. sizes: crossbars of the array groups of a plan without blocks. reason: what
    the solver said, for the case that the network does fit.
    """
    where = f"{graph.name} on {arch.name}"
    if crossbars > arch.crossbars:
        return CapacityError("crossbars", crossbars, arch.crossbars, levers(graph, arch), where)
    cores = cores_needed(sizes, arch.crossbars_per_core)
    if cores > arch.total_cores:
        resource = f"cores of {arch.crossbars_per_core} crossbars (best fit of {len(sizes)} indivisible array groups)"
        return CapacityError(resource, cores, arch.total_cores, levers(graph, arch), where)
    return CapacityError(
        f"crossbars, enough, but this solver found no plan ({reason})",
        crossbars, arch.crossbars, ("a solver that packs it: balance",), where,
    )  # fmt: skip
