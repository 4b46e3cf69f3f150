"""Random small networks and chips: every operation, odd strides and pads, concatenations, shuffles, several outputs."""

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Graph,
    Input,
    Node,
    Output,
    Pick,
    Pool,
    Standalone,
    View,
    Window,
)

ACTIVATIONS = (
    None,
    Activation(kind=ActivationKind.RELU),
    Activation(kind=ActivationKind.CLIP, low=0.0, high=6.0),
    Activation(kind=ActivationKind.CLIP, high=0.5),
    Activation(kind=ActivationKind.LEAKY_RELU, alpha=0.1),
    Activation(kind=ActivationKind.SIGMOID),
    Activation(kind=ActivationKind.TANH),
    Activation(kind=ActivationKind.HARD_SIGMOID, alpha=0.2, beta=0.5),
    Activation(kind=ActivationKind.HARD_SWISH),
)


class Builder:
    """Adds random nodes to a growing network."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []

    def integer(self, low: int, high: int) -> int:
        """A number in [low, high]."""
        return int(self.rng.integers(low, high + 1))

    def view(self) -> View:
        """Channels of one to three nodes of equal size: whole, shuffled or a selection."""
        first = self.integer(max(0, len(self.nodes) - 4), len(self.nodes) - 1)
        size = (self.nodes[first].height, self.nodes[first].width)
        same = [i for i, n in enumerate(self.nodes) if (n.height, n.width) == size]
        chosen = [first, *(int(i) for i in self.rng.choice(same, self.integer(0, min(2, len(same)))))]
        sources = np.concatenate([np.full(self.nodes[i].channels, i) for i in chosen])
        channels = np.concatenate([np.arange(self.nodes[i].channels) for i in chosen])
        kind = self.integer(0, 3)
        order = np.arange(len(sources))
        if kind == 1:
            order = self.rng.permutation(len(sources))
        elif kind == 2:
            order = np.sort(self.rng.choice(len(sources), self.integer(1, len(sources)), replace=False))
        return View(sources[order].astype(np.int32), channels[order].astype(np.int32))

    def size_of(self, view: View) -> tuple[int, int]:
        """Height and width of a view."""
        node = self.nodes[int(view.sources[0])]
        return node.height, node.width

    def window(self, height: int, width: int) -> tuple[Window, int, int]:
        """A random window that fits, and the output size."""
        while True:
            kernel = (self.integer(1, min(4, height)), self.integer(1, min(4, width)))
            stride = (self.integer(1, 3), self.integer(1, 3))
            dilation = (self.integer(1, 2), self.integer(1, 2))
            reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
            top, left, bottom, right = (self.integer(0, min(2, kernel[i % 2] - 1)) for i in range(4))
            rows, columns = height + top + bottom - reach[0], width + left + right - reach[1]
            if rows > 0 and columns > 0:
                window = Window(kernel=kernel, stride=stride, pads=(top, left, bottom, right), dilation=dilation)
                return window, -(-rows // stride[0]), -(-columns // stride[1])

    def add(self, operation: object, inputs: tuple[View, ...], channels: int, height: int, width: int) -> None:
        """Append a node, perhaps with an activation."""
        activation = ACTIVATIONS[self.integer(0, len(ACTIVATIONS) - 1)] if self.integer(0, 1) else None
        if isinstance(operation, Standalone) and activation is None:
            activation = ACTIVATIONS[1]
        if isinstance(operation, Input):
            activation = None
        self.nodes.append(
            Node(
                name=f"n{len(self.nodes)}",
                operation=operation,  # type: ignore[arg-type]
                inputs=inputs,
                channels=channels,
                height=height,
                width=width,
                activation=activation,
            )
        )

    def convolution(self) -> None:
        """Dense, grouped or depthwise; sometimes covering the whole map."""
        view = self.view()
        height, width = self.size_of(view)
        channels = len(view.sources)
        window, rows, columns = self.window(height, width)
        if self.integer(0, 5) == 0:
            window, rows, columns = Window(kernel=(height, width)), 1, 1
        plain = self.integer(0, 2) == 0 and height > 2 and width > 2
        if plain:  # as most layers are: every way to unfold applies
            window, rows, columns = Window(kernel=(3, 3), pads=(1, 1, 1, 1)), height, width
        groups = 1 if plain else int(self.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
        out = groups * self.integer(1, max(1, 24 // groups))
        weights = self.rng.standard_normal((out, channels // groups, *window.kernel)) / np.sqrt(channels)
        bias = self.rng.standard_normal(out).astype(np.float32) if self.integer(0, 2) else None
        conv = Conv(window=window, weights=weights.astype(np.float32), bias=bias, groups=groups)
        self.add(conv, (view,), out, rows, columns)

    def pool(self) -> None:
        """Max or average, windows that always meet the map."""
        view = self.view()
        height, width = self.size_of(view)
        while True:
            window, rows, columns = self.window(height, width)
            taps = [np.arange(n)[:, None] * s - p + np.arange(k) * d for n, s, p, k, d in (
                (rows, window.stride[0], window.pads[0], window.kernel[0], window.dilation[0]),
                (columns, window.stride[1], window.pads[1], window.kernel[1], window.dilation[1]),
            )]  # fmt: skip
            if all(((t >= 0) & (t < n)).any(axis=1).all() for t, n in zip(taps, (height, width), strict=True)):
                break
        if self.integer(0, 4) == 0:
            window, rows, columns = Window(kernel=(height, width)), 1, 1
        method = "max" if self.integer(0, 1) else "avg"
        counted = bool(self.integer(0, 1)) and method == "avg"
        self.add(Pool(method=method, window=window, count_padding=counted), (view,), len(view.sources), rows, columns)

    def eltwise(self) -> None:
        """Two or three operands of equal shape, one perhaps broadcast from a 1 x 1 map."""
        view = self.view()
        height, width = self.size_of(view)
        channels = len(view.sources)
        fitting = [
            i for i, n in enumerate(self.nodes)
            if n.channels == channels and (n.height, n.width) in ((height, width), (1, 1))
        ]  # fmt: skip
        others = [int(i) for i in self.rng.choice(fitting, self.integer(1, 2))] if fitting else []
        whole = [View(np.full(channels, i, np.int32), self.rng.permutation(channels).astype(np.int32)) for i in others]
        operation = ("add", "sub", "mul")[self.integer(0, 2)]
        if operation == "sub":
            whole = whole[:1]
        inputs = (view, *whole) if whole else (view, view)
        self.add(Eltwise(operation), inputs, channels, height, width)

    def other(self) -> None:
        """A standalone activation, a crop or a pick."""
        view = self.view()
        height, width = self.size_of(view)
        kind = self.integer(0, 3)
        if kind < 2:
            self.add(Standalone(), (view,), len(view.sources), height, width)
        elif kind == 2:
            rows, columns = (
                tuple(int(i) for i in self.rng.integers(-1, size, self.integer(1, size + 3)))
                for size in (height, width)
            )
            orders = [self.rng.permutation(len(view.sources)) for _ in range(self.integer(0, 2))]
            views = (view, *(View(view.sources[order], view.channels[order]) for order in orders))
            self.add(Pick(rows, columns), views, len(view.sources), len(rows), len(columns))
        else:
            crop = Crop(self.integer(-2, 1), self.integer(-2, 1))
            self.add(crop, (view,), len(view.sources), self.integer(1, height + 1), self.integer(1, width + 1))


def random_network(seed: int, nodes: int = 8) -> Graph:
    """A network of one or two inputs and about `nodes` nodes; every unread node is an output."""
    b = Builder(seed)
    for _ in range(b.integer(1, 2)):
        channels, height, width = b.integer(1, 6), b.integer(3, 12), b.integer(3, 12)
        b.add(Input((1, channels, height, width)), (), channels, height, width)
    kinds = (b.convolution, b.convolution, b.convolution, b.pool, b.eltwise, b.other)
    for _ in range(nodes):
        kinds[b.integer(0, len(kinds) - 1)]()
    read = {int(s) for node in b.nodes for view in node.inputs for s in view.sources}
    outputs = []
    for i, node in enumerate(b.nodes):
        if i not in read and not isinstance(node.operation, Input):
            view = View(np.full(node.channels, i, np.int32), np.arange(node.channels, dtype=np.int32))
            outputs.append(Output(name=node.name, view=view, onnx_shape=(1, node.channels, node.height, node.width)))
    return Graph(name=f"random{seed}", nodes=tuple(b.nodes), outputs=tuple(outputs))


def random_chip(seed: int) -> Arch:
    """A chip with small crossbars, so that small networks meet every limit."""
    rng = np.random.default_rng(seed + 1000)
    bits = int(rng.choice([8, 16]))
    return Arch(
        name=f"chip{seed}",
        cores=int(rng.choice([4, 9, 16])),
        crossbars_per_core=int(rng.choice([24, 64, 200])),
        crossbar_rows=int(rng.choice([8, 16, 32])),
        crossbar_cols=int(rng.choice([16, 32])),
        cell_bits=int(rng.choice([2, 8])),
        dac_count=8,
        adc_count=8,
        weight_bits=8,
        activation_bits=bits,
        psum_bits=bits,
    )
