"""Bits of the weights of single layers, as a choice of the compile."""

from collections.abc import Mapping
from dataclasses import replace

from pimcomp.errors import ConfigError, check_name
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Graph


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
        if not 2 <= bits <= arch.weight_bits:
            expected = f"an integer from 2 to {arch.weight_bits} ({arch.name}: weight_bits)"
            raise ConfigError(f"{where}: {name}.weight_bits", f"expected {expected}, found {bits}")
        node = nodes[layers[name]]
        assert isinstance(node.operation, Conv)
        nodes[layers[name]] = replace(node, operation=replace(node.operation, weight_bits=bits))
    return replace(graph, nodes=tuple(nodes))
