"""A network cut into segments: graphs that follow each other, so that one chip computes them one after the other.

The nodes keep their order; a cut before node p parts those below p from the others. Every segment is a Graph of its
own. A map that is read behind the cut is an output of the segment that computes it and an input, channels first, of
every segment that reads it: of the channels from the first to the last that it reads. A network input is an input of
every segment that reads it, as it was; a network output is one of the segment that computes the last map that it shows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pimcomp.ir.graph import Fixed, Graph, Input, Loaded, Node, Output, Softmax, View

Span = tuple[int, int]  # the first, and the one behind the last


HOPE = 0.9  # of a price that is guessed: what seems a tenth dearer than the cheapest is asked for as well,
ASKED = 4  # until so many times the candidates have been asked for


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


def cheapest_of_bounded(
    candidates: Sequence[int],
    bound: Callable[[int, int], float | None],
    price: Callable[[int, int], float | None],
    *,
    proven: bool = True,
) -> Cuts | None:
    """The same cuts as `cheapest_cuts`, for prices that take long: only those of segments are asked that lie on a
    cheapest path while bounds stand for all others.

    bound(first, stop): never above the price; None where a segment cannot fit. proven: or else a bound times what the
    nearest segment's price is of its bound stands for the others; that asks for far fewer, and may miss the cheapest.
    To begin with it asks for segments of 1, 2, 4 and so on layers, half of one apart.
    Source: lazy shortest paths, Dellin and Srinivasa 2016.
    """
    known: dict[Span, float | None] = {}
    spans, ratios = np.zeros((0, 2), np.int64), np.zeros(0)
    last = len(candidates) - 1
    lengths = [] if proven else [2**k for k in range(last.bit_length())]
    asked = [
        (candidates[at], candidates[min(at + length, last)])
        for length in lengths
        for at in range(0, last, max(1, length // 2))
    ]

    def believed(first: int, stop: int) -> float | None:
        if (first, stop) in known:
            return known[first, stop]
        least = bound(first, stop)
        if proven or least is None or not len(spans):
            return least
        hope = min(1.0, HOPE + (1 - HOPE) * len(known) / (ASKED * len(candidates)))
        return hope * least * float(ratios[np.abs(spans - (first, stop)).sum(axis=1).argmin()])

    while True:
        known |= {span: price(*span) for span in asked if bound(*span) is not None}
        pairs = [(span, cost / least) for span, cost in known.items() if cost is not None and (least := bound(*span))]
        spans = np.array([span for span, _ in pairs], np.int64).reshape(-1, 2)
        ratios = np.array([ratio for _, ratio in pairs])
        cuts = cheapest_cuts(candidates, believed)
        asked = [span for span in pairwise(cuts.positions) if span not in known] if cuts is not None else []
        if not asked:
            return cuts


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


def unused(name: str, taken: Collection[str]) -> str:
    """A name, with primes where it is taken."""
    while name in taken:
        name += "'"
    return name


def map_name(graph: Graph, node: int, span: Span | None = None) -> str:
    """What a map that crosses a cut, or a span of its channels, is called: as its node, or with primes."""
    taken = {output.name for output in graph.outputs} | {n.name for i, n in enumerate(graph.nodes) if i != node}
    size = graph.nodes[node].channels
    channels = f"[{span[0]}:{span[1]}]" if span is not None and span != (0, size) else ""
    return unused(graph.nodes[node].name + channels, taken)


def cut(graph: Graph, positions: Sequence[int]) -> tuple[Graph, ...]:
    """The segments between successive positions, named NAME-00, NAME-01 and so on."""
    pairs = list(pairwise(positions))
    read: dict[int, set[Span]] = {}
    for pair in pairs:
        for source, span in _entering(graph, *pair).items():
            read.setdefault(source, set()).add(span)
    digits = max(2, len(str(len(pairs) - 1)))
    return tuple(
        replace(segment(graph, *pair, read), name=f"{graph.name}-{k:0{digits}d}") for k, pair in enumerate(pairs)
    )


def segment(graph: Graph, first: int, stop: int, read: Mapping[int, Collection[Span]] | None = None) -> Graph:
    """The graph of nodes [first, stop).

    read: of every map that crosses a cut the spans that are read behind one; None: all of what is read behind `stop`.
    """
    own = _own(graph, first, stop)
    entering = _entering(graph, first, stop)
    number = np.full(len(graph.nodes), -1, np.int32)
    number[[*entering, *own]] = np.arange(len(entering) + len(own))
    begin = np.zeros(len(graph.nodes), np.int32)
    begin[list(entering)] = [span[0] for span in entering.values()]

    def renumbered(view: View) -> View:
        return View(number[view.sources], view.channels - begin[view.sources])

    def moved(index: int) -> Node:
        node = graph.nodes[index]
        return replace(node, inputs=tuple(renumbered(view) for view in node.inputs))

    if read is None:
        readers = graph.readers()
        read = {i: ((0, graph.nodes[i].channels),) for i in own if _read_behind(graph, readers[i], stop)}
    outputs = [replace(output, view=renumbered(output.view)) for output in _outputs(graph, first, stop)]
    leaving = [_as_output(graph, i, int(number[i]), span) for i in own for span in sorted(read.get(i, ()))]
    return replace(
        graph,
        nodes=(*(_as_input(graph, i, span) for i, span in entering.items()), *(moved(i) for i in own)),
        outputs=(*leaving, *outputs),
    )


def _own(graph: Graph, first: int, stop: int) -> list[int]:
    return [i for i in range(first, stop) if not isinstance(graph.nodes[i].operation, Loaded)]


def _outputs(graph: Graph, first: int, stop: int) -> list[Output]:
    return [output for output in graph.outputs if first <= _home(graph, output) < stop]


def _entering(graph: Graph, first: int, stop: int) -> dict[int, Span]:
    """What a segment reads of others and of the network's inputs, ascending, and which channels; of inputs all."""
    own = _own(graph, first, stop)
    views = [view for i in own for view in graph.nodes[i].inputs]
    views += [output.view for output in _outputs(graph, first, stop)]
    found: dict[int, Span] = {}
    for view in views:
        for source in set(view.nodes).difference(own):
            channels = view.channels[view.sources == source]
            low, high = found.get(source, (np.iinfo(np.int32).max, 0))
            found[source] = min(low, int(channels.min())), max(high, int(channels.max()) + 1)
    for source in found:
        if isinstance(graph.nodes[source].operation, Loaded):
            found[source] = 0, graph.nodes[source].channels
    return dict(sorted(found.items()))


def waiting_bytes(graph: Graph, first: int, stop: int, element_bytes: int) -> int:
    """Bytes per image of the maps that lie in memory while segment [first, stop) runs: what it or a later one reads of
    those before it, and what later ones read of its own. Network inputs count until they are read."""
    before = _entering(graph, first, len(graph.nodes))
    own = {i: span for i, span in _entering(graph, stop, len(graph.nodes)).items() if i >= first}
    sizes = [(graph.nodes[i], high - low) for i, (low, high) in (before | own).items()]
    kept = [n.height * n.width * channels for n, channels in sizes if not isinstance(n.operation, Fixed)]
    return element_bytes * sum(kept)


def entering_bytes(graph: Graph, first: int, stop: int, element_bytes: int) -> int:
    """Bytes per image of what segment [first, stop) reads of others; network inputs do not count."""
    entering = _entering(graph, first, stop)
    maps = [(graph.nodes[i], high - low) for i, (low, high) in entering.items()]
    return element_bytes * sum(n.height * n.width * size for n, size in maps if not isinstance(n.operation, Loaded))


def _home(graph: Graph, output: Output) -> int:
    """The node whose segment gives an output: the last computed one that it shows; of inputs alone, the first."""
    computed = [i for i in output.view.nodes if not isinstance(graph.nodes[i].operation, Loaded)]
    return max(computed, default=0)


def _read_behind(graph: Graph, readers: set[int], stop: int) -> bool:
    """Whether one of them, network output k being -1 - k, is computed at `stop` or later."""
    return any((reader if reader >= 0 else _home(graph, graph.outputs[-1 - reader])) >= stop for reader in readers)


def _as_input(graph: Graph, index: int, span: Span) -> Node:
    node = graph.nodes[index]
    if isinstance(node.operation, Loaded):
        return node
    shape = (1, span[1] - span[0], node.height, node.width)
    name = map_name(graph, index, span)
    return replace(node, name=name, operation=Input(shape), inputs=(), channels=shape[1], activation=None)


def _as_output(graph: Graph, index: int, number: int, span: Span) -> Output:
    node = graph.nodes[index]
    channels = np.arange(*span, dtype=np.int32)
    shape = (1, len(channels), node.height, node.width)
    view = View(np.full(len(channels), number, np.int32), channels)
    return Output(name=map_name(graph, index, span), view=view, onnx_shape=shape)
