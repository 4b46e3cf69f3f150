"""Golden listings: the smallest program of each family of templates, as `pimdse compile --save listing` writes it.

A tiny network each, on a chip of two cores, with a plan that is given and not searched, so that a person can
read what the compiler emits. `make golden` writes the files again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from pimcomp.compile import compile_network
from pimcomp.emit.listing import write_listing
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Unfolding
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Plan, Status
from tests.frontend.small_onnx import make, normals, op
from tests.schedule.tuned import tuned

FOLDER = Path(__file__).parent
CHIP = Arch(
    name="tiny", cores=2, crossbars_per_core=8, crossbar_rows=18, crossbar_cols=16, cell_bits=8, dac_count=8,
    adc_count=8, local_memory_bytes=2048, weight_bits=8, activation_bits=8, cut_off=True,
)  # fmt: skip
OPTIONS = tuned({"LOADERS": 1}, vector_depthwise=False)


@dataclass(frozen=True, slots=True)
class Given:
    """A "solver" that knows the answer: one replica of each layer, unfolded so, its array groups on cores in turn."""

    unfolding: Unfolding
    cores: int
    name: str = field(default="given", init=False)

    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """The plan."""
        option = tuple([o.unfolding for o in layer.options].index(self.unfolding) for layer in problem.layers)
        groups = [len(layer.options[o].ag_crossbars) for layer, o in zip(problem.layers, option, strict=True)]
        core_of = tuple(np.arange(count, dtype=np.int32)[None] % self.cores for count in groups)
        plan = Plan(option=option, replication=(1,) * len(option), core_of=core_of)
        return Outcome(status=Status.FEASIBLE, plan=plan)


class Example(NamedTuple):
    """A network, and how its layers are unfolded, on crossbars of so many rows, on how many cores."""

    model: onnx.ModelProto
    unfolding: Unfolding = Unfolding()
    rows: int = 18
    cores: int = 1

    def compiled(self) -> Compiled:
        """Its program."""
        arch, solver = replace(CHIP, crossbar_rows=self.rows), Given(self.unfolding, self.cores)
        return compile_network(load_network(self.model).graph, arch, solver, options=OPTIONS)


def _convolution(channels: int, filters: int, size: tuple[int, int], groups: int = 1, pad: int = 0) -> onnx.ModelProto:
    """Three by three, with bias and ReLU."""
    weights = {"w": normals(filters, channels // groups, 3, 3), "b": normals(filters)}
    nodes = [op("Conv", "x w b", "c", group=groups, pads=[pad] * 4), op("Relu", "c", "y")]
    return make(nodes, {"x": (1, channels, *size)}, weights)


def _pooling() -> onnx.ModelProto:
    nodes = [
        op("MaxPool", "x", "m", kernel_shape=[2, 2], strides=[2, 2]),
        op("AveragePool", "m", "a", kernel_shape=[2, 2], pads=[0, 0, 0, 1]),
        op("GlobalAveragePool", "m", "z"),
    ]
    return make(nodes, {"x": (1, 2, 4, 4)}, outputs=("a", "z"))


EXAMPLES: Mapping[str, Callable[[], Example]] = {
    "windows": lambda: Example(_convolution(2, 4, (4, 4))),
    "blocks": lambda: Example(_convolution(2, 4, (3, 5), pad=1), Unfolding(block=2), rows=24),
    "scatter": lambda: Example(_convolution(2, 4, (4, 4)), Unfolding(scatter=2), rows=4),
    "grouped": lambda: Example(_convolution(4, 4, (3, 4), groups=2)),
    "pooling": lambda: Example(_pooling()),
    "join": lambda: Example(_convolution(4, 4, (3, 4)), cores=2),
}


def listing_file(name: str) -> Path:
    """Where an example's listing stands."""
    return FOLDER / f"{name}.txt"


if __name__ == "__main__":
    for name, example in EXAMPLES.items():
        write_listing(example().compiled().program, listing_file(name))
