"""Nodes get names of their own, whatever the file calls them."""

from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.ir.graph import Standalone


def named(*names: str) -> list[str]:
    builder = GraphBuilder()
    for name in names:
        builder.emit(name, Standalone(), (), (1, 1, 1))
    return [node.name for node in builder.nodes]


def test_nodes_of_one_name_are_numbered() -> None:
    assert named("a", "a.3", "a", "a", "b", "a") == ["a", "a.3", "a.2", "a.4", "b", "a.5"]


def test_ten_thousand_nodes_of_one_name_take_no_longer_than_others() -> None:
    # Trying all numbers from the first on would be fifty million look-ups.
    assert named(*["a"] * 10_000)[-1] == "a.10000"
