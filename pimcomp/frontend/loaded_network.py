"""What loading a network gives: the Graph, and the ONNX model that is its reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pimcomp.ir.brief import brief
from pimcomp.ir.graph import Graph


@brief
@dataclass(frozen=True, slots=True, eq=False)
class LoadedNetwork:
    """A network ready to compile. `source` is the file (or shipped name) it came from.

    onnx_bytes() serialises the reference model that ONNX Runtime executes: batch 1, weights inside. It is a call
    because large networks need as much memory again. parts: of several networks as one, each with what its names begin
    with; then they have the models, and this none.
    """

    graph: Graph
    onnx_bytes: Callable[[], bytes]
    source: str
    parts: "tuple[tuple[str, LoadedNetwork], ...]" = ()


@brief
@dataclass(frozen=True, slots=True, eq=False)
class HostPart:
    """Nodes of a network that ONNX Runtime computes on the host, as a model of their own.

    nodes: name and operator of each. inputs, outputs: bytes of one image's tensors; None: it depends on the data.
    """

    nodes: tuple[tuple[str, str], ...]
    inputs: Mapping[str, int | None]
    outputs: Mapping[str, int | None]
    onnx_bytes: Callable[[], bytes]
