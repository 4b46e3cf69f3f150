"""What loading a network gives: the Graph, and the ONNX model that is its reference."""

from collections.abc import Callable
from dataclasses import dataclass

from pimcomp.ir.brief import brief
from pimcomp.ir.graph import Graph


@brief
@dataclass(frozen=True, slots=True, eq=False)
class LoadedNetwork:
    """A network ready to compile. `source` is the file (or shipped name) it came from.

    onnx_bytes() serialises the reference model that ONNX Runtime executes: batch 1, weights inside. It is a call
    because large networks need as much memory again.
    """

    graph: Graph
    onnx_bytes: Callable[[], bytes]
    source: str
