"""Networks named by Python code. Without torch only what is said about it is tested."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pimcomp.errors import ModelError, UnsupportedOp
from pimcomp.frontend import load_network
from pimcomp.frontend.load_network import locate_from
from pimcomp.frontend.model_index import is_torch, network_name
from pimcomp.frontend.torch_module import export_torch
from pimcomp.ir.graph import Conv
from tests.frontend.small_onnx import agree

TORCH = find_spec("torch") is not None and find_spec("onnxscript") is not None
needs_torch = pytest.mark.skipif(not TORCH, reason="needs torch and onnxscript")
NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.last = last
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.last(self.head(torch.flatten(self.features(x), 1)))

def small():
    return Net(nn.Identity()), torch.zeros(1, 3, 8, 8)

def attributed():
    net = Net(nn.Identity())
    net.example_input_array = torch.zeros(2, 3, 8, 8)
    return net

def rounding():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.floor(x)
    return Net(Odd()), torch.zeros(1, 3, 8, 8)

def bare():
    return Net(nn.Identity())

def broken():
    return 1 / 0
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "little_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_names_of_factories() -> None:
    assert all(map(is_torch, ("nets:small", "a.b.nets:small", "folder/net.pt2")))
    assert not any(map(is_torch, ("net.onnx", "a/b:c", "resnet18", "a:b:c")))
    assert [network_name(n) for n in ("a.b:net", "x/net.pt2", "x/net.onnx", "net")] == ["net"] * 4
    assert locate_from("a.b:net", [], "") == "a.b:net"


@pytest.mark.skipif(TORCH, reason="torch is there")
def test_without_torch_the_extra_is_named() -> None:
    with pytest.raises(ModelError, match=r"nets:small: needs PyTorch: .*pip install 'pimdse\[torch\]'"):
        load_network("nets:small")


@needs_torch
@pytest.mark.parametrize("factory", ["small", "attributed"])
def test_a_factory_is_the_same_network_every_time(nets: Path, factory: str) -> None:
    first, second = (load_network(f"little_nets:{factory}") for _ in range(2))
    graph = agree(first)
    assert graph.name == factory
    assert [node.name.partition("/")[0] for node in graph.nodes if isinstance(node.operation, Conv)] == [
        "features.0",
        "head",
    ]
    found, again = (
        [node.operation.weights for node in network.graph.nodes if isinstance(node.operation, Conv)]
        for network in (first, second)
    )
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


@needs_torch
def test_a_saved_program(nets: Path) -> None:
    import torch
    from little_nets import small  # type: ignore[import-not-found]

    module, image = small()
    torch.export.save(torch.export.export(module.eval(), (image,)), "saved.pt2")
    assert agree(load_network("saved.pt2")).name == "saved"


@needs_torch
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("gone", "has no attribute 'gone'"),
        ("bare", "expected a factory that returns a torch.nn.Module and its example inputs"),
        ("broken", r"ZeroDivisionError: division by zero \(.*little_nets.py:\d+\)"),
    ],
)
def test_what_is_wrong_is_said_of_the_users_code(nets: Path, factory: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        export_torch(f"little_nets:{factory}")


@needs_torch
def test_a_refusal_names_the_users_module(nets: Path) -> None:
    with pytest.raises(UnsupportedOp, match="last/node_floor"):
        load_network("little_nets:rounding")


@needs_torch
@pytest.mark.parametrize("source", ["no_such_module:net", "gone.pt2"])
def test_what_is_not_there(nets: Path, source: str) -> None:
    with pytest.raises(ModelError, match=f"{source}: .*(No module|no such file)"):
        load_network(source)


@needs_torch
def test_a_file_that_is_no_saved_program(nets: Path) -> None:
    (nets / "net.pt2").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"net\.pt2: torch cannot export it"):
        load_network("net.pt2")
