"""Bits of the weights of single layers, as a choice of the compile."""

from collections.abc import Mapping
from dataclasses import replace

from pimcomp.errors import ConfigError, check_name
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph
from pimcomp.plan.partition import conv_of

LEAST_BITS = 2


def check_weight_bits(where: str, bits: int, arch: Arch) -> None:
    """Raise ConfigError, naming `where`, for bits of weights that no layer on the chip can have."""
    if not LEAST_BITS <= bits <= arch.weight_bits:
        expected = f"an integer from {LEAST_BITS} to {arch.weight_bits} ({arch.name}: weight_bits)"
        raise ConfigError(where, f"expected {expected}, found {bits}")


def with_precision(graph: Graph, weight_bits: Mapping[str, int], arch: Arch, where: str = "precision") -> Graph:
    """The graph whose named layers have weights of so many bits; all others have the chip's.

    where: the file, for messages. Raises ConfigError for a layer that the network lacks, and for more bits than the
    chip's, for which its figures are no bounds.
    """
    if not weight_bits:
        return graph
    layers, nodes = {graph.nodes[index].name: index for index in graph.weighted()}, list(graph.nodes)
    for name, bits in weight_bits.items():
        check_name(where, name, layers)
        check_weight_bits(f"{where}: {name}.weight_bits", bits, arch)
        node = nodes[layers[name]]
        nodes[layers[name]] = replace(node, operation=replace(conv_of(node), weight_bits=bits))
    return replace(graph, nodes=tuple(nodes))
