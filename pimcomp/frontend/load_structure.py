"""A network's structure in its own channel order, for writing it in another format.

`load_network` gives the Graph to compile, in which channels are sorted so that shuffles cost nothing; a format that
says "shuffle" needs them as the network has them.
"""

from pathlib import Path

from pimcomp.frontend.load_network import locate
from pimcomp.ir.graph import Graph


def load_structure(source: str | Path) -> Graph:
    """The network of a file or a shipped name as `load_network` reads it, channels unsorted; weights as in the file.

    Raises ModelError, UnsupportedOp or ConfigError with the file and what is wrong with it.
    """
    path = locate(source)
    if path.suffix.lower() == ".json":
        from pimcomp.frontend.node_list.load import read_pimcomp

        return read_pimcomp(path)
    from pimcomp.frontend.import_onnx import PASSES, in_real_numbers
    from pimcomp.frontend.lower.lower import lower
    from pimcomp.frontend.onnx.read import read_onnx
    from pimcomp.frontend.rewrite.sort_channels import sort_channels
    from pimcomp.frontend.rewrite.split_pools import split_pools

    model = read_onnx(path)
    in_real_numbers(model, path)
    graph = lower(model, path.stem, str(path))
    for run in PASSES:
        if run not in (sort_channels, split_pools):
            graph = run(graph)
    return graph
