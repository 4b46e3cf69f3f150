"""Trains the small vision transformer models/trained/digits_vit.onnx on the digits data, and exports it.

    pip install torch
    python benchmarks/train_digits_vit.py models/trained

Patches of 2 x 2 of 8 x 8 pixels, a class token, learned positions, two blocks of two heads (A. Dosovitskiy et al., ICLR
2021, in small), normalised before each; images shifted by up to a pixel while it learns. The last line printed is the
top-1 accuracy on the 360 test images, as models/INDEX.md has it.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, BLOCKS, HIDDEN, TOKENS, CLASSES = 32, 2, 2, 64, 17, 10
EPOCHS, BATCH, RATE, DECAY, SMOOTHING, SEED = 200, 64, 2e-3, 0.05, 0.1, 0


class Block(nn.Module):
    """Attention and a perceptron, normalised before each."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.asked, self.answered = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.perceptron = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """[images, tokens, WIDTH] to the same."""
        size = WIDTH // HEADS
        q, k, v = self.asked(self.before(x)).reshape(-1, TOKENS, 3, HEADS, size).permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.softmax(q @ k.transpose(-2, -1) * size**-0.5, dim=-1)
        x = x + self.answered((scores @ v).transpose(1, 2).reshape(-1, TOKENS, WIDTH))
        return x + self.perceptron(self.between(x))


class VisionTransformer(nn.Module):
    """Images [n, 1, 8, 8], values from 0 to 1, to logits [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, 2, 2)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, TOKENS, WIDTH) * 0.1)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


def shifted(images: Tensor) -> Tensor:
    """Every image up to a pixel further in both directions."""
    padded = functional.pad(images, (1, 1, 1, 1))
    places = torch.randint(0, 3, (len(images), 2)).tolist()
    return torch.stack([image[:, y : y + 8, x : x + 8] for image, (y, x) in zip(padded, places, strict=True)])


def main(folder: Path) -> None:
    """Train, export, and say how good it is."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    data = np.load(folder / "digits_raw_8x8_split.npz")
    images, test = (torch.tensor(data[name] / 16.0, dtype=torch.float32) for name in ("x_train", "x_test"))
    labels, expected = torch.tensor(data["y_train"]), torch.tensor(data["y_test"])
    model = VisionTransformer()
    steps = EPOCHS * -(-len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            loss = functional.cross_entropy(model(shifted(images[chosen])), labels[chosen], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    torch.onnx.export(
        model, (test[:1],), str(folder / "digits_vit.onnx"), input_names=["input"], output_names=["logits"],
        opset_version=17, dynamo=False,
    )  # fmt: skip
    print(f"{100 * (model(test).argmax(1) == expected).float().mean():.2f} %")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
