"""What the execution of a candidate's program showed."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pimcomp.emit.outputs import emit
from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled
from pimcomp.proof.executed import verify_program


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The verdict on a candidate's program for one network.

    error: largest difference from onnxruntime, as a share of the output's range; None if there is nothing to compare.
    executed: whether there is a verdict; if not, `reason` says what prevented it, and passed is false.
    """

    network: str
    passed: bool
    images: int
    error: float | None
    reason: str
    executed: bool = True

    @property
    def wrong(self) -> bool:
        """Whether the program ran and something was not right."""
        return self.executed and not self.passed

    def to_json(self) -> dict[str, object]:
        """Plain values for the study."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Proof":
        """The inverse of `to_json`."""
        return Proof(**{field.name: data[field.name] for field in fields(Proof)})


def execute(compiled: Compiled, network: LoadedNetwork, label: str) -> Proof:
    """Write a program's files, execute them and compare with ONNX Runtime."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "program"
        emit(compiled, folder)
        report = verify_program(folder, network, images=1)  # as many as its rounds take, two at least
    error = report.share if math.isfinite(report.share) else None
    return Proof(network=label, passed=report.passed, images=report.images, error=error, reason=report.reason)
