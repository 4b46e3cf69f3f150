"""The networks that the onnx package ships for testing backends: all load, and programs of some are executed."""

from pathlib import Path

import onnx
import pytest

import pimcomp
from tests.seeds import sampled

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = (
    "squeezenet", "bvlc_alexnet", "densenet121", "inception_v1", "shufflenet", "inception_v2", "resnet50", "vgg19",
    "zfnet512",
)  # fmt: skip


@pytest.mark.parametrize("name", sampled(((name,) for name in NAMES), 4))
def test_they_load(name: str) -> None:
    network = pimcomp.load_network(FOLDER / f"light_{name}.onnx")
    assert sum(len(node.inputs) > 0 for node in network.graph.nodes) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception_v2", "shufflenet", "squeezenet"])
def test_their_programs_compute_what_they_mean(name: str) -> None:
    path = FOLDER / f"light_{name}.onnx"
    program = pimcomp.compile_model(path, "pimcomp_default", solver="stream", weights="random:0")
    report = program.verify(images=1)
    assert report.passed, report.reason
