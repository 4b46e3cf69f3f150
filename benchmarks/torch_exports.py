"""Networks of torchvision and timm, exported by PyTorch three ways, loaded and compared: the table in docs/torch.md.

    pip install torch torchvision timm onnxscript
    python benchmarks/torch_exports.py [NAME ...]

Weights are random. A network is right if its graph computes what ONNX Runtime computes for the exported file, written
back as ONNX. What is known is kept in results/torch_exports.json and not done again.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pimcomp.errors import PimdseError
from pimcomp.frontend import load_network
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.graph import Input
from pimcomp.ir.image_shape import image_shape
from pimcomp.proof.reference import run_reference

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ROOT / "results" / "torch_exports.json"
PAGE = ROOT / "docs" / "torch.md"
BEGIN, END = "<!-- exports: benchmarks/torch_exports.py -->\n", "<!-- end of exports -->"
EXPORTERS = ("TorchScript", "dynamo", "dynamo, dynamic batch")
SIDE = 64  # pixels: enough for 32-fold subsampling
LARGE = ("alexnet", "vgg11_bn")  # their last maps are pooled to 6 x 6 and 7 x 7, which must divide them: 224 pixels
TORCHVISION = (
    "alexnet vgg11_bn resnet18 resnext50_32x4d wide_resnet50_2 densenet121 squeezenet1_1 googlenet "
    "shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_small mnasnet0_5 efficientnet_b0 regnet_y_400mf regnet_x_400mf "
    "convnext_tiny vit_b_32 swin_t "
    "segmentation.fcn_resnet50 segmentation.deeplabv3_mobilenet_v3_large segmentation.lraspp_mobilenet_v3_large"
)
TIMM = (
    "repvgg_a0 ghostnet_100 mobileone_s0 dla34 res2net50_26w_4s hrnet_w18_small cspresnet50 ese_vovnet19b_dw "
    "tinynet_e lcnet_050 mixnet_s fbnetc_100 rexnet_100 ecaresnet26t resnest14d mixer_s32_224"
)
OWN = "own.encoder"
ARCHITECTURES = (
    OWN,
    *(f"torchvision.{name}" for name in TORCHVISION.split()),
    *(f"timm.{name}" for name in TIMM.split()),
)
TOLERANCE = 1e-3


def module(architecture: str) -> tuple[Any, Any]:
    """A network in evaluation mode and an image for it."""
    import torch

    torch.manual_seed(0)
    if architecture == OWN:
        return encoder(), torch.randn(1, 16, 32)
    family, _, name = architecture.partition(".")
    if family == "timm":
        import timm

        fixed = {"img_size": SIDE} if "mixer" in name else {}
        made = timm.create_model(name, pretrained=False, **fixed)
    else:
        import torchvision

        options: dict[str, Any] = {"image_size": SIDE} if name.startswith("vit") else {}
        if name.startswith("segmentation."):
            options |= {"weights_backbone": None, "num_classes": 5}
        elif name == "googlenet":
            options |= {"aux_logits": False, "init_weights": False}
        made = torchvision.models.get_model(name.rpartition(".")[2], weights=None, **options)
    side = 224 if name in LARGE else SIDE
    return made.eval(), torch.randn(1, 3, side, side)


def encoder() -> Any:
    """A transformer of 2 blocks over 16 tokens of 32 channels in 2 heads, and a classifier."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(32), nn.LayerNorm(32)
            self.parts, self.joined = nn.Linear(32, 96), nn.Linear(32, 32)
            self.perceptron = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

        def forward(self, x: Any) -> Any:
            size = x.shape[:2]
            q, k, v = self.parts(self.before(x)).reshape(*size, 3, 2, 16).permute(2, 0, 3, 1, 4)
            found = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + self.joined(found.transpose(1, 2).reshape(*size, 32))
            return x + self.perceptron(self.between(x))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.norm = nn.Sequential(Block(), Block()), nn.LayerNorm(32)
            self.positions = nn.Parameter(torch.randn(1, 16, 32))
            self.classifier = nn.Linear(32, 5)

        def forward(self, x: Any) -> Any:
            return self.classifier(self.norm(self.blocks(x + self.positions)).mean(1))

    return Encoder().eval()


def export(made: Any, image: Any, exporter: str, path: Path) -> None:
    """The network as an ONNX file."""
    import torch

    options: dict[str, Any] = {"dynamo": exporter != "TorchScript"}
    if options["dynamo"]:
        options |= {"external_data": False, "verbose": False}
    else:
        torch.backends.mha.set_fastpath_enabled(False)  # its operator has no ONNX form
    if exporter.endswith("dynamic batch"):
        image = torch.cat([image, image])  # torch takes a batch of 1 for a constant
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch", min=1, max=64)},)
    with torch.no_grad():
        torch.onnx.export(made, (image,), str(path), **options)


def outcome(path: Path) -> str:
    """ "right", or what is wrong with an exported file."""
    try:
        network = load_network(path)
    except PimdseError as error:
        return " ".join(str(error).replace(str(path), "").split()).removeprefix(": ")
    rng = np.random.default_rng(0)
    inputs = {
        node.name: rng.standard_normal((1, *image_shape(node.operation.onnx_shape))).astype(np.float32)
        for node in network.graph.nodes
        if isinstance(node.operation, Input)
    }
    want = run_reference(network.onnx_bytes(), inputs)
    found = run_reference(graph_to_onnx(network.graph), inputs)
    worst = max(float(np.abs(found[name] - w).max() / max(np.abs(w).max(), 1e-6)) for name, w in want.items())
    return "right" if worst <= TOLERANCE else f"wrong: off by {worst:.2g} of the largest value"


def tried(architecture: str, exporter: str) -> str:
    """What becomes of one network by one exporter."""
    try:
        made, image = module(architecture)
    except (RuntimeError, ValueError, AssertionError) as error:
        return f"not made: {error}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        try:
            export(made, image, exporter, path)
        except Exception as error:  # whatever torch raises: it is its export that failed
            first = re.sub("\x1b\\[[0-9;]*m", "", str(error)).strip().splitlines()[0]  # torch colours its messages
            return f"not exported: {type(error).__name__}: {first}"
        return outcome(path)


def page(text: str, known: dict[str, str]) -> str:
    """The page with the table of what is known."""
    rows, causes = [], {}
    for architecture in ARCHITECTURES:
        found = [known.get(f"{architecture} {exporter}", "not tried") for exporter in EXPORTERS]
        short = [
            "not tried"
            if f == "not tried"
            else f.partition(":")[0]
            if f[:5] in ("right", "wrong", "not e")
            else "refused"
            for f in found
        ]
        rows.append(f"| {architecture} | {' | '.join(short)} |")
        said = next((f for f, s in zip(found, short, strict=True) if s not in ("right", "not tried")), "")
        if said:
            causes[architecture] = said
    before, rest = text.split(BEGIN)
    head = f"\n| network | {' | '.join(EXPORTERS)} |\n|{'---|' * 4}\n"
    why = "".join(f"- {name}: {said[:240]}\n" for name, said in causes.items())
    return before + BEGIN + head + "\n".join(rows) + "\n\n" + why + "\n" + END + rest.split(END)[1]


def main(names: list[str]) -> None:
    """Try what is not known yet, exporter by exporter."""
    known: dict[str, str] = json.loads(KNOWN.read_text(encoding="utf-8")) if KNOWN.exists() else {}
    for exporter in EXPORTERS:
        for architecture in ARCHITECTURES:
            key = f"{architecture} {exporter}"
            if key in known or (names and not any(name in architecture for name in names)):
                continue
            known[key] = tried(architecture, exporter)
            print(key, "->", known[key][:300], flush=True)
            KNOWN.parent.mkdir(exist_ok=True)
            KNOWN.write_text(json.dumps(known, indent=1), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), known), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
