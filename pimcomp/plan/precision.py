"""Bits of single layers' weights and activations, as a choice of the compile."""

from collections.abc import Mapping
from dataclasses import replace

from pimcomp.errors import ConfigError, check_name
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph
from pimcomp.ir.precision import Precision
from pimcomp.plan.partition import conv_of

LEAST_BITS = 2
ALL = "*"  # in place of a layer's name: every layer that is not named


def activation_bits_of(arch: Arch) -> range:
    """Bits that a layer's crossbars may read of its inputs: whole input slices; elements keep their bytes in memory."""
    least = max(LEAST_BITS, 8 * (arch.element_bytes - 1) + 1)
    return range(-(-least // arch.dac_bits) * arch.dac_bits, arch.activation_bits + 1, arch.dac_bits)


def check_weight_bits(where: str, bits: int, arch: Arch) -> None:
    """Raise ConfigError, naming `where`, for bits of weights that no layer on the chip can have."""
    _check(where, bits, range(LEAST_BITS, arch.weight_bits + 1), f"{arch.name}: weight_bits")


def check_bits(where: str, precision: Precision, arch: Arch) -> None:
    """The same for all bits of a layer."""
    if precision.weight_bits:
        check_weight_bits(f"{where}.weight_bits", precision.weight_bits, arch)
    if precision.activation_bits:
        what = f"{arch.name}: activation_bits, in memory always {8 * arch.element_bytes}"
        _check(f"{where}.activation_bits", precision.activation_bits, activation_bits_of(arch), what)


def _check(where: str, bits: int, allowed: range, what: str) -> None:
    if bits not in allowed:
        kind = "an integer" if allowed.step == 1 else f"a multiple of {allowed.step}"
        raise ConfigError(where, f"expected {kind} from {allowed.start} to {allowed[-1]} ({what}), found {bits}")


def check_layers(where: str, precision: Mapping[str, Precision], graph: Graph) -> dict[str, int]:
    """The graph's layers by name. Raises ConfigError, naming `where`, where others than these, or ALL, have bits."""
    layers = {graph.nodes[index].name: index for index in graph.weighted()}
    for name in precision:
        check_name(where, name, (*layers, ALL))
    return layers


def with_precision(graph: Graph, precision: Mapping[str, Precision], arch: Arch, where: str = "precision") -> Graph:
    """The graph whose named layers have so many bits; all others have the chip's, or those of ALL.

    where: the file, for messages. Raises ConfigError for a layer that the network lacks, and for more bits than the
    chip's, for which its figures are no bounds.
    """
    if not precision:
        return graph
    layers, nodes = check_layers(where, precision, graph), list(graph.nodes)
    for name, bits in precision.items():
        check_bits(f"{where}: {name}", bits, arch)
    for name, index in layers.items():
        if (own := precision.get(name, precision.get(ALL))) is not None:
            if own.activation_bits == arch.activation_bits:  # no `setbw` for that
                own = own._replace(activation_bits=0)
            nodes[index] = replace(nodes[index], operation=replace(conv_of(nodes[index]), precision=own))
    return replace(graph, nodes=tuple(nodes))
