"""What a name on the command line means: a file, a shipped network, or a message.

Covers: model_index.
"""

from pathlib import Path

import pytest

from pimcomp.errors import ModelError
from pimcomp.frontend.load_network import load_network, load_structure, locate, locate_from
from pimcomp.frontend.model_index import find_model, is_shipped, list_models
from pimcomp.ir.graph import Graph


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_comes_before_a_shipped_network_of_its_name(here: Path) -> None:
    assert locate("digits_mlp") == find_model("digits_mlp")
    (here / "digits_mlp").write_bytes(b"")
    assert locate("digits_mlp") == Path("digits_mlp")


def test_a_folder_hides_no_shipped_network(here: Path) -> None:
    (here / "digits_mlp").mkdir()
    assert locate("digits_mlp") == find_model("digits_mlp")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.onnx", "gone.onnx: no such file"),
        ("gone.JSON", "gone.JSON: no such file"),
        ("folder/gone", "folder/gone: no such file"),
        ("folder", "folder: is a folder"),
        ("digits_mpl", "digits_mlp"),
    ],
)
def test_what_is_nowhere_is_named_with_what_was_meant(here: Path, source: str, message: str) -> None:
    (here / "folder").mkdir()
    with pytest.raises(ModelError, match=message):
        locate(source)


def test_a_relative_path_leads_from_the_first_folder_that_has_the_file(here: Path) -> None:
    for folder in ("a", "b"):
        (here / folder).mkdir()
    (here / "b" / "net.onnx").write_bytes(b"")
    folders = [here / "a", here / "b"]
    assert locate_from("net.onnx", folders, "") == str(here / "b" / "net.onnx")
    (here / "a" / "net.onnx").write_bytes(b"")
    assert locate_from("net.onnx", folders, "") == str(here / "a" / "net.onnx")
    (here / "net.onnx").write_bytes(b"")
    assert locate_from("net.onnx", folders, "") == "net.onnx"
    assert locate_from("digits_mlp", folders, "") == "digits_mlp"


def test_an_absolute_path_leads_nowhere_else(here: Path) -> None:
    (here / "net.onnx").write_bytes(b"")
    gone = str(here / "elsewhere" / "net.onnx")
    with pytest.raises(ModelError, match=r"no such file: say where it is"):
        locate_from(gone, [here], "say where it is")


def test_every_shipped_network_is_found_by_its_name() -> None:
    for entry in list_models():
        assert is_shipped(entry.name)
        assert find_model(entry.name).is_file()
    assert not is_shipped("no such network")


def test_a_structure_has_the_channels_of_the_file_and_a_network_those_of_its_sources() -> None:
    structure, network = load_structure("shufflenet_v2_x1_0"), load_network("shufflenet_v2_x1_0").graph
    assert len(structure.weighted()) == len(network.weighted())
    assert unsorted(structure) > unsorted(network)


def unsorted(graph: Graph) -> int:
    """Nodes that read their first operand in another order than that in which it exists."""
    views = [node.inputs[0] for node in graph.nodes if node.inputs]
    codes = [(view.sources.astype(int) << 32 | view.channels).tolist() for view in views]
    return sum(code != sorted(code) for code in codes)
