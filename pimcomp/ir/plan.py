"""What solvers see (MappingProblem, Judges) and what they decide (Plan), and the Protocol between them.

A problem is plain numbers: no ONNX, no weights. Index k runs over the weighted layers in graph order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pimcomp.ir.array_group import Unfolding
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import IntArray


class Pipeline(StrEnum):
    """element: one image as soon as possible. batch: images per second."""

    ELEMENT = "element"
    BATCH = "batch"


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LayerOption:
    """One way to unfold a layer: `ag_crossbars` int32[array groups] of one replica, and what it costs at rob_size 1.

    firings: MVMs per array group and inference, over all replicas (window blocks).
    mvm_ns: float64[array groups], unit time of one firing, instruction overhead included.
    vector_ns: copies and additions per window block, all array groups of a replica on one core.
    crossbars: of one replica.
    """

    unfolding: Unfolding
    firings: int
    ag_crossbars: IntArray
    mvm_ns: npt.NDArray[np.float64]
    vector_ns: float
    crossbars: int = field(init=False)

    def __post_init__(self) -> None:
        """Add up what is asked for thousands of times."""
        object.__setattr__(self, "crossbars", int(self.ag_crossbars.sum()))

    @property
    def work_ns(self) -> float:
        """Issue time of one inference, over all cores together."""
        return float(self.firings * (self.mvm_ns.sum() + self.vector_ns))


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Layer:
    """A weighted layer. `depends` are the weighted layers (by k) whose results it reads, possibly through vector
    layers.

    windows: output positions (h_out * w_out; 1 for fully connected), an upper limit of useful replication per option:
    `options[o].firings`. join_ns: sending the partial sums of one output position to another core at mean distance and
    adding them there. fully_connected layers are never replicated by the faithful heuristics (pimcomp.md section 4).
    """

    name: str
    windows: int
    out_height: int
    out_width: int
    output_bytes: int  # of one output position
    fully_connected: bool
    options: tuple[LayerOption, ...]
    depends: tuple[int, ...]
    join_ns: float = 0.0


SCARCE = 0.8  # share of the crossbars that one replica of everything takes, above which they are scarce


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MappingProblem:
    """Choose for every layer an option, a replication and a core for each array group.

    vector_work_ns: issue time per inference of everything that is not a weighted layer (pooling, additions ...).
    hops_ns: float64[cores, cores], NoC latency per flit, for placement. load_ns: time the one memory server needs for
    the network's input. message_ns: time at each end of a short message; as it stands it is not the chip's own but
    measured on the reference chips' programs by the timeline (rendezvous, memory accesses, a few flits).
    """

    name: str
    pipeline: Pipeline
    cores: int
    crossbars_per_core: int
    rob_size: int
    layers: tuple[Layer, ...]
    vector_work_ns: float
    hops_ns: npt.NDArray[np.float64]
    load_ns: float = 0.0
    message_ns: float = 1500.0

    @property
    def crossbars(self) -> int:
        """Crossbars of the chip."""
        return self.cores * self.crossbars_per_core

    @property
    def scarce(self) -> bool:
        """Whether one replica of everything leaves few crossbars for more."""
        return sum(min(o.crossbars for o in layer.options) for layer in self.layers) > SCARCE * self.crossbars


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Plan:
    """The decision. For layer k: `option[k]` index, `replication[k]` >= 1, `core_of[k]` int32[replication, array
    groups]."""

    option: tuple[int, ...]
    replication: tuple[int, ...]
    core_of: tuple[IntArray, ...]

    def crossbars_used(self, problem: MappingProblem) -> int:
        """Crossbars the plan occupies."""
        return sum(
            r * layer.options[o].crossbars
            for layer, o, r in zip(problem.layers, self.option, self.replication, strict=True)
        )


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Judgement:
    """What a judge says of a plan. time_ns: per image, what the pipeline is judged by (inf: its program does not fit
    local memory). actions: tasks and messages that were ordered, or what takes as long: the effort in units that do not
    depend on the machine. share: float64[layers], each layer's part of that time in ns.
    """

    time_ns: float
    actions: int
    share: npt.NDArray[np.float64]


class Judge(Protocol):
    """How long a network takes with a plan: by closed forms, by an estimate, or by its ordered program."""

    def judge(self, plan: Plan) -> Judgement:
        """Plans must respect the chip's capacities."""
        ...


Judges = Mapping[str, Judge]  # those at hand beside the closed forms, by their names (pimcomp/plan/judge.py)


class Status(StrEnum):
    """OPTIMAL and INFEASIBLE are proofs; FEASIBLE is a plan without one; UNKNOWN is neither."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Outcome:
    """A solver's answer. `plan` is set iff status is OPTIMAL or FEASIBLE.

    objective_ns and bound_ns: the solver's own objective at the plan and a proven lower bound of it over all plans
    (None: no bound claimed). reason: why not, with numbers and levers (INFEASIBLE/UNKNOWN). notes: what degraded.
    time_limited: a wall-clock limit changed the answer, so it is not reproducible.
    """

    status: Status
    plan: Plan | None
    objective_ns: float | None = None
    bound_ns: float | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    time_limited: bool = False
    wall_s: float = 0.0


class Reads(StrEnum):
    """What a solver's plan depends on: where many chips are looked at, chips that agree in it share the plan."""

    SHAPES = "shapes"  # array groups and their firings, cores and their crossbars
    COSTS = "costs"  # those, and how long everything takes
    ALL = "all"  # pipeline, judges and seed as well


class Solver(Protocol):
    """Problem in, Outcome out. Same (problem, seed) gives the same plan unless `time_limited` is reported.

    A class attribute `reads` may say that the plan depends on less than everything (see Reads).
    """

    @property
    def name(self) -> str:
        """The name on the command line."""
        ...

    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Choose a plan. Never raises for a problem that does not fit: that is an INFEASIBLE or UNKNOWN outcome.

        judges: what else than the problem's closed forms can say how good a plan is; a solver may ignore them.
        time_limit_s: bounds the search, by a budget in deterministic units derived from it and, marked `time_limited`,
        by the clock; None: the solver's own budget.
        """
        ...
