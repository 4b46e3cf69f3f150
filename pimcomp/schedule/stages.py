"""Which vector work over tokens is shared by cores, and which of it is waited for together."""

from typing import NamedTuple

from pimcomp.ir.graph import Graph, Node, Normalise, Product, Softmax, Standalone, Turn, Windowed, vector_passes
from pimcomp.plan.rewriting.heads import LONG

LONG_PASSES = 12  # of the vector unit over a pixel, for an activation of LONG


class Stage(NamedTuple):
    """Vector work over tokens that all heads have at the same time, numbered. members: how many nodes share the cores,
    0 where a few of them gather what all need. apart: all pieces go away from where the operands are.
    """

    number: int
    members: int
    apart: bool

    def pieces(self, used: int, gatherers: int) -> int:
        """Of a node, about; `used` cores are."""
        return max(1, used // self.members) if self.members else gatherers


def phases(graph: Graph) -> list[int]:
    """How many softmaxes are in front of every node, one behind the other: all cores wait there, so that they should
    have equal work in between."""
    phase: list[int] = []
    for node in graph.nodes:
        reached = max((phase[source] for view in node.inputs for source in view.nodes), default=0)
        phase.append(reached + isinstance(node.operation, Softmax))
    return phase


def stages(graph: Graph) -> dict[int, Stage]:
    """The stage of every node whose pixels are shared out: inner products, normalisations and activations of their own
    among all cores, what all of them need among a few. What reads a softmax stays where that is."""
    keys = {source for n in graph.nodes if isinstance(n.operation, Product) for source in n.inputs[1].nodes}
    depth: list[int] = []
    found: dict[tuple[int, str], list[int]] = {}
    for index, node in enumerate(graph.nodes):
        sources = [graph.nodes[source].operation for view in node.inputs for source in view.nodes]
        depth.append(1 + max((depth[source] for view in node.inputs for source in view.nodes), default=0))
        match node.operation:
            case Turn():
                found.setdefault((depth[index], "gather"), []).append(index)
            case Standalone() if index in keys:
                found.setdefault((depth[index], "gather"), []).append(index)
            case Product() if not any(isinstance(source, Softmax) for source in sources):
                found.setdefault((depth[index], "product"), []).append(index)
            case Normalise():
                found.setdefault((depth[index], "pixels"), []).append(index)
            case Standalone() if node.activation is not None and node.height == 1:
                found.setdefault((depth[index], "pixels"), []).append(index)
    return {
        index: Stage(number, 0 if kind == "gather" else len(members), kind != "pixels")
        for number, ((_, kind), members) in enumerate(found.items())
        for index in members
    }


def shared_work(node: Node) -> tuple[int, int]:
    """Vector instructions per pixel of a node that is shared out, about, and their elements."""
    if isinstance(node.operation, Windowed):
        return 2 * sum(node.operation.window.kernel), node.channels
    elements = len(node.inputs[0].channels) if isinstance(node.operation, Product) else node.channels
    long = node.activation is not None and node.activation.kind in LONG
    return vector_passes(node) + (LONG_PASSES - 1) * long, elements
