"""A network cut into segments: graphs that follow each other, so that one chip computes them one after the other.

The nodes keep their order; a cut before node p parts those below p from the others. Every segment is a Graph of its
own. A map that is read behind the cut is an output of the segment that computes it and an input, whole and channels
first, of every segment that reads it; a network input is an input of every segment that reads it, as it was; a network
output is one of the segment that computes the last map that it shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pimcomp.ir.graph import Graph, Input, Node, Output, Softmax, View, whole


class Cuts(NamedTuple):
    """Where to cut, and what the segments cost together. positions: ascending, the first and the last included."""

    positions: tuple[int, ...]
    price: float


def cheapest_cuts(candidates: Sequence[int], price: Callable[[int, int], float | None]) -> Cuts | None:
    """The cuts with the least sum of prices, of all sets of candidates: a shortest path; None if there are none.

    candidates: positions, ascending; the first and the last are always cuts. price(first, stop): of one segment, at
    least 0, infinite if there can be none; None if it does not fit, and then no longer one from `first` is asked for.
    Of equal sums, the one whose last segment begins first.
    """
    best = [0.0] + [np.inf] * (len(candidates) - 1)
    before = [-1] * len(candidates)
    for start, first in enumerate(candidates):
        if not np.isfinite(best[start]):
            continue
        for stop in range(start + 1, len(candidates)):
            cost = price(first, candidates[stop])
            if cost is None:
                break
            if best[start] + cost < best[stop]:
                best[stop], before[stop] = best[start] + cost, start
    if not np.isfinite(best[-1]):
        return None
    path = [len(candidates) - 1]
    while path[-1]:
        path.append(before[path[-1]])
    return Cuts(tuple(candidates[at] for at in reversed(path)), best[-1])


def cut_candidates(graph: Graph) -> tuple[int, ...]:
    """Before every layer on crossbars but the first, and both ends: what lies between two layers goes with the former.

    Not where the softmax of a map would end a segment: an importer leaves that to the host.
    """
    readers = graph.readers()
    ends = [i for i, node in enumerate(graph.nodes) if isinstance(node.operation, Softmax)]

    def crosses(position: int) -> bool:
        return any(i < position <= max(readers[i], default=-1) for i in ends)

    inside = [position for position in graph.weighted()[1:] if not crosses(position)]
    return (0, *inside, len(graph.nodes))


def map_name(graph: Graph, node: int) -> str:
    """What a map that crosses a cut is called: as its node, with primes where anything else is called so."""
    taken = {output.name for output in graph.outputs} | {n.name for i, n in enumerate(graph.nodes) if i != node}
    name = graph.nodes[node].name
    while name in taken:
        name += "'"
    return name


def cut(graph: Graph, positions: Sequence[int]) -> tuple[Graph, ...]:
    """The segments between successive positions, named NAME-00, NAME-01 and so on."""
    pairs = enumerate(pairwise(positions))
    return tuple(replace(segment(graph, *pair), name=f"{graph.name}-{k:02d}") for k, pair in pairs)


def segment(graph: Graph, first: int, stop: int) -> Graph:
    """The graph of nodes [first, stop)."""
    own = [i for i in range(first, stop) if not isinstance(graph.nodes[i].operation, Input)]
    outputs = [output for output in graph.outputs if first <= _home(graph, output) < stop]
    views = [view for i in own for view in graph.nodes[i].inputs] + [output.view for output in outputs]
    entering = sorted({source for view in views for source in view.nodes} - set(own))
    number = np.full(len(graph.nodes), -1, np.int32)
    number[entering + own] = np.arange(len(entering) + len(own))

    def renumbered(view: View) -> View:
        return View(number[view.sources], view.channels)

    def moved(index: int) -> Node:
        node = graph.nodes[index]
        return replace(node, inputs=tuple(renumbered(view) for view in node.inputs))

    readers = graph.readers()
    leaving = [i for i in own if _read_behind(graph, readers[i], stop)]
    crossing = [_as_output(graph, i, int(number[i])) for i in leaving]
    return replace(
        graph,
        nodes=(*(_as_input(graph, i) for i in entering), *(moved(i) for i in own)),
        outputs=(*crossing, *(replace(output, view=renumbered(output.view)) for output in outputs)),
    )


def _home(graph: Graph, output: Output) -> int:
    """The node whose segment gives an output: the last computed one that it shows; of inputs alone, the first."""
    computed = [i for i in output.view.nodes if not isinstance(graph.nodes[i].operation, Input)]
    return max(computed, default=0)


def _read_behind(graph: Graph, readers: set[int], stop: int) -> bool:
    """Whether one of them, network output k being -1 - k, is computed at `stop` or later."""
    return any((reader if reader >= 0 else _home(graph, graph.outputs[-1 - reader])) >= stop for reader in readers)


def _as_input(graph: Graph, index: int) -> Node:
    node = graph.nodes[index]
    if isinstance(node.operation, Input):
        return node
    shape = (1, node.channels, node.height, node.width)
    return replace(node, name=map_name(graph, index), operation=Input(shape), inputs=(), activation=None)


def _as_output(graph: Graph, index: int, number: int) -> Output:
    node = graph.nodes[index]
    shape = (1, node.channels, node.height, node.width)
    return Output(name=map_name(graph, index), view=whole(number, node.channels), onnx_shape=shape)
