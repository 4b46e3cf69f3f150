"""What the execution of a candidate's program showed."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pimcomp.emit.outputs import emit
from pimcomp.errors import PimdseError
from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph
from pimcomp.plan.partition import conv_of
from pimcomp.proof.executed import verify_program

MOST_PRODUCTS = 4e9  # per image, of networks whose accuracy is worth its time: resnet18 has 1.8e9, which take 15 s


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The verdict on a candidate's program for one network.

    error: largest difference from onnxruntime, as a share of the output's range; None if there is nothing to compare.
    executed: whether there is a verdict; if not, `reason` says what prevented it, and passed is false. accuracy: the
    metric of that name on the candidate's crossbars; None: `unmeasured` says why.
    """

    network: str
    passed: bool
    images: int
    error: float | None
    reason: str
    executed: bool = True
    accuracy: float | None = None
    unmeasured: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the program ran and something was not right."""
        return self.executed and not self.passed


def execute(compiled: Compiled, network: LoadedNetwork, label: str) -> Proof:
    """Write a program's files, execute them and compare with ONNX Runtime."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "program"
        emit(compiled, folder)
        report = verify_program(folder, network, images=1)  # as many as its rounds take, two at least
    error = report.share if math.isfinite(report.share) else None
    return Proof(network=label, passed=report.passed, images=report.images, error=error, reason=report.reason)


def with_accuracy(proof: Proof, graph: Graph, measure: Callable[[], float]) -> Proof:
    """The verdict with the accuracy, or with the reason why that is not measured."""
    nodes = [graph.nodes[node] for node in graph.weighted()]
    products = sum(conv_of(node).weights.size * node.height * node.width for node in nodes)
    if products > MOST_PRODUCTS:
        why = f"{products:.1e} products per image take long, verify --integer measures any one"
        return replace(proof, unmeasured=why)
    try:
        return replace(proof, accuracy=measure())
    except PimdseError as error:
        return replace(proof, unmeasured=str(error))
