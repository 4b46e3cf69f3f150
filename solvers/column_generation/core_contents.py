"""What a core can hold and do in a period: the array groups of a layer's replicas (columns.py says why).

A *mode* of a layer is an option with a range of replications. A replica of it fires between floor(firings / high) and
ceil(firings / low) times. What a core may hold of it are *items*: array groups of each class (alike in crossbars and
firing time), or the whole replica where it fits. All firings of a replica are one number f; items with the same f (or
f within a short interval: time by its lower end, firings done by its upper end) form a *stage*. An array group that is
not on one core with its whole replica belongs to a part of a replica; a core with a part sends or receives at least one
message per firing: the *set-up* of its stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.plan import LayerOption, MappingProblem
from pimcomp.plan.cost import FloatVector, IntVector, firing_ns, message_ns
from solvers.exact.patterns import alike_groups

FloatMatrix = npt.NDArray[np.float64]

MODE_RATIO, STAGE_RATIO = 1.12, 1.03  # most replications of a mode over its fewest; the same of firings and a stage
ROUNDING = 1e-9


class Mode(NamedTuple):
    """An option of a layer with a range of replications, both ends included."""

    layer: int
    option: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Contents:
    """Items of modes, stage after stage. Units: crossbars; ns of issue time of a core, divided by rob_size.

    first: int64[stages + 1], the items of each stage. size: int64[items]; time_ns: float64[items], for all firings of
    the replica. does: float64[items, rows], what a copy does of each row. setup_ns: float64[stages], what the first
    copy takes besides; demand_ns: float64[stages], what that adds to other work; uses: float64[stages, rows], what it
    does of each row. needs: float64[rows], what must be done at least, or exactly where `exact` (bool[rows]).
    room_ns: what the mode adds to other work. keys: names of the stages, whatever the period.
    """

    first: IntVector
    size: IntVector
    time_ns: FloatVector
    does: FloatMatrix
    setup_ns: FloatVector
    demand_ns: FloatVector
    uses: FloatMatrix
    needs: FloatVector
    exact: npt.NDArray[np.bool_]
    room_ns: float
    keys: tuple[tuple[int, ...], ...]


class Stage(NamedTuple):
    """One stage of a mode in the making; arrays are per item, `uses` per row."""

    key: tuple[int, ...]
    size: list[int]
    time_ns: list[float]
    does: list[list[float]]
    setup_ns: float = 0.0
    demand_ns: float = 0.0
    uses: tuple[float, ...] = ()


def stacked(stages: Sequence[Stage], needs: Sequence[float], room_ns: float, exact: Sequence[int] = ()) -> Contents:
    """The stages of a mode as arrays; `exact` are row indices."""
    rows = len(needs)
    exactly = np.zeros(rows, dtype=np.bool_)
    exactly[list(exact)] = True
    return Contents(
        first=np.cumsum([0] + [len(stage.size) for stage in stages]).astype(np.int64),
        size=np.array([n for stage in stages for n in stage.size], dtype=np.int64),
        time_ns=np.array([t for stage in stages for t in stage.time_ns]),
        does=np.array([row for stage in stages for row in stage.does]).reshape(-1, rows),
        setup_ns=np.array([stage.setup_ns for stage in stages]),
        demand_ns=np.array([stage.demand_ns for stage in stages]),
        uses=np.array([stage.uses or (0.0,) * rows for stage in stages]).reshape(-1, rows),
        needs=np.array(needs), exact=exactly, room_ns=room_ns, keys=tuple(stage.key for stage in stages),
    )  # fmt: skip


def joined(parts: Sequence[Contents]) -> Contents:
    """All stages of several modes; rows of one after rows of the other."""
    rows = np.cumsum([0] + [len(part.needs) for part in parts])
    does = np.zeros((sum(len(part.size) for part in parts), rows[-1]))
    uses = np.zeros((sum(len(part.keys) for part in parts), rows[-1]))
    item = stage = 0
    for part, row, end in zip(parts, rows[:-1], rows[1:], strict=True):
        does[item : item + len(part.size), row:end] = part.does
        uses[stage : stage + len(part.keys), row:end] = part.uses
        item, stage = item + len(part.size), stage + len(part.keys)
    counts = np.concatenate([np.diff(part.first) for part in parts])
    return Contents(
        first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        size=np.concatenate([part.size for part in parts]), time_ns=np.concatenate([part.time_ns for part in parts]),
        does=does, setup_ns=np.concatenate([part.setup_ns for part in parts]),
        demand_ns=np.concatenate([part.demand_ns for part in parts]), uses=uses,
        needs=np.concatenate([part.needs for part in parts]), exact=np.concatenate([part.exact for part in parts]),
        room_ns=float(sum(part.room_ns for part in parts)), keys=tuple(key for part in parts for key in part.keys),
    )  # fmt: skip


def all_modes(problem: MappingProblem, period_ns: float) -> list[Mode]:
    """Modes that cover all plans of at most that period."""
    fewest = [min(o.crossbars for o in layer.options) for layer in problem.layers]
    modes = []
    for k, layer in enumerate(problem.layers):
        room = problem.crossbars - sum(fewest) + fewest[k]
        for o, option in enumerate(layer.options):
            least = fewest_replicas(option, period_ns)
            if least is not None and option.ag_crossbars.max() <= problem.crossbars_per_core:
                most = min(option.firings, room // option.crossbars)
                modes += [Mode(k, o, low, high) for low, high in _ranges(option.firings, least, most)]
    return modes


def halves(mode: Mode) -> tuple[Mode, Mode]:
    """The mode with fewer, and the one with more replicas."""
    middle = (mode.low + mode.high) // 2
    return mode._replace(high=middle), mode._replace(low=middle + 1)


def _ranges(firings: int, least: int, most: int) -> Iterator[tuple[int, int]]:
    """Short ranges that cover the replications least to most."""
    r = least
    while r <= most:
        share = -(-firings // max(r, min(most, int(r * MODE_RATIO))))
        end = most if share == 1 else min(most, (firings - 1) // (share - 1))  # all with the same ceil(firings / r)
        yield r, end
        r = end + 1


def _spans(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Short intervals of firings that cover low to high."""
    while low <= high:
        end = min(high, max(low, int(low * STAGE_RATIO)))
        yield low, end
        low = end + 1


def relaxed(problem: MappingProblem, mode: Mode, period_ns: float) -> Contents | None:
    """What cores of every plan that uses the mode can hold of it; None if no plan of at most that period can use it.

    Rows: the share of all firings, weighted by the array groups' firing time, and by their crossbars. (A row for every
    class would be tighter by 0.1 to 0.2 %, and take ten times as many rounds.) A core with parts of a stage has at
    least one set-up. Messages: a replica on m cores occupies cores with 2 (m - 1) of them per firing, of which set-ups
    count at most m; each set-up adds one message to other work, and the mode takes two per firing back. Where a whole
    replica fits a core, only set-ups count.
    """
    layer = problem.layers[mode.layer]
    option, rob_size, capacity = layer.options[mode.option], problem.rob_size, problem.crossbars_per_core
    period_ns *= 1 + ROUNDING
    times = firing_ns(option)
    least = fewest_replicas(option, period_ns)
    if least is None or least > mode.high or option.ag_crossbars.max() > capacity:
        return None
    few = max(mode.low, least)
    message = message_ns(problem, layer, option, few)  # no less with more replicas
    low, high = option.firings // mode.high, min(-(-option.firings // few), int(period_ns / times.max()))
    core_ns = period_ns * rob_size / max(low, 1)  # what a core has time for per firing
    whole = option.crossbars <= capacity and times.sum() <= core_ns
    split = _can_split(option, capacity, core_ns, message)
    classes = alike_groups(mode.layer, mode.option, option)
    of_time = np.array([a.firing_ns for a in classes]) / times.sum()
    of_size = np.array([a.crossbars for a in classes]) / option.crossbars
    rows = np.array([of_size] if np.allclose(of_time, of_size) else [of_time, of_size])
    stages: list[Stage] = []
    for f, most in _spans(max(low, 1), high):
        done, unit = most / option.firings, f / rob_size
        key = mode.layer, mode.option, mode.high, f
        if whole and unit * times.sum() <= period_ns:
            stages.append(Stage((*key, 0), [option.crossbars], [unit * float(times.sum())], [[done] * len(rows)]))
        fitting = [c for c, a in enumerate(classes) if unit * (message + a.firing_ns) <= period_ns]
        if split and fitting:
            stages.append(
                Stage(
                    (*key, len(fitting)),
                    [classes[c].crossbars for c in fitting],
                    [unit * classes[c].firing_ns for c in fitting],
                    [(done * rows[:, c]).tolist() for c in fitting],
                    unit * message,
                    0.0 if whole else unit * message,
                )
            )
    if not stages:
        return None
    return stacked(stages, [1.0] * len(rows), 0.0 if whole else -2 * option.firings * message / rob_size)


def _can_split(option: LayerOption, capacity: int, core_ns: float, message: float) -> bool:
    """Whether a replica may be on several cores, each with at most `core_ns` per firing; False is a proof.

    With m parts the first one also takes m - 1 messages, the others one each.
    """
    times = firing_ns(option)
    if len(times) == 1:
        return False
    part = min(_largest_part_ns(option, capacity, whole=option.crossbars <= capacity), core_ns - message)
    if part < times.max() * (1 - ROUNDING):
        return False
    for m in range(max(2, -(-option.crossbars // capacity)), len(times) + 1):
        first = min(part, core_ns - (m - 1) * message)
        if first < times.min() * (1 - ROUNDING):
            return False
        if times.sum() <= ((m - 1) * part + first) * (1 + ROUNDING):
            return True
    return False


def fewest_replicas(option: LayerOption, period_ns: float) -> int | None:
    """Replicas that no array group needs longer than the period with; None if not even one firing is short enough."""
    most = int(np.floor(period_ns / float(firing_ns(option).max()) * (1 + ROUNDING)))
    return -(-option.firings // most) if most >= 1 else None


def _largest_part_ns(option: LayerOption, capacity: int, *, whole: bool) -> float:
    """At least the firing time of every part of a replica that fits a core and is not all of it."""
    times = firing_ns(option)
    if whole:
        return max(float(times.sum() - times.min()), float(times.min()))
    dense = np.argsort(-times / option.ag_crossbars, kind="stable")
    total, left = 0.0, float(capacity)
    for a in dense:  # the linear relaxation of the knapsack
        part = min(1.0, left / float(option.ag_crossbars[a]))
        total, left = total + part * float(times[a]), left - part * float(option.ag_crossbars[a])
        if left <= 0:
            break
    return total


@kernel
def product(matrix: npt.NDArray[Any], vector: npt.NDArray[Any]) -> FloatVector:
    """The matrix times the vector, the same to the last digit wherever they lie in memory (BLAS is not)."""
    result = np.zeros(len(matrix))
    for i in range(len(matrix)):
        total = 0.0
        for j in range(len(vector)):
            total += matrix[i, j] * vector[j]
        result[i] = total
    return result


def dot(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> float:
    """The sum of products, the same to the last digit wherever the vectors lie in memory."""
    return float(product(a[None, :], b)[0])
