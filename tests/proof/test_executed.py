"""A program emitted to files passes, and what is wrong in it is found and placed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.emit.memory_npz import write_checkpoints, write_memory
from pimcomp.emit.pimsim import write_program
from pimcomp.errors import ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Graph, Input, Node, Output, View, Window
from pimcomp.ir.program import Op, Program
from pimcomp.proof.executed import host_epilogue, verify_program
from tests.proof.tiny import BIASES, WEIGHTS, tiny_arch, tiny_program, with_cell


def tiny_network(epilogue: str | None = None) -> LoadedNetwork:
    """The network that the hand-made program computes."""
    whole = View(np.zeros(4, np.int32), np.arange(4, dtype=np.int32))
    conv = Conv(window=Window(kernel=(1, 1)), weights=WEIGHTS.T.reshape(2, 4, 1, 1).copy(), bias=BIASES)
    nodes = (
        Node(name="x", operation=Input((1, 4), "NC"), inputs=(), channels=4, height=1, width=1),
        Node(
            name="fc", operation=conv, inputs=(whole,), channels=2, height=1, width=1,
            activation=Activation(kind=ActivationKind.RELU),
        ),
    )  # fmt: skip
    view = View(np.ones(2, np.int32), np.arange(2, dtype=np.int32))
    output = Output(name="y", view=view, onnx_shape=(1, 2), layout="NC", epilogue=epilogue)
    graph = Graph(name="tiny", nodes=nodes, outputs=(output,))
    return LoadedNetwork(graph, lambda: graph_to_onnx(graph), "tiny")


def write(program: Program, folder: Path, width: int = 1) -> Path:
    write_program(program, tiny_arch(8 * width), folder / "program.gz")
    write_memory(program, folder / "memory.npz")
    write_checkpoints(program, np.array([4, 2], np.int32), folder / "checkpoints.npz")
    return folder


@pytest.mark.parametrize("width", [1, 2])
def test_a_right_program_passes(width: int, tmp_path: Path) -> None:
    report = verify_program(write(tiny_program(width), tmp_path, width), tiny_network(), images=5)
    assert report.passed
    assert report.images == 5
    assert report.max_error <= 1e-6 * report.range


def test_given_inputs_are_used(tmp_path: Path) -> None:
    x = np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0], [-1.0, 0.5, 2.0, 1.0]], np.float32)
    report = verify_program(write(tiny_program(), tmp_path), tiny_network(), inputs={"x": x})
    y = np.maximum(x @ WEIGHTS + BIASES, 0)
    assert report.passed
    assert report.images == 3
    assert report.range == pytest.approx(float(y.max() - y.min()))
    with pytest.raises(ModelError, match="input x"):
        verify_program(tmp_path, tiny_network(), inputs={"x": x[:, :3]})


def test_a_wrong_value_is_placed(tmp_path: Path) -> None:
    """The bias goes to the wrong addition: the ReLU's instruction is the first place where it can be seen."""
    program = tiny_program()
    addition = int(np.flatnonzero(program.table.op == Op.VVADD)[1])
    report = verify_program(write(with_cell(program, "src2", addition, 18), tmp_path), tiny_network())
    assert not report.passed
    assert (report.node, report.core) == ("fc", 0)
    assert "output y: error" in report.reason
    assert "node fc, row 0, column 0, channel" in report.reason
    assert report.wrong is not None
    assert abs(report.wrong.expected - report.wrong.found) > 1e-3


def test_an_output_put_together_wrongly_is_told_apart(tmp_path: Path) -> None:
    program = tiny_program()
    swapped = replace(program, outputs={"y": program.outputs["y"][:, ::-1].copy()})
    report = verify_program(write(swapped, tmp_path), tiny_network())
    assert not report.passed
    assert report.wrong is None
    assert "put together wrongly" in report.reason


def test_a_fault_names_node_core_and_instruction(tmp_path: Path) -> None:
    program = tiny_program()
    report = verify_program(write(with_cell(program, "src", 8, 35), tmp_path), tiny_network())
    assert not report.passed
    assert (report.node, report.core) == ("fc", 0)
    assert "reads address 35" in report.reason
    assert "(node fc)" in report.reason


def test_softmax_is_the_hosts_work() -> None:
    output = replace(tiny_network().graph.outputs[0], epilogue="softmax", onnx_shape=(1, 2, 3), epilogue_axis=1)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    y = host_epilogue(output, x).reshape(4, 2, 3)
    e = np.exp(x.reshape(4, 2, 3))
    np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True), rtol=1e-5)
