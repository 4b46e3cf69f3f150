"""Where to cut a network that is larger than the chip, and how many crossbars each segment is worth writing.

A visit of a segment writes its crossbars, then computes the images of the visit; every replica shortens the computing
and lengthens the writing. So a segment's price is the least over budgets of crossbars per core: all, a half, a quarter
and so on, each with the plan of `exact` and its estimate. The cuts with the least sum are a shortest path
(`pimcomp/plan/segments.py`); images of a visit wait in global memory between segments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from typing import NamedTuple, NoReturn

from pimcomp.errors import CapacityError
from pimcomp.estimate import Estimator
from pimcomp.foundation.digest import digest
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Conv, Graph, Standalone
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Pipeline, Solver, Status
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.levers import fits, group_sizes
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewrite import rewrite
from pimcomp.plan.segments import Span, cheapest_cuts, cut_candidates, segment, waiting_bytes
from pimcomp.plan.split_layers import split_layers
from pimcomp.plan.writing import rows_written, write_ns, write_pj
from solvers.exact.exact import Exact


def visit_ns(latency_ns: float, period_ns: float, images_per_round: int, images: int) -> float:
    """Time in which a program computes so many images: the first round, then a period per image of the others."""
    return latency_ns + (-(-images // images_per_round) - 1) * images_per_round * period_ns


class Price(NamedTuple):
    """What a segment takes under one budget. crossbars_per_core: the budget; write_ns, write_pj: 0 if not known."""

    crossbars_per_core: int
    crossbars_used: int
    rows: int
    write_ns: float
    write_pj: float
    latency_ns: float
    period_ns: float
    energy_pj: float
    images_per_round: int

    def of_visit(self, images: int) -> float:
        """Writing, then computing so many images, in ns."""
        return self.write_ns + visit_ns(self.latency_ns, self.period_ns, self.images_per_round, images)


class Segments(NamedTuple):
    """A network in segments. graph: with layers that fit; positions: of its cuts; prices: one per segment."""

    graph: Graph
    positions: tuple[int, ...]
    prices: tuple[Price, ...]
    images_per_visit: int

    @property
    def visit_ns(self) -> float:
        """One visit of every segment, writing included."""
        return sum(price.of_visit(self.images_per_visit) for price in self.prices)


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What segments cost on a chip.

    Each is estimated once: those that differ in names and in the values of weights alone, as the blocks of a layer do,
    have one price, although an estimate knows filters that are zero in whole taps.
    """

    arch: Arch
    pipeline: Pipeline
    options: ScheduleOptions
    _known: dict[str, tuple[Price, ...]] = field(default_factory=dict, init=False)

    def all_of(self, part: Graph) -> tuple[Price, ...]:
        """The prices of a segment by budget, the largest first; none if it does not fit."""
        key = digest(_without_values(part))
        if key not in self._known:
            self._known[key] = tuple(self._estimated(part))
        return self._known[key]

    def _estimated(self, part: Graph) -> Iterator[Price]:
        arch = self.arch
        part = rewrite(part, arch, self.options)
        if not fits(part, arch):
            return
        parts = partition(part, arch)
        problem, estimator = build_problem(part, arch, parts, self.pipeline), Estimator.of(part, arch, parts)
        budget = arch.crossbars_per_core
        while budget:
            within = replace(problem, crossbars_per_core=budget)
            plan = Exact().solve(within, {}, time_limit_s=None, seed=0).plan
            if plan is None:
                break
            found, rows = estimator.estimate([plan], self.pipeline, self.options), rows_written(parts, plan)
            yield Price(
                crossbars_per_core=budget,
                crossbars_used=int(found.crossbars_used[0]),
                rows=rows,
                write_ns=write_ns(arch, rows) or 0.0,
                write_pj=write_pj(arch, rows) or 0.0,
                latency_ns=float(found.latency_ns[0]),
                period_ns=float(found.period_ns[0]),
                energy_pj=float(found.energy_pj[0]),
                images_per_round=found.images,
            )
            budget = budget // 2 if arch.row_write_ns else 0  # where writing is free, nothing speaks for fewer


def _without_values(part: Graph) -> tuple[object, ...]:
    """A graph without names and weights, for its price depends on neither."""
    nodes: list[object] = []
    for node in part.nodes:
        operation = node.operation
        if isinstance(operation, Conv):
            nodes.append((operation.window, operation.weights.shape, operation.bias is None, operation.groups))
        named = Standalone() if isinstance(operation, Conv) else operation
        nodes.append(replace(node, name="", operation=named))
    return tuple(nodes), tuple(part.stored())


def cut_cheaply(graph: Graph, prices: Prices, images: int | None = 1) -> Segments:
    """The segments whose visits take the least time per image. images: per visit; None: as many as pay.

    Layers are divided by the time of one image. With None, every number is tried beyond which the maps that wait during
    some segment do not fit the global memory: between two of them the larger is better.

    Raises CapacityError naming what no cuts help, or if the maps that wait do not fit.
    """
    graph = split_layers(graph, prices.arch, prices.options, lambda part: _least_ns(prices.all_of(part), images or 1))
    search, room = _Search(graph, prices), prices.arch.global_memory_bytes
    first = search.cheapest(images or 1, room or inf)
    if first is None:
        search.refuse_memory(images or 1)
    counts = {room // size for _, size in search.fitting.values() if size} if images is None and room else set()
    others = (search.cheapest(count, room) for count in sorted(counts) if count > 1)
    return min((first, *filter(None, others)), key=lambda each: each.visit_ns / each.images_per_visit)


class _Search:
    """Cuts of one graph. fitting: prices of the segments between two candidates, and bytes per image that wait then."""

    def __init__(self, graph: Graph, prices: Prices) -> None:
        self.graph, self.arch, self._prices = graph, prices.arch, prices
        self._candidates = cut_candidates(graph)
        self._shortest = set(pairwise(self._candidates))
        self.fitting: dict[Span, tuple[tuple[Price, ...], int]] = {}

    def cheapest(self, images: int, room: float) -> Segments | None:
        """With no more waiting than there is room; None if there are none."""
        cuts = cheapest_cuts(self._candidates, lambda *span: self._price_ns(span, images, room))
        if cuts is None:
            return None
        chosen = (self.fitting[span][0] for span in pairwise(cuts.positions))
        least = (min(prices, key=lambda price: price.of_visit(images)) for prices in chosen)
        return Segments(self.graph, cuts.positions, tuple(least), images)

    def refuse_memory(self, images: int) -> NoReturn:
        """Raises CapacityError with what the cheapest cuts need."""
        cuts = self.cheapest(images, inf)
        assert cuts is not None, self.graph.name  # with every candidate cut, all fit
        demand = images * max(self.fitting[span][1] for span in pairwise(cuts.positions))
        where = f"{images} images per visit of {self.graph.name}'s segments on {self.arch.name}"
        raise CapacityError("bytes of global memory", demand, self.arch.global_memory_bytes, where=where)

    def _price_ns(self, span: Span, images: int, room: float) -> float | None:
        if span not in self.fitting:
            part = segment(self.graph, *span)
            prices = self._prices.all_of(part)
            if not prices and span in self._shortest:
                self._refuse(part)
            if not prices:
                return None
            self.fitting[span] = prices, waiting_bytes(self.graph, *span, self.arch.element_bytes)
        prices, size = self.fitting[span]
        return inf if images * size > room else _least_ns(prices, images)

    def _refuse(self, part: Graph) -> NoReturn:
        layers = ", ".join(part.nodes[node].name for node in part.weighted())
        needed, where = int(group_sizes(part, self.arch).sum()), f"{layers} on {self.arch.name}, a segment of its own"
        raise CapacityError("crossbars", needed, self.arch.crossbars, where=where)


def _least_ns(prices: Sequence[Price], images: int) -> float | None:
    return min((price.of_visit(images) for price in prices), default=None)


@dataclass(frozen=True, slots=True)
class Within:
    """A solver that uses so many crossbars of every core, or all of them where it packs nothing into fewer."""

    solver: Solver
    crossbars_per_core: int

    @property
    def name(self) -> str:
        """The solver's."""
        return self.solver.name

    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """The solver's answer; its bound holds for fewer crossbars only, so none is claimed."""
        within = replace(problem, crossbars_per_core=self.crossbars_per_core)
        found = self.solver.solve(within, judges, time_limit_s=time_limit_s, seed=seed)
        if found.plan is None:
            return self.solver.solve(problem, judges, time_limit_s=time_limit_s, seed=seed)
        return replace(found, status=Status.FEASIBLE, bound_ns=None)
