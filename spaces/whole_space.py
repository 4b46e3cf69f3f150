"""What the estimates say of every point of a space that is judged completely, as arrays: points.npz."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pimcomp.emit.npz import write_npz
from pimcomp.errors import OutputError
from pimcomp.foundation.own_files import staged
from pimcomp.ir.brief import brief
from spaces.candidate import Candidate, Verdict, point_from_json
from spaces.metrics import ACCURACY, METRICS, OF_THE_CHIP, metric
from spaces.space import Point, Scalar, Sweep

POINTS = "points.npz"
COMMAND = "sweep"  # who writes it, in the folder's record
_VERDICTS = tuple(Verdict)
FEASIBLE = _VERDICTS.index(Verdict.FEASIBLE)
_BEST = "best:"  # in the file, before the name of a metric

Floats = npt.NDArray[np.float64]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class WholeSpace:
    """Every point of a sweep's space, in the order of `Sweep.points`.

    verdict: uint8[points], places in `Verdict`. first: int64[points], the first point of equal content: of equal
    figures. figures: estimates by name of a metric, float64[points], NaN where nothing is known. best: figures that no
    program of the point beats, for objectives and limits: proven of times, exact for the chip's own size, and 0 (or
    infinity, where more is better) where nothing is proven.
    """

    sweep: Sweep
    verdict: npt.NDArray[np.uint8]
    first: npt.NDArray[np.int64]
    figures: dict[str, Floats]
    best: dict[str, Floats]

    def place(self, point: Point) -> int:
        """The number of a point."""
        own, axes = point.as_dict(), self.sweep.axes
        places = [values.index(own[name]) for name, values in axes]
        return int(np.ravel_multi_index(places, [len(values) for _, values in axes]))

    @property
    def kind(self) -> npt.NDArray[np.int64]:
        """int64[points]: a number for every pair of solver and pipeline."""
        return np.arange(len(self.verdict)) % (len(self.sweep.solvers) * len(self.sweep.pipelines))

    def neighbours(self, point: Point) -> dict[str, list[tuple[Scalar, int]]]:
        """By name of a parameter (solver and pipeline too): its values, each with the number of the point that has it
        and is like `point` otherwise."""
        own = point.as_dict()
        return {
            name: [(value, self.place(point_from_json({**own, name: value}))) for value in values]
            for name, values in self.sweep.axes
        }


class Columns:
    """The columns of a `WholeSpace` while its points become known, in any order."""

    def __init__(self, sweep: Sweep, size: int) -> None:
        self._sweep = sweep
        shown = [*(m.name for m in METRICS), *(o for o in sweep.objectives if "@" in o)]
        judged = dict.fromkeys([*sweep.objectives, *(limit.metric for limit in sweep.limits)])
        self.verdict: npt.NDArray[np.uint8] = np.zeros(size, np.uint8)
        self.figures: dict[str, Floats] = {name: np.full(size, np.nan) for name in shown}
        self._best: dict[str, Floats] = {name: np.full(size, np.nan) for name in judged}

    def note(self, place: int, candidate: Candidate) -> None:
        """Take note of the point of that number."""
        self.verdict[place] = _VERDICTS.index(candidate.verdict)
        if candidate.metrics is not None:
            for name, column in self.figures.items():
                column[place] = candidate.value(name)
            for name, column in self._best.items():
                column[place] = best_possible(candidate, name)

    def whole(self, first: npt.NDArray[np.int64]) -> WholeSpace:
        """All of them. first: as in `WholeSpace`."""
        known = {n: c for n, c in self.figures.items() if n in self._sweep.objectives or not np.isnan(c).all()}
        return WholeSpace(self._sweep, self.verdict, first, known, self._best)


def best_possible(candidate: Candidate, name: str) -> float:
    """A figure that no program of a candidate with figures beats: see `WholeSpace`."""
    base, _, network = name.partition("@")
    if base in OF_THE_CHIP:
        return candidate.value(base)
    if base == ACCURACY:
        return candidate.value(name)
    figures = dict(candidate.by_network).get(network, candidate.metrics) if network else candidate.metrics
    if figures is not None and base == "latency_ns" and figures.bound_ns is not None:
        return figures.bound_ns
    if figures is not None and figures.bound_period_ns is not None:
        if base == "period_ns":
            return figures.bound_period_ns
        if base == "throughput_per_s":
            return 1e9 / figures.bound_period_ns
    return float("inf") if metric(base).maximize else 0.0


def write_whole(folder: Path, whole: WholeSpace) -> None:
    """Leave the arrays in a sweep's folder. Raises OutputError."""
    arrays: dict[str, npt.NDArray[Any]] = {"verdict": whole.verdict, "first": whole.first}
    arrays |= whole.figures | {_BEST + name: column for name, column in whole.best.items()}
    with staged(folder, COMMAND) as staging:
        write_npz(staging / POINTS, arrays)


def read_whole(folder: Path, sweep: Sweep) -> WholeSpace | None:
    """What was left there, None if nothing was. Raises OutputError for a file that does not belong to the sweep."""
    path = folder / POINTS
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        whole = WholeSpace(
            sweep=sweep,
            verdict=arrays.pop("verdict").astype(np.uint8),
            first=arrays.pop("first").astype(np.int64),
            figures={name: column for name, column in arrays.items() if not name.startswith(_BEST)},
            best={name.removeprefix(_BEST): column for name, column in arrays.items() if name.startswith(_BEST)},
        )
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise OutputError(f"{path}: damaged ({error}); delete it and run the sweep again: it is made anew") from None
    columns: list[npt.NDArray[Any]] = [whole.verdict, whole.first, *whole.figures.values(), *whole.best.values()]
    if any(column.shape != (sweep.size,) for column in columns) or not {*sweep.objectives} <= whole.best.keys():
        raise OutputError(f"{path}: of another space; delete it and run the sweep again: it is made anew")
    return whole
