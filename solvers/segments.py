"""Where to cut a network that is larger than the chip, and how many crossbars each segment is worth writing.

A visit of a segment writes its crossbars, then computes the images of the visit; every replica shortens the computing
and lengthens the writing. So a segment has a budget of crossbars per core, that of its bound (`segment_bounds.py`), and
its price is that of the plan of `exact` and its estimate. The cuts with the least sum are a shortest path
(`pimcomp/plan/segments.py`), for which bounds tell what need not be priced; images of a visit wait in global memory
between segments.
"""

from collections.abc import Callable, Sequence
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
from pimcomp.plan.segments import Span, cheapest_of_bounded, cut_candidates, entering_bytes, segment, waiting_bytes
from pimcomp.plan.split_layers import split_layers
from pimcomp.plan.unfoldings import unfoldings_of
from pimcomp.plan.writing import rows_written, write_ns, write_pj
from solvers.exact.exact import Exact
from solvers.segment_bounds import Piece, Ranges, Work, work_of

PROVEN_UP_TO = 2000  # segments; of more, those are priced alone that lie near the cheapest cuts
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


class _Prepared(NamedTuple):
    """A segment that fits. of: its price by the crossbars of every core that it may use, None without a plan."""

    work: Work
    of: Callable[[int], Price | None]


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What segments cost on a chip.

    Each is estimated once: those that differ in names and in the values of weights alone, as the blocks of a layer do,
    have one price, although an estimate knows filters that are zero in whole taps.
    """

    arch: Arch
    pipeline: Pipeline
    options: ScheduleOptions
    _known: dict[str, _Prepared | None] = field(default_factory=dict, init=False)
    _unfolded: Known = field(default_factory=dict, init=False)

    def work(self, part: Graph) -> Work | None:
        """What its layers take at the least; None if it does not fit."""
        prepared = self._prepared(part)
        return None if prepared is None else prepared.work

    def whole(self, part: Graph) -> Price | None:
        """A segment that may use all crossbars; None if it does not fit."""
        prepared = self._prepared(part)
        return None if prepared is None else prepared.of(self.arch.crossbars_per_core)

    def of(self, part: Graph, images: int) -> Price | None:
        """A segment with the budget that its bound is least with, or the next larger one into which a plan packs; all
        crossbars where writing is free; None if it does not fit."""
        prepared, most = self._prepared(part), self.arch.crossbars_per_core
        if prepared is None:
            return None
        budget = Ranges([Piece(prepared.work)], self.arch).begin(0, images)[0].crossbars_per_core
        budget = min(budget, most) if self.arch.row_write_ns else most
        while budget < most and prepared.of(budget) is None:
            budget = min(most, budget + max(1, budget // 10))
        return prepared.of(budget)

    def _prepared(self, part: Graph) -> _Prepared | None:
        key = kind_of(part)
        if key not in self._known:
            part = rewrite(part, self.arch, self.options, self.pipeline, self._unfold)
            self._known[key] = self._estimated(part) if fits(part, self.arch) else None
        return self._known[key]

    def _estimated(self, part: Graph) -> _Prepared:
        parts = partition(part, self.arch, self._unfolded)
        problem = build_problem(part, self.arch, parts, self.pipeline)
        return _Prepared(work_of(problem, parts), priced(part, parts, problem, self.arch, self.options))

    def _unfold(self, graph: Graph, index: int, arch: Arch) -> Unfoldings:
        return unfoldings_of(graph, useful_unfoldings(graph, index, arch, self._unfolded))


def priced(
    part: Graph, parts: Partition, problem: MappingProblem, arch: Arch, options: ScheduleOptions
) -> Callable[[int], Price | None]:
    """The price of a rewritten graph by how many crossbars of every core it may use; None where there is no plan."""
    estimator = Estimator.of(part, arch, parts)

    @cache
    def price(budget: int) -> Price | None:
        within = replace(problem, crossbars_per_core=budget)
        plan = Exact().solve(within, {}, time_limit_s=None, seed=0).plan
        if plan is None:
            return None
        found, rows = estimator.estimate([plan], problem.pipeline, options), rows_written(parts, plan)
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

    def latency_ns(graph: Graph) -> Callable[[int], float]:
        parts = partition(graph, arch)
        price = priced(graph, parts, build_problem(graph, arch, parts, pipeline), arch, options)
        return lambda budget: inf if (found := price(budget)) is None else found.latency_ns

    times = [latency_ns(graph) for graph in rewritten]
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
    graph = split_layers(
        graph, prices.arch, prices.options, lambda part: _ns(prices.of(part, images or 1), images or 1)
    )
    search, room = _Search(graph, prices), prices.arch.global_memory_bytes
    first = search.cheapest(images or 1, room or inf)
    if first is None:
        search.refuse_memory(images or 1)
    counts = {room // size for size in search.waiting() if size} if images is None and room else set()
    others = (search.cheapest(count, room) for count in sorted(counts) if count > 1)
    return min((first, *filter(None, others)), key=lambda each: each.visit_ns / each.images_per_visit)


def on_chips(graph: Graph, prices: Prices) -> OnChips:
    """As few chips as cuts of the order of nodes allow, and of these the cuts with the least that crosses the links: a
    map crosses once to every chip that reads it. Every part has all crossbars of its chip, and its weights stay.

    graph: with layers that fit one chip, as `cut_cheaply` leaves it.
    """
    search, size = _Search(graph, prices), prices.arch.element_bytes

    @cache
    def crossing(first: int, stop: int) -> int:
        return entering_bytes(graph, first, stop, size)

    def bound(first: int, stop: int) -> float | None:
        return _ONE_CHIP + crossing(first, stop) if (first, stop) in search.bounds(1) else None

    def price(first: int, stop: int) -> float | None:
        return bound(first, stop) if prices.whole(segment(graph, first, stop)) is not None else None

    cuts = cheapest_of_bounded(search.candidates, bound, price)
    assert cuts is not None, graph.name  # every layer fits
    spans = list(pairwise(cuts.positions))
    parts = tuple(filter(None, (prices.whole(segment(graph, *span)) for span in spans)))
    return OnChips(cuts.positions, parts, sum(crossing(*span) for span in spans))


class _Search:
    """Cuts of one graph. Segments are priced only where bounds do not say that others are cheaper."""

    def __init__(self, graph: Graph, prices: Prices) -> None:
        self.graph, self.arch, self._prices = graph, prices.arch, prices
        self.candidates = cut_candidates(graph)
        self._ranges = Ranges([self._piece(*span) for span in pairwise(self.candidates)], prices.arch)
        self.bounds, self._waits = cache(self._bounds), cache(self._waiting)

    def cheapest(self, images: int, room: float) -> Segments | None:
        """With no more waiting than there is room; None if there are none."""
        bounds = self.bounds(images)

        def bound(first: int, stop: int) -> float | None:
            full = room < inf and (first, stop) in bounds and images * self._waits(first, stop) > room
            return inf if full else bounds.get((first, stop))

        def price(first: int, stop: int) -> float | None:
            return _ns(self._prices.of(segment(self.graph, first, stop), images), images)

        cuts = cheapest_of_bounded(self.candidates, bound, price, proven=len(bounds) <= PROVEN_UP_TO)
        if cuts is None:
            return None
        chosen = (self._prices.of(segment(self.graph, *span), images) for span in pairwise(cuts.positions))
        return Segments(self.graph, cuts.positions, tuple(filter(None, chosen)), images)

    def waiting(self) -> set[int]:
        """Bytes per image that wait during the segments that may fit."""
        return {self._waits(*span) for span in self.bounds(1)}

    def refuse_memory(self, images: int) -> NoReturn:
        """Raises CapacityError with what the cheapest cuts need."""
        cuts = self.cheapest(images, inf)
        assert cuts is not None, self.graph.name  # with every candidate cut, all fit
        demand = images * max(self._waits(*span) for span in pairwise(cuts.positions))
        where = f"{images} images per visit of {self.graph.name}'s segments on {self.arch.name}"
        raise CapacityError("bytes of global memory", demand, self.arch.global_memory_bytes, where=where)

    def _bounds(self, images: int) -> dict[Span, float]:
        """Of every segment that may fit."""
        return {
            (first, stop): least.price_ns
            for at, first in enumerate(self.candidates[:-1])
            for stop, least in zip(self.candidates[at + 1 :], self._ranges.begin(at, images), strict=False)
        }

    def _waiting(self, first: int, stop: int) -> int:
        return waiting_bytes(self.graph, first, stop, self.arch.element_bytes)

    def _piece(self, first: int, stop: int) -> Piece:
        """What is between two candidates. Raises CapacityError if it does not fit."""
        part = segment(self.graph, first, stop)
        work = self._prices.work(part)
        if work is None or self._prices.whole(part) is None:
            layers = ", ".join(part.nodes[node].name for node in part.weighted())
            needed, where = (
                int(group_sizes(part, self.arch).sum()),
                f"{layers} on {self.arch.name}, a segment of its own",
            )
            raise CapacityError("crossbars", needed, self.arch.crossbars, where=where)
        for begin in self._siblings(first, stop):
            together = self._prices.work(segment(self.graph, begin, stop))
            if together is not None:
                return Piece(work, self._prices.work(segment(self.graph, begin, first)), together)
        return Piece(work)

    def _siblings(self, first: int, stop: int) -> list[int]:
        """Candidates before `first` where a layer begins that reads what one of [first, stop) reads."""
        reads = {i: tuple(self.graph.nodes[i].inputs[0].nodes) for i in self.graph.weighted() if i < stop}
        shared = {sources for node, sources in reads.items() if node >= first}
        meant = [node for node, sources in reads.items() if node < first and sources in shared]
        starts = pairwise(c for c in self.candidates if c <= first)
        return [begin for begin, end in starts if any(begin <= node < end for node in meant)]


def _ns(price: Price | None, images: int) -> float | None:
    return None if price is None else price.of_visit(images)


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
