"""Where to cut a network that is larger than the chip, and how many crossbars each segment is worth writing.

A visit of a segment writes its crossbars, then computes the images of the visit; every replica shortens the computing
and lengthens the writing. So a segment's price is the least over budgets of crossbars per core: all, a half, a quarter
and so on, each with the plan of `exact` and its estimate. The cuts with the least sum are a shortest path
(`pimcomp/plan/segments.py`); images of a visit wait in global memory between segments.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from math import inf
from typing import NamedTuple, NoReturn

from pimcomp.errors import CapacityError
from pimcomp.estimate import Estimator
from pimcomp.foundation.digest import digest
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition, Unfoldings
from pimcomp.ir.graph import Conv, Graph, IntArray, Standalone
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Pipeline, Solver, Status
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.cores_needed import cores_needed
from pimcomp.plan.levers import fits, group_sizes
from pimcomp.plan.partition import Known, partition, useful_unfoldings
from pimcomp.plan.problem import build_problem
from pimcomp.plan.regions import Aim, share
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.plan.segments import Span, cheapest_cuts, cut_candidates, entering_bytes, segment, waiting_bytes
from pimcomp.plan.split_layers import split_layers
from pimcomp.plan.unfoldings import unfoldings_of
from pimcomp.plan.writing import least_rows, rows_written, write_ns, write_pj
from solvers.exact.exact import Exact

_ONE_CHIP = 2.0**42  # more bytes than can cross: chips count first; sums of them and of bytes are exact


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


class OnChips(NamedTuple):
    """A network on several chips, a part on each. prices: one per part; crossing_bytes: per image, over the links."""

    positions: tuple[int, ...]
    prices: tuple[Price, ...]
    crossing_bytes: int


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
    _unfolded: Known = field(default_factory=dict, init=False)

    def all_of(self, part: Graph) -> tuple[Price, ...]:
        """The prices of a segment by budget, the largest first; none if it does not fit."""
        key = kind_of(part)
        if key not in self._known:
            self._known[key] = tuple(self._estimated(part))
        return self._known[key]

    def _estimated(self, part: Graph) -> Iterator[Price]:
        part = rewrite(part, self.arch, self.options, self.pipeline, self._unfold)
        if not fits(part, self.arch):
            return
        parts = partition(part, self.arch, self._unfolded)
        of, least = priced(part, parts, self.arch, self.pipeline, self.options), least_rows(parts)
        budget = self.arch.crossbars_per_core
        while budget and (price := of(budget)) is not None:
            yield price
            # where writing is free, or there is nothing but one replica of each layer, nothing speaks for fewer
            budget = budget // 2 if self.arch.row_write_ns and price.rows > least else 0

    def _unfold(self, graph: Graph, index: int, arch: Arch) -> Unfoldings:
        return unfoldings_of(graph, useful_unfoldings(graph, index, arch, self._unfolded))


def priced(
    part: Graph, parts: Partition, arch: Arch, pipeline: Pipeline, options: ScheduleOptions
) -> Callable[[int], Price | None]:
    """The price of a rewritten graph by how many crossbars of every core it may use; None where there is no plan."""
    problem, estimator = build_problem(part, arch, parts, pipeline), Estimator.of(part, arch, parts)

    def price(budget: int) -> Price | None:
        within = replace(problem, crossbars_per_core=budget)
        plan = Exact().solve(within, {}, time_limit_s=None, seed=0).plan
        if plan is None:
            return None
        found, rows = estimator.estimate([plan], pipeline, options), rows_written(parts, plan)
        return Price(
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

    return price


def staying(graphs: Sequence[Graph], arch: Arch, pipeline: Pipeline, options: ScheduleOptions) -> list[int] | None:
    """How many crossbars of every core each of several programs may use so that the weights of all stay in theirs, for
    the least sum of times; None if they do not fit side by side in every core.
    """
    rewritten = [rewrite(graph, arch, options, pipeline) for graph in graphs]

    def least_budget(needed: IntArray) -> int:
        """More than a core has if none is enough."""
        first = max(1, int(needed.max(initial=0)), -(-int(needed.sum()) // arch.total_cores))
        budgets = range(first, arch.crossbars_per_core + 1)
        packed = (b for b in budgets if cores_needed(needed, b) <= arch.total_cores)
        return next(packed, arch.crossbars_per_core + 1)

    least = [least_budget(group_sizes(graph, arch)) for graph in rewritten]
    if sum(least) > arch.crossbars_per_core:
        return None

    def latency_ns(of: Callable[[int], Price | None]) -> Callable[[int], float]:
        @cache
        def known(budget: int) -> float:
            price = of(budget)
            return inf if price is None else price.latency_ns

        return known

    times = [latency_ns(priced(graph, partition(graph, arch), arch, pipeline, options)) for graph in rewritten]
    return [*share(least, arch.crossbars_per_core, times, Aim([1.0] * len(times)))]


def kind_of(part: Graph) -> str:
    """A digest of a graph without names and values of weights: plans and prices do not depend on either."""
    nodes: list[object] = []
    for node in part.nodes:
        operation = node.operation
        if isinstance(operation, Conv):
            nodes.append((operation.window, operation.weights.shape, operation.bias is None, operation.groups))
        named = Standalone() if isinstance(operation, Conv) else operation
        nodes.append(replace(node, name="", operation=named))
    return digest((tuple(nodes), tuple(part.stored())))


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


def on_chips(graph: Graph, prices: Prices) -> OnChips:
    """As few chips as cuts of the order of nodes allow, and of these the cuts with the least that crosses the links: a
    map crosses once to every chip that reads it. Every part has all crossbars of its chip, and its weights stay.

    graph: with layers that fit one chip, as `cut_cheaply` leaves it.
    """
    candidates, size = cut_candidates(graph), prices.arch.element_bytes

    def price(first: int, stop: int) -> float | None:
        fitting = prices.all_of(segment(graph, first, stop))
        return _ONE_CHIP + entering_bytes(graph, first, stop, size) if fitting else None

    cuts = cheapest_cuts(candidates, price)
    assert cuts is not None, graph.name  # every layer fits
    spans = list(pairwise(cuts.positions))
    parts = tuple(prices.all_of(segment(graph, *span))[0] for span in spans)
    return OnChips(cuts.positions, parts, sum(entering_bytes(graph, *span, size) for span in spans))


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
