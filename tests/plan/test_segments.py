"""Cuts are the cheapest of all, and segments executed in order compute what the whole network computes."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.ir.graph import Graph, Input, Node, Output, Softmax, Standalone, View, whole
from pimcomp.plan.segments import Span, cheapest_cuts, cheapest_of_bounded, cut, cut_candidates
from tests.graph_oracle import evaluate, random_inputs
from tests.schedule.random_networks import random_network


@given(st.data())
def test_the_shortest_path_is_the_least_of_all_sets_of_cuts(data: st.DataObject) -> None:
    """Prices are whole numbers, so that sums are equal in any order; what fits is what is short enough."""
    last = data.draw(st.integers(1, 6))
    candidates = [0, *sorted(data.draw(st.sets(st.integers(1, 20), min_size=last, max_size=last)))]
    pairs = list(combinations(candidates, 2))
    prices = {pair: data.draw(st.sampled_from([*map(float, range(9)), np.inf])) for pair in pairs}
    longest = data.draw(st.integers(1, last))

    def price(first: int, stop: int) -> float | None:
        fits = candidates.index(stop) - candidates.index(first) <= longest
        return prices[first, stop] if fits else None

    def total(positions: Sequence[int]) -> float:
        found = [price(*pair) for pair in pairwise(positions)]
        return np.inf if None in found else sum(p for p in found if p is not None)

    every = [
        (0, *inside, candidates[-1])
        for count in range(len(candidates) - 1)
        for inside in combinations(candidates[1:-1], count)
    ]
    least = min(map(total, every))
    found = cheapest_cuts(candidates, price)
    assert (found is None) == (least == np.inf)
    if found is not None:
        assert (total(found.positions), found.price) == (least, least)
    # the same of bounds, and asked for where they do not say enough
    below = {pair: data.draw(st.sampled_from([0.0, 0.5, 1.0])) for pair in pairs}
    times = {pair: 0.0 if cost == np.inf else cost for pair, cost in prices.items()}
    assert cheapest_of_bounded(candidates, lambda *pair: times[pair] * below[pair], price) == found
    guessed = cheapest_of_bounded(candidates, lambda *pair: times[pair] * below[pair], price, proven=False)
    assert (guessed is None) == (found is None)
    if guessed is not None:
        assert total(guessed.positions) == guessed.price


def test_far_fewer_prices_are_asked_for_than_there_are() -> None:
    """Bounds of half the price, a length that is best: guesses find it."""
    asked = set[Span]()

    def bound(first: int, stop: int) -> float:
        return 50.0 + (stop - first - 12) ** 2 / 2

    def price(first: int, stop: int) -> float:
        asked.add((first, stop))
        return 2 * bound(first, stop)

    found = cheapest_of_bounded(range(121), bound, price, proven=False)
    assert found == cheapest_cuts(range(121), lambda *span: 2 * bound(*span))
    assert len(asked) < 1000 < 120 * 121 / 2


def in_order(graph: Graph, positions: Sequence[int]) -> tuple[Graph, ...]:
    """The segments, after their outputs were compared with the whole network's."""
    inputs = {name: images[0] for name, images in random_inputs(graph, 1, 0).items()}
    expected = evaluate(graph, inputs)[1]
    parts = cut(graph, positions)
    maps = dict(inputs)
    for part in parts:
        check_graph(part)
        wanted = {node.name for node in part.nodes if isinstance(node.operation, Input)}
        found = evaluate(part, {name: maps[name] for name in wanted})[1]
        assert not found.keys() & maps.keys()
        maps |= {name: values if name in expected else values[0] for name, values in found.items()}
    for name, values in expected.items():
        np.testing.assert_allclose(maps[name], values, rtol=1e-9, atol=1e-12)
    return parts


@pytest.mark.parametrize("seed", range(40))
def test_any_cuts_of_a_random_network_leave_what_it_computes(seed: int) -> None:
    """Views across a cut, outputs inside a segment, inputs that are read late: random networks have them all."""
    graph = random_network(seed)
    rng = np.random.default_rng(seed)
    computed = [i for i, node in enumerate(graph.nodes) if not isinstance(node.operation, Input)]
    inside = [i for i in computed[1:] if rng.random() < 0.5]
    in_order(graph, (0, *inside, len(graph.nodes)))


def _relu(name: str, source: View) -> Node:
    return Node(name=name, operation=Standalone(), inputs=(source,), channels=len(source.sources), height=1, width=1)


def test_names_that_are_taken_and_an_output_of_maps_on_both_sides() -> None:
    """The network's output "a" is not its node "a"; it shows channels of a map of either segment, the input's and the
    first one's through the cut."""
    start = Node(name="x", operation=Input((1, 2, 1, 1)), inputs=(), channels=2, height=1, width=1)
    nodes = (start, _relu("a", whole(0, 2)), _relu("b", whole(1, 2)))
    mixed = View(np.array([2, 1, 0], np.int32), np.array([0, 1, 1], np.int32))
    outputs = (
        Output(name="a", view=mixed, onnx_shape=(1, 3, 1, 1)),
        Output(name="early", view=whole(1, 2), onnx_shape=(1, 2)),
    )
    first, second = in_order(Graph(name="names", nodes=nodes, outputs=outputs), (0, 2, 3))
    assert [output.name for output in first.outputs] == ["a'", "early"]
    assert [node.name for node in second.nodes] == ["x", "a'", "b"]
    assert (first.name, second.name) == ("names-00", "names-01")


def test_a_softmax_is_not_where_a_segment_ends() -> None:
    graph = next(g for g in map(random_network, range(100)) if len(g.weighted()) > 2)
    assert cut_candidates(graph) == (0, *graph.weighted()[1:], len(graph.nodes))
    last = graph.weighted()[-1]
    crossing = min(last - 1, graph.nodes[last].inputs[0].nodes[-1])
    nodes = [n if i != crossing else Node(
        name=n.name, operation=Softmax(), inputs=(whole(0, 1),), channels=n.channels, height=n.height, width=n.width
    ) for i, n in enumerate(graph.nodes)]  # fmt: skip
    changed = Graph(name="softmax", nodes=tuple(nodes), outputs=graph.outputs)
    assert last not in cut_candidates(changed)
