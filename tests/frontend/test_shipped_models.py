"""Every network that ships: listed, imported, and equal to ONNX Runtime (large ones with -m slow).

Covers: model_index, load_network.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pimcomp.errors import ModelError
from pimcomp.foundation.data_files import data_dir
from pimcomp.frontend import ModelEntry, list_models, load_network
from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.ir.graph import Conv, Input
from pimcomp.proof.reference import run_reference
from tests.frontend.small_onnx import agree
from tests.seeds import sampled

MODELS = {entry.name: entry for entry in list_models()}
TRAINED = sorted(name for name in MODELS if name.startswith("digits_"))
SMALL = [*TRAINED, "lenet5", "lenet5_tanh_avg"]
HEAVY = {
    name for name in MODELS if re.match("gpt2|bert_base|resnet1[05]|resnet50_bn|vgg1|.*alexnet|caffenet|rcnn", name)
}
TRANSFORMERS = {"bert_base", "bert_tiny", "deit_tiny", "digits_vit", "gpt2_small", "mixer_s32", "vit_tiny"}
ATTENTION = ("Product", "Softmax", "Normalise", "Turn", "Fixed", "Pick")
TWINS = {
    "bert_base",
    "gpt2_small",
    "caffenet",
    "rcnn_ilsvrc13",
    "resnet101",
    "resnet152",
    "vgg19",
}  # nothing in them that smaller ones lack


def test_the_index_describes_every_file_and_nothing_else() -> None:
    text = (data_dir("models") / "INDEX.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert sorted(rows[1:]) == sorted(MODELS)
    for entry in MODELS.values():
        assert isinstance(entry, ModelEntry)
        assert entry.path.is_file()
        assert entry.origin
        assert entry.summary


@pytest.mark.parametrize(
    "name",
    [
        *sampled(((name,) for name in sorted(set(MODELS) - HEAVY)), 3),
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(TWINS)),
    ],
)
def test_import(name: str) -> None:
    network = load_network(name)
    check_graph(network.graph)
    for node in network.graph.nodes:  # BatchNormalization is in the weights, activations in their producers
        allowed = ("Input", "Conv", "Pool", "Eltwise", "Lrn", *(ATTENTION if name in TRANSFORMERS else ()))
        assert type(node.operation).__name__ in allowed


@pytest.mark.parametrize("name", sampled(((name,) for name in SMALL), 3))
def test_small_networks_compute_what_onnxruntime_computes(name: str) -> None:
    agree(load_network(name, weights=None if name in TRAINED else "random:1"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(MODELS) - set(SMALL) - TWINS))
def test_large_networks_compute_what_onnxruntime_computes(name: str) -> None:
    agree(load_network(name, weights="random:1"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_trained_networks_recognise_digits(name: str) -> None:
    network = load_network(name)
    node = network.graph.nodes[0]
    assert isinstance(node.operation, Input)
    height, width = node.operation.onnx_shape[2:]
    digits = np.load(data_dir("models") / "trained" / f"digits_test_{height}x{width}.npz")
    logits = next(iter(run_reference(network.onnx_bytes(), {node.name: digits["x"]}).values()))
    correct = float((logits.argmax(axis=1) == digits["y"]).mean())
    index = (data_dir("models") / "INDEX.md").read_text()
    row = next(line for line in index.splitlines() if line.startswith(f"| {name} "))
    assert f"{100 * correct:.2f} %" in row


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("squeezenet1_1", {"Conv": 26, "Pool": 5}),
        ("resnet18", {"Conv": 21, "Pool": 3, "Eltwise": 8}),
        ("resnet18_bn", {"Conv": 21, "Pool": 3, "Eltwise": 8}),
        ("shufflenet_v1_g3_bn", {"Conv": 50, "Pool": 6, "Eltwise": 13}),
        ("shufflenet_v2_x1_0_bn", {"Conv": 57, "Pool": 3}),
        ("mobilenet_v2_bn", {"Conv": 53, "Eltwise": 10, "Pool": 2}),
    ],
)
def test_nothing_but_computation_is_left(name: str, operations: dict[str, int]) -> None:
    # large global pools count twice: rows first, then columns
    graph = load_network(name).graph
    assert Counter(type(node.operation).__name__ for node in graph.nodes) == {"Input": 1, **operations}


def test_batch_normalization_folds_to_the_same_structure() -> None:
    folded, kept = load_network("shufflenet_v2_x1_0").graph, load_network("shufflenet_v2_x1_0_bn").graph
    for left, right in zip(folded.nodes, kept.nodes, strict=True):
        assert (left.channels, left.height, left.width) == (right.channels, right.height, right.width)
        for a, b in zip(left.inputs, right.inputs, strict=True):
            assert np.array_equal(a.sources, b.sources)
            assert np.array_equal(a.channels, b.channels)


def test_shuffled_channels_are_read_in_their_order() -> None:
    graph = load_network("shufflenet_v1_g3").graph
    for node in graph.nodes[1:]:
        view = node.inputs[0]
        per_group = node.operation.weights.shape[1] if isinstance(node.operation, Conv) else len(view.channels)
        codes = (view.sources.astype(np.int64) << 32 | view.channels).reshape(-1, per_group)
        assert np.all(np.diff(codes, axis=1) > 0)


def test_names_paths_and_mistakes(tmp_path: Path) -> None:
    entry = MODELS["digits_mlp"]
    assert load_network(entry.path).graph.name == load_network("digits_mlp").graph.name == "digits_mlp"
    with pytest.raises(ModelError, match=r"resnet19: neither a file nor a shipped network: did you mean resnet18"):
        load_network("resnet19")
    with pytest.raises(ModelError, match="no such file"):
        load_network(tmp_path / "resnet18")


def test_listing_models_does_not_load_onnx() -> None:
    code = "import sys; from pimcomp.frontend import list_models; list_models(); assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
