"""Bits of the weights of single layers, as a choice of the compile."""

from collections.abc import Mapping
from dataclasses import replace

from pimcomp.errors import ConfigError, check_name
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph
from pimcomp.plan.partition import conv_of

LEAST_BITS = 2
ALL = "*"  # in place of a layer's name: every layer that is not named


def check_weight_bits(where: str, bits: int, arch: Arch) -> None:
    """Raise ConfigError, naming `where`, for bits of weights that no layer on the chip can have."""
    if not LEAST_BITS <= bits <= arch.weight_bits:
        expected = f"an integer from {LEAST_BITS} to {arch.weight_bits} ({arch.name}: weight_bits)"
        raise ConfigError(where, f"expected {expected}, found {bits}")


def check_layers(where: str, weight_bits: Mapping[str, int], graph: Graph) -> dict[str, int]:
    """The graph's layers by name. Raises ConfigError, naming `where`, where others than these, or ALL, have bits."""
    layers = {graph.nodes[index].name: index for index in graph.weighted()}
    for name in weight_bits:
        check_name(where, name, (*layers, ALL))
    return layers


def with_precision(graph: Graph, weight_bits: Mapping[str, int], arch: Arch, where: str = "precision") -> Graph:
    """The graph whose named layers have weights of so many bits; all others have the chip's, or those of ALL.

    where: the file, for messages. Raises ConfigError for a layer that the network lacks, and for more bits than the
    chip's, for which its figures are no bounds.
    """
    if not weight_bits:
        return graph
    layers, nodes = check_layers(where, weight_bits, graph), list(graph.nodes)
    for name, bits in weight_bits.items():
        check_weight_bits(f"{where}: {name}.weight_bits", bits, arch)
    for name, index in layers.items():
        if (own := weight_bits.get(name, weight_bits.get(ALL))) is not None:
            nodes[index] = replace(nodes[index], operation=replace(conv_of(nodes[index]), weight_bits=own))
    return replace(graph, nodes=tuple(nodes))
