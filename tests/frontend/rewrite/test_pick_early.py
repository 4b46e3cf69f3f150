"""What is picked from a row of tokens is all that is computed, and the function stays."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pimcomp.frontend.rewrite.pick_early import pick_early
from pimcomp.ir.graph import Graph, Pick
from tests.frontend.small_onnx import agree, load
from tests.seeds import seeds
from tests.transformer import encoder

CHANNELS = 8


def classifier(tokens: list[int], *, blocks: int = 1, seed: int = 0) -> onnx.ModelProto:
    """Encoder blocks of which some tokens are the output."""
    model = encoder(5, CHANNELS, 2, blocks=blocks, seed=seed)
    model.graph.initializer.append(numpy_helper.from_array(np.array(tokens, np.int64), "chosen"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["y", "chosen"], ["z"], axis=1))
    shape = [1, len(tokens), CHANNELS]
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, shape))
    return model


def widths(graph: Graph) -> dict[str, int]:
    """Of the maps of an operation that come last, the least."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        kind = type(node.operation).__name__
        found[kind] = min(node.width, found.get(kind, node.width))
    return found


@pytest.mark.parametrize("seed", seeds(3, 10))
def test_the_function_stays(seed: int, tmp_path: Path) -> None:
    tokens = np.random.default_rng(seed).choice(5, 1 + seed % 3, replace=False).tolist()
    graph = agree(load(classifier(tokens, blocks=1 + seed % 2, seed=seed), tmp_path))
    assert widths(graph)["Product"] == widths(graph)["Softmax"] == len(tokens)


def test_the_last_block_is_computed_for_what_is_read_alone(tmp_path: Path) -> None:
    graph = load(classifier([0], blocks=2), tmp_path).graph
    narrow = [type(node.operation).__name__ for node in graph.nodes if node.width == 1]
    assert narrow.count("Product") == narrow.count("Softmax") * 2 == 4  # two heads of one block
    assert narrow.count("Pick") == 2  # of the projections, and of what is added to attention
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)


def test_what_others_read_too_stays_whole(tmp_path: Path) -> None:
    model = classifier([0])
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 5, CHANNELS]))
    graph = agree(load(model, tmp_path))
    assert [node.width for node in graph.nodes if node.width == 1] == [1]
    assert sum(isinstance(node.operation, Pick) for node in graph.nodes) <= 1


def test_a_network_that_picks_nothing_is_the_same_graph(tmp_path: Path) -> None:
    graph = load(encoder(5, CHANNELS, 2), tmp_path).graph
    assert pick_early(graph) is graph
