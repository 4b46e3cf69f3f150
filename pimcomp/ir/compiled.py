"""What one compilation produced, and how it came about."""

from dataclasses import dataclass

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import MappingProblem, Outcome, Plan
from pimcomp.ir.precision import Precision
from pimcomp.ir.program import LongArray, Program
from pimcomp.ir.report import Bounds, Figures, OrderBounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a program came about: everything that decides its bytes, and what was changed or dropped on the way.

    weights: "onnx", "random:SEED" or where else they came from. notes: of the import, the chip description and the
    solver. precision: layers that have other bits than the chip.
    """

    model: str
    solver: str
    pipeline: str
    seed: int
    weights: str = "onnx"
    notes: tuple[str, ...] = ()
    precision: tuple[tuple[str, Precision], ...] = ()


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Compiled(Figures):
    """A program, what it was made from, and its predicted figures.

    bounds: proven for every program of the graph with these unfoldings; order_bounds: for every order of this one.

    clip_code: int64, the integer bounds the registers were assigned with (None: indices into `program.clip_values`).
    """

    arch: Arch
    graph: Graph
    partition: Partition
    problem: MappingProblem
    outcome: Outcome
    program: Program
    bounds: Bounds
    order_bounds: OrderBounds
    provenance: Provenance
    clip_code: LongArray | None = None

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
