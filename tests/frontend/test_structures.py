"""Every structure, from an ONNX file through both pipelines: the emitted files compute what ONNX Runtime computes."""

from itertools import product
from pathlib import Path

import pytest

from pimcomp.compile import compile_network
from pimcomp.emit.outputs import emit
from pimcomp.errors import UnsupportedOp
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.proof.executed import verify_program
from solvers import get_solver
from tests.frontend.small_onnx import agree, load, make, normals, op
from tests.frontend.structures import STRUCTURES
from tests.seeds import sampled

CHIP = Arch(
    name="small",
    cores=9,
    crossbars_per_core=48,
    crossbar_rows=32,
    crossbar_cols=32,
    cell_bits=2,
    dac_count=8,
    adc_count=8,
)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_graph_computes_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    agree(load(STRUCTURES[name](), tmp_path))


@pytest.mark.parametrize(("name", "pipeline"), sampled(product(STRUCTURES, Pipeline), 3))
def test_the_emitted_program_computes_it_too(name: str, pipeline: Pipeline, tmp_path: Path) -> None:
    network = load(STRUCTURES[name](), tmp_path)
    emit(compile_network(network.graph, CHIP, get_solver("balance"), pipeline=pipeline), tmp_path / "out")
    report = verify_program(tmp_path / "out", network, images=2)
    assert report.passed, report.reason


def test_everything_unsupported_is_in_one_message(tmp_path: Path) -> None:
    """A transformer block, a recurrent layer and control flow: all of it named at once."""
    nodes = [
        op("Conv", "image w", "c"),
        op("LayerNormalization", "x g", "n"),
        op("MatMul", "n wq", "q"),
        op("MatMul", "n wk", "k"),
        op("Transpose", "k", "kt", perm=[0, 2, 1]),
        op("MatMul", "q kt", "scores"),
        op("Softmax", "scores", "p", axis=-1),
        op("MatMul", "p q", "o"),
        op("Gelu", "o", "e"),
        op("LSTM", "e wl rl", "l", hidden_size=4),
        op("Div", "l e", "d"),
        op("QLinearConv", "c s z w s z s z", "v"),
    ]
    weights = {name: normals(8, 8, seed=i) for i, name in enumerate(("wq", "wk"))}
    weights |= {"g": normals(8), "wl": normals(1, 16, 8), "rl": normals(1, 16, 4), "w": normals(2, 3, 1, 1)}
    weights |= {"s": normals(1), "z": normals(1)}
    inputs = {"x": [1, 6, 8], "image": [1, 3, 4, 4]}
    with pytest.raises(UnsupportedOp) as caught:
        load(make(nodes, inputs, weights, outputs=["d", "v"], opset=20), tmp_path)
    assert [offender.op for offender in caught.value.offenders] == ["LSTM", "Div", "QLinearConv"]
    said = str(caught.value)
    assert "3 unsupported node(s)" in said
    assert "loops over time steps" in said
