"""What one compilation produced, and how it came about."""

from dataclasses import dataclass

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import MappingProblem, Outcome, Plan
from pimcomp.ir.program import LongArray, Program
from pimcomp.ir.report import Bounds, Energy, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a program came about: everything that decides its bytes, and what was changed or dropped on the way.

    weights: "onnx", "random:SEED" or where else they came from. notes: of the import, the chip description and the
    solver.
    """

    model: str
    solver: str
    pipeline: str
    seed: int
    weights: str = "onnx"
    notes: tuple[str, ...] = ()


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Compiled:
    """A program, what it was made from, and its predicted figures.

    bounds: proven for every program of the graph with these unfoldings. energy_not_counted: contributors without
    figures in the chip's description.

    clip_code: int64, the integer bounds the registers were assigned with (None: indices into `program.clip_values`).
    """

    arch: Arch
    graph: Graph
    partition: Partition
    problem: MappingProblem
    outcome: Outcome
    program: Program
    timing: Timing
    energy: Energy
    bounds: Bounds
    energy_not_counted: tuple[str, ...]
    provenance: Provenance
    clip_code: LongArray | None = None

    @property
    def latency_ns(self) -> float:
        """From an image's first input byte to its last output byte: one pass, and the rounds until its outputs show."""
        return self.timing.latency_ns + self.program.output_round_delay * self.timing.period_ns_per_round

    @property
    def period_ns(self) -> float:
        """Time per image in steady state."""
        return self.timing.period_ns_per_round / self.program.images_per_round

    @property
    def throughput_per_s(self) -> float:
        """Images per second in steady state; 0 for a program that takes no time."""
        per_round_ns = self.timing.period_ns_per_round
        return self.program.images_per_round * 1e9 / per_round_ns if per_round_ns else 0.0

    @property
    def energy_pj(self) -> float:
        """Energy per image, static power over one pass included."""
        return self.energy.total_pj / self.program.images_per_round

    @property
    def avg_power_mw(self) -> float:
        """Average power over one pass (1 pJ/ns = 1 mW)."""
        return self.energy.total_pj / self.timing.latency_ns if self.timing.latency_ns else 0.0

    @property
    def plan(self) -> Plan:
        """The plan of the outcome.

        Raises InvariantError if there is none: such an outcome has no program.
        """
        if self.outcome.plan is None:
            raise InvariantError(
                f"{self.provenance.solver} gave no plan ({self.outcome.status}), yet there is a program"
            )
        return self.outcome.plan
