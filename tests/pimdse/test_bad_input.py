"""Wrong input, as a user would give it: a message, status 2 (130 for Ctrl-C), no traceback, nothing half-written.

Covers: commands/compiling, foundation/interrupt.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from pimdse.cli import run

_ROOT = Path(__file__).parents[2]
_LENET = _ROOT / "models" / "trained" / "digits_lenet5.onnx"
_ISAAC = (_ROOT / "configs" / "isaac.yaml").read_text(encoding="utf-8")

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run a command in an empty folder; it must end with 2 and write nothing; gives what it said."""
    monkeypatch.chdir(tmp_path)

    def check(*words: str) -> str:
        before = {path: path.stat().st_size for path in tmp_path.rglob("*")}
        assert run(list(words)) == 2
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert "defect" not in captured.err
        assert {path: path.stat().st_size for path in tmp_path.rglob("*")} == before, "something was written"
        return captured.err

    return check


def write_network(path: Path, nodes: list[tuple[str, str]], shape: list[int | str], weights: list[int]) -> None:
    """A chain of (operator, name), each node with the weights "w" as second input, on an input of that shape."""
    chain = []
    for number, (operator, name) in enumerate(nodes):
        inputs = [f"t{number}", "w"] if operator == "Conv" else [f"t{number}"]
        chain.append(helper.make_node(operator, inputs, [f"t{number + 1}"], name=name))
    graph = helper.make_graph(
        chain,
        "network",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"t{len(nodes)}", TensorProto.FLOAT, None)],
        [helper.make_tensor("w", TensorProto.FLOAT, weights, np.ones(int(np.prod(weights))))],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "model.onnx: the file is empty"),
        (_LENET.read_bytes()[:20_000], "model.onnx: not an ONNX model: its 20,000 bytes are corrupt or incomplete"),
        (b"this is a text, not a model\n" * 20, "model.onnx: not an ONNX model"),
        (bytes(range(256)) * 8, "model.onnx: not an ONNX model"),
    ],
    ids=["empty", "truncated", "text", "garbage"],
)
def test_a_file_that_is_no_model(content: bytes, message: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert message in refused("compile", "model.onnx")


def test_a_folder_is_no_model_and_no_chip(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "folder: is a folder" in refused("compile", "folder")
    assert "folder: is a folder" in refused("compile", "digits_mlp", "--arch", "folder")


@pytest.mark.parametrize(
    ("shape", "weights", "message"),
    [
        ([1, 3, 0, 8], [4, 3, 3, 3], "input 't0': dimension 2 is 0: expected at least 1"),
        ([1, 3, "H", 8], [4, 3, 3, 3], "dimension 2 is dynamic (H), only the batch may be"),
        ([1, 3, 8, 8], [0, 3, 3, 3], "weights of shape [0, 3, 3, 3]"),
        ([1, 5, 8, 8], [4, 3, 3, 3], "do not fit 5 input channels"),
        ([1, 3, 2, 2], [4, 3, 3, 3], "a window of 3 does not fit"),
    ],
)
def test_impossible_shapes(
    shape: list[int | str], weights: list[int], message: str, refused: Refused, tmp_path: Path
) -> None:
    write_network(tmp_path / "model.onnx", [("Conv", "conv")], shape, weights)
    assert message in refused("compile", "model.onnx")


def test_all_unsupported_operators_are_listed_and_cannot_steer_the_terminal(refused: Refused, tmp_path: Path) -> None:
    nodes = [("Conv", "conv"), ("Exp", "ex\x1b]0;x\x07p"), ("Relu", "relu"), ("NonZero", "[red]nz[/red]")]
    write_network(tmp_path / "model.onnx", nodes, [1, 3, 8, 8], [4, 3, 3, 3])
    said = refused("compile", "model.onnx")
    assert "model.onnx: 2 unsupported node(s)" in said
    assert r"ex\x1b]0;x\x07p: Exp (opset 13)" in said
    assert "[red]nz[/red]: NonZero (opset 13)" in said
    assert "\x1b" not in said


def test_names_from_a_model_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_network(tmp_path / "m.onnx", [("Conv", "\x1b[2J[bold]conv[/bold]")], [1, 3, 8, 8], [4, 3, 3, 3])
    assert run(["inspect", "m.onnx", "--arch", "isaac"]) == 0
    shown = capsys.readouterr().out
    assert shown.count(r"\x1b[2J[bold]conv[/bold]") == 2
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compile", "resnet81"], "did you mean resnet18"),
        (["compile", "RESNET18"], "did you mean resnet18"),
        (["compile", "digits_mlp", "--arch", "ISAC"], "did you mean 'isaac'?"),
        (["compile", "digits_mlp", "--solver", "balanc"], "did you mean 'balance'?"),
        (["compile", "digits_mlp", "--pipeline", "elment"], "did you mean 'element'?"),
        (["compile", "digits_mlp", "--save", "evaluation,weigths"], "did you mean 'weights'?"),
        (["compile", "digits_mlp", "--format", "tar"], "--format: expected one of gz, directory, pim, found 'tar'"),
        (["compile", "digits_mlp", "--weights", "random:x"], "--weights: expected random:SEED"),
        (["compile", "digits_mlp", "--set", "orders=0"], "--set orders=0: expected int from 1 to 10000"),
        (["compile", "digits_mlp", "--set", "images_per_round=0"], "expected int from 1"),
        (["compile", "digits_mlp", "--set", "oders=1"], "did you mean 'orders'?"),
        (["compile", "digits_mlp", "--time-limit", "-1"], "--time-limit"),
        (["compile", "digits_mlp", "--seed", "one"], "--seed"),
        (["compile", "digits_mlp", "--seed", str(1 << 63)], "--seed"),
        (
            ["compile", "digits_mlp", "--set", "orders=1", "--set", "orders=2"],
            "expected every option once, found orders",
        ),
        (["compile", "digits_mlp", "--solver", "lns:most=2,most=3"], "solver.lns.most: expected every option once"),
        (["compile", " "], "a network: expected a file or a name, found nothing"),
        (["compile", "digits_mlp", "--arch", ""], "a chip: expected a file or a name, found nothing"),
        (["reproduce", "."], "expected a folder of `pimdse compile` or `pimdse pick`, found no manifest.yaml"),
    ],
)
def test_wrong_words_get_the_right_one(words: list[str], message: str, refused: Refused) -> None:
    assert message in refused(*words)


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("  cores: 168 ", "  coers: 168 ", "chip.coers: unknown key; did you mean 'cores'?"),
        ("  cores: 168 ", "  cores: many ", "chip.cores: expected an integer >= 1 and <= 16384, found text 'many'"),
        ("  cores: 168 ", "  cores: -1 ", "chip.cores: expected an integer >= 1 and <= 16384, found integer -1"),
        ("  cores: 168 ", "  cores: [168 ", "chip.yaml:"),
        ("  period_ns: 0.78125", "  period_ns: .nan", "crossbar.period_ns: expected a number > 0, found number nan"),
        ("  period_ns: 0.78125", "  period_ns: 1e-320", "crossbar.period_ns: expected from 0.001 to 10000, found"),
        ("  period_ns: 0.78125", "  period_ns: 1e9", "crossbar.period_ns: expected from 0.001 to 10000, found"),
        ("cores: 168 ", "cores: " + "9" * 5000, "found a number of thousands of digits"),
        ("name: isaac", "name: " + "n" * 300, "name: expected text of at most 200 characters"),
        ("name: isaac", "name: i\0", "expected text without control characters, found"),
        ("solvers: [balance, ", "solvers: [balanc, ", "did you mean 'balance'?"),
        ("  trials: 300", "  trails: 300", "sweep.trails: unknown key; did you mean 'trials'?"),
        ("{low: 96, high", "{low: 960, high", "sweep.space.cores: expected low <= high"),
    ],
)
def test_wrong_fields_of_a_chip_are_named(
    find: str, replace: str, message: str, refused: Refused, tmp_path: Path
) -> None:
    assert find in _ISAAC
    (tmp_path / "chip.yaml").write_text(_ISAAC.replace(find, replace, 1), encoding="utf-8")
    said = refused("sweep", "chip.yaml", "--out", "out")
    assert message in said
    assert "chip.yaml" in said


@pytest.mark.parametrize("content", [b"", b"- a\n", b"\xff\xfe\x00"], ids=["empty", "list", "binary"])
def test_a_file_that_is_no_chip(content: bytes, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "chip.yaml").write_bytes(content)
    assert "chip.yaml: expected" in refused("inspect", "digits_mlp", "--arch", "chip.yaml")


@pytest.mark.parametrize("out", ["file", "file/sub"])
@pytest.mark.parametrize("command", [["compile", "digits_mlp"], ["sweep", "isaac"]])
def test_a_read_only_file_where_a_folder_should_be(
    command: list[str], out: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "file").touch(mode=0o444)
    assert "is a file, expected a folder" in refused(*command, "--out", out)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write to")
@pytest.mark.parametrize("command", [["compile", "digits_mlp"], ["sweep", "isaac"], ["export-json", "digits_mlp"]])
def test_a_folder_that_cannot_be_written(command: list[str], refused: Refused) -> None:
    assert "error: /proc/" in refused(*command, "--out", "/proc/nowhere/out")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".png"])
@pytest.mark.parametrize("content", [b"", b"abc", b"PK\x03\x04" + bytes(40), b"\x93NUMPY\x01\x00"])
def test_input_images_that_are_none(suffix: str, content: bytes, tmp_path: Path) -> None:
    from pimcomp.errors import ModelError
    from pimcomp.frontend import load_network
    from pimdse.folder.input_images import read_inputs

    file = tmp_path / f"images{suffix}"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"images\.np|images\.png"):
        read_inputs(file, load_network("digits_mlp").graph)


def test_export_into_a_file_says_so(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in refused("export-json", "digits_mlp", "--out", "file/x.json")


# A process that sends itself Ctrl-C when it first imports a module, or opens a file, of a certain name.
_INTERRUPTED = """
import os, signal, sys
event, moment = sys.argv[1:3]
del sys.argv[1:3]
def at_that_moment(found, arguments):
    global moment
    if found == event and moment and str(arguments[0]).endswith(moment):
        moment = None
        os.kill(os.getpid(), signal.SIGINT)
from pimdse.__main__ import main
sys.addaudithook(at_that_moment)
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize(
    ("words", "moment"),
    [
        (["compile", "digits_mlp", "--out", "out"], ("import", "pimdse.cli")),
        pytest.param(["compile", "digits_mlp", "--out", "out"], ("import", "onnx.checker"), marks=pytest.mark.slow),
        (["compile", "digits_mlp", "--out", "out"], ("open", "memory.npz")),
        pytest.param(["sweep", "isaac", "--out", "out"], ("import", "optuna"), marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_ends_with_130_and_leaves_nothing_half_written(
    words: list[str], moment: tuple[str, str], tmp_path: Path
) -> None:
    started = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, *moment, *words],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert started.returncode == 130, started.stderr
    assert "interrupted" in started.stderr
    assert "Traceback" not in started.stdout + started.stderr
    if words[0] == "compile":
        assert not list(tmp_path.iterdir())
