"""stream: plans for row-streaming execution, found by simple rules that compiled programs confirmed.

Rows flow through the layers, and after the last row has entered, every layer on the longest chain adds the time of one
row. Three rules keep that time short (docs/scheduling.md tells what each is worth):

- Unfolding: scatter where it is defined (every input pixel enters one MVM), else the block of windows that saves most
  firings for its crossbars.
- Replication: minimising a sum of work_k / (height_k r_k) under a crossbar budget sum of x_k r_k gives
  r_k proportional to sqrt(work_k / (height_k x_k)); the factor comes from bisection.
- Cores: a replica's array groups on as many cores as the layer's replicas leave for each, the least loaded ones;
  partial sums that travel cost less than firings that wait for each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import Judges, Layer, LayerOption, MappingProblem, Outcome, Plan, Reads, Status
from pimcomp.plan.cost import FloatVector, IntVector, plan_cost
from pimcomp.schedule.work import FLAT_JOIN
from solvers.capacity import answer, no_plan, smallest_options
from solvers.options import setting
from solvers.placing.board import Board, put

FILLS = (0.93, 0.8, 0.6, 0.4)  # shares of the crossbars that replication may use: packing needs some room
THRIFTY_FILLS = (0.98, 0.96, 0.93)
NARROW_BLOCK = 2
CLOSE_SPREAD = 1.1
HALO = 2  # columns that a scattering segment needs besides its own: those of a kernel of three


@dataclass(frozen=True, slots=True)
class Variant:
    """One setting of the rules.

    scatter: use it where it is defined. row_sets: rows of a layer that may be in work at a time. widest_block:
    windows per MVM at most. scatter_columns: columns a scattering segment should have at least; kernel width - 1
    columns more enter it than leave it.
    """

    scatter: bool = True
    row_sets: int = 2
    widest_block: int = 8
    scatter_columns: int = 4


# In the order in which they did best on the shipped networks.
VARIANTS = (
    Variant(row_sets=1, widest_block=4, scatter_columns=2),
    Variant(scatter_columns=2),
    Variant(),
    Variant(row_sets=2, widest_block=2, scatter_columns=2),
    Variant(scatter_columns=1),
    Variant(row_sets=1, widest_block=1, scatter_columns=2),
    Variant(scatter=False, row_sets=1, widest_block=2),
    Variant(scatter=False, row_sets=2, widest_block=4),
)


@dataclass(frozen=True, slots=True)
class Streaming:
    """The first variant that can be packed."""

    scatter: bool = setting(True, "false: plans without scattering convolutions")
    widest_block: int = setting(8, "windows per MVM at most")
    reads: ClassVar[Reads] = Reads.COSTS
    name: str = field(default="stream", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        plan = next(stream_plans(problem, restricted(self.scatter, self.widest_block)), None)
        if plan is None:
            return no_plan(problem)
        objective = plan_cost(problem, plan).objective_ns(problem.pipeline)
        return Outcome(status=Status.FEASIBLE, plan=plan, objective_ns=objective)


def restricted(scatter: bool, widest_block: int) -> tuple[Variant, ...]:
    """The variants with scattering and wide blocks cut to what is allowed, without repetition."""
    cut = (replace(v, scatter=v.scatter and scatter, widest_block=min(v.widest_block, widest_block)) for v in VARIANTS)
    return tuple(dict.fromkeys(cut))


def stream_plans(problem: MappingProblem, variants: tuple[Variant, ...] = VARIANTS) -> Iterator[Plan]:
    """Packed plans, at most one per variant, the most promising first, and a thrifty one.

    Where no layer can scatter (depthwise and pointwise networks), narrow blocks come first: wide ones spread a row's
    work over too few cores (mobilenetv2 on pimcomp_default: 9.1 ms with blocks up to 8, 6.1 ms with up to 2).
    """
    can_scatter = any(option.unfolding.scatter for layer in problem.layers for option in layer.options)
    for variant in sorted(variants, key=lambda v: not can_scatter and v.widest_block > NARROW_BLOCK):
        for fill in FILLS:
            plan = stream_plan(problem, variant, int(problem.crossbars * fill))
            if plan is not None:
                yield plan
                break
    if problem.scarce:
        yield from _thrifty_plans(problem)


def _thrifty_plans(problem: MappingProblem) -> Iterator[Plan]:
    """Where crossbars are scarce: of every layer the option whose replicas do most for theirs, and hardly any crossbar
    is left; at most one plan."""
    products = ([o.work_ns * o.crossbars for o in layer.options] for layer in problem.layers)
    chosen = [int(np.argmin(each)) for each in products]
    for fill in THRIFTY_FILLS:
        budget = int(problem.crossbars * fill)
        plan = _replicated(problem, _affordable(problem, chosen, budget), VARIANTS[0], budget)
        if plan is not None:
            yield plan
            return


def stream_plan(problem: MappingProblem, variant: Variant, budget: int) -> Plan | None:
    """The plan of one variant with about `budget` crossbars; None if it cannot be packed."""
    options = _affordable(problem, [choose_option(layer, variant) for layer in problem.layers], budget)
    return _replicated(problem, options, variant, budget)


def _replicated(problem: MappingProblem, options: list[int], variant: Variant, budget: int) -> Plan | None:
    """The plan with these options; None if it cannot be packed."""
    replicas = _replicate(problem, options, variant, budget)
    spreads = [best_spread(layer, layer.options[o]) for layer, o in zip(problem.layers, options, strict=True)]
    return pack(problem, options, replicas, spreads)


def best_spread(layer: Layer, option: LayerOption) -> int:
    """Cores per replica for which a row takes least: fewer firings one after the other against sums to be joined.

    The smallest number that comes within `CLOSE_SPREAD` of the best: what it saves is work.
    """
    groups = len(option.mvm_ns)
    fired = option.firings / layer.out_height * (option.mvm_ns.mean() + option.vector_ns / groups)
    joined = layer.out_width * layer.join_ns
    cores = np.arange(1, groups + 1)
    joins = cores - 1
    if layer.out_height == 1 < layer.out_width:  # tokens: all of a tree's cores add up at the same time
        joins = np.where(cores > FLAT_JOIN, 2, joins)
    times = fired * -(-groups // cores) + joined * joins
    return int(np.argmax(times <= CLOSE_SPREAD * times.min())) + 1


def choose_option(layer: Layer, variant: Variant) -> int:
    """Scatter, or the block that saves most work for its crossbars."""
    for index, option in enumerate(layer.options):
        if option.unfolding.scatter and variant.scatter and layer.out_width >= variant.scatter_columns:
            return index
    blocks = [
        i for i, o in enumerate(layer.options) if not o.unfolding.scatter and o.unfolding.block <= variant.widest_block
    ]
    # Crossbars are cheap up to a point: their fourth root keeps wide blocks for layers that gain much from them.
    return min(blocks, key=lambda i: layer.options[i].work_ns * layer.options[i].crossbars ** 0.25)


def _affordable(problem: MappingProblem, options: list[int], budget: int) -> list[int]:
    """The options with those that cost most replaced by the smallest until one copy of everything fits the budget."""
    used = sum(layer.options[o].crossbars for layer, o in zip(problem.layers, options, strict=True))
    if used <= budget:
        return options
    smallest = smallest_options(problem)
    extra = [
        layer.options[o].crossbars - layer.options[s].crossbars
        for layer, o, s in zip(problem.layers, options, smallest, strict=True)
    ]
    for k in sorted(range(len(extra)), key=lambda k: -extra[k]):
        if used <= budget:
            break
        used -= extra[k]
        options[k] = smallest[k]
    return options


def _replicate(problem: MappingProblem, options: list[int], variant: Variant, budget: int) -> list[int]:
    """Replicas per layer by the square-root rule, as many as the budget allows."""
    chosen = [layer.options[o] for layer, o in zip(problem.layers, options, strict=True)]
    crossbars = np.array([o.crossbars for o in chosen], dtype=np.float64)
    height = np.array([layer.out_height for layer in problem.layers])
    units = np.array(
        [-(-layer.out_width // o.unfolding.block) for layer, o in zip(problem.layers, chosen, strict=True)]
    )
    work = np.array([o.work_ns for o in chosen])
    limit = np.minimum(units * np.minimum(height, variant.row_sets), problem.cores)
    limit = np.minimum(limit, [o.firings for o in chosen])

    replicas = _in_proportion(np.sqrt(work / height / crossbars), limit.astype(np.int64), crossbars, budget)
    return [
        _scattered(r, u, o.unfolding.scatter, variant.scatter_columns) if o.unfolding.scatter else _useful(r, u)
        for r, u, o in zip(replicas.tolist(), units.tolist(), chosen, strict=True)
    ]


@kernel
def _in_proportion(share: FloatVector, limit: IntVector, crossbars: FloatVector, budget: int) -> IntVector:
    """Replicas in proportion to `share`, at least one and at most `limit` of each, as many as the budget allows."""
    result = np.ones(len(share), dtype=np.int64)
    low, high = 1e-9, 1e9
    for step in range(81):
        factor = np.sqrt(low * high) if step < 80 else low  # the last step settles on the lower end
        used = 0.0
        for k in range(len(share)):
            result[k] = np.int64(min(max(np.floor(factor * share[k]), 1.0), float(limit[k])))
            used += result[k] * crossbars[k]
        if used <= budget:
            low = factor
        else:
            high = factor
    return result


def _useful(replicas: int, units: int) -> int:
    """The largest number of replicas up to this one that shortens the longest column segment."""
    if replicas >= units:
        return replicas // units * units
    return -(-units // -(-units // replicas))


def _scattered(replicas: int, columns: int, pixels: int, least_columns: int) -> int:
    """The same for scattering sites, which share their input, in MVMs of `pixels`, where each thereby fires less often
    than with the columns around its own (schedule/sites.py); `least_columns` of a segment where they do not."""
    blocks = -(-columns // pixels)
    shared = -(-blocks // min(replicas, blocks))
    if shared < -(-(-(-columns // min(replicas, columns)) + HALO) // pixels):
        return -(-blocks // shared)
    if columns >= 2 * least_columns:
        return min(replicas, -(-columns // least_columns))
    return _useful(replicas, columns)


def pack(
    problem: MappingProblem, options: Sequence[int], replicas: Sequence[int], spreads: Sequence[int] | None = None
) -> Plan | None:
    """Every replica on the least loaded cores with room; None if one does not fit.

    spreads: cores per replica at most (default: as many as the chip has for each).
    """
    board = Board(np.full(problem.cores, problem.crossbars_per_core, dtype=np.int64), np.zeros(problem.cores))
    placed: dict[int, IntArray] = {}
    chosen = [layer.options[o] for layer, o in zip(problem.layers, options, strict=True)]
    # Layers with wide array groups first: they are the hardest to place.
    for k in sorted(range(len(chosen)), key=lambda k: (-int(chosen[k].ag_crossbars.max()), k)):
        option, count = chosen[k], replicas[k]
        spread = min(len(option.ag_crossbars), max(1, problem.cores // count))
        spread = spread if spreads is None else min(spread, spreads[k])
        cores = _place(option.ag_crossbars.astype(np.int64), count, spread, option.work_ns / count, board)
        if cores[0, 0] < 0:
            return None
        placed[k] = cores[np.lexsort(cores.T[::-1])]
    core_of = tuple(placed[k] for k in range(len(chosen)))
    return Plan(option=tuple(options), replication=tuple(replicas), core_of=core_of)


@kernel
def _place(sizes: IntVector, replicas: int, spread: int, work: float, board: Board) -> IntArray:
    """int32[replicas, groups] cores; entry [0, 0] is -1 when a replica found no room. Updates the board.

    A replica's groups are cut into `spread` runs of equal number; each run goes to the core with room that holds fewest
    pieces of this layer, the least loaded among those; a run that fits nowhere is cut again.
    """
    groups, cores, free, load = len(sizes), len(board.free), board.free, board.load
    core_of = np.full((replicas, groups), -1, np.int32)
    here = np.zeros(cores, np.int64)
    length = -(-groups // spread)
    for r in range(replicas):
        g = 0
        while g < groups:
            stop = min(g + length, groups)
            chosen = -1
            while chosen < 0 and stop > g:
                need = sizes[g:stop].sum()
                for core in range(cores):
                    if free[core] < need:
                        continue
                    if chosen < 0 or (here[core], load[core]) < (here[chosen], load[chosen]):
                        chosen = core
                if chosen < 0:
                    stop = g + (stop - g) // 2
            if chosen < 0:
                core_of[0, 0] = -1
                return core_of
            core_of[r, g:stop] = chosen
            put(board, chosen, sizes[g:stop].sum(), work * (stop - g) / groups)
            here[chosen] += 1
            g = stop
    return core_of
