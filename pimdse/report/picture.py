"""front.png: the trade-off at a glance, for a paper or a chat."""

import io
import math
from typing import TYPE_CHECKING, Literal

from pimcomp.plan.pareto import costs, non_dominated
from pimdse.display.units import SCALES, figure_text
from pimdse.report.findings import Findings
from spaces.candidate import Trial
from spaces.metrics import metric
from spaces.space import Fidelity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision, and in grey.
PIPELINE_COLOURS = {"element": "#0072B2", "batch": "#D55E00"}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, _GRID = "#222222", "#dddddd"


def front_png(findings: Findings) -> bytes:
    """Two panels, each with its front: the first objective over the second, the period (or energy) over it."""
    y, x = findings.sweep.objectives[0], findings.sweep.objectives[1]
    other = next(name for name in ("period_ns", "energy_pj", "latency_ns") if name not in (x, y))
    figure = new_figure(11, 4.8)
    left, right = figure.subplots(1, 2)
    _panel(left, findings, x, y)
    _panel(right, findings, x, other)
    feasible, total = len(findings.feasible), len(findings.trials)
    title = f"{findings.sweep.model} on {findings.sweep.arch.name}: {feasible} of {total} candidates feasible, "
    return titled_png(figure, left, f"{title}{len(findings.front)} on the front")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def titled_png(figure: "Figure", labelled: "Axes", title: str) -> bytes:
    """The figure as a file, with a title and the legend of one of its panels."""
    handles, labels = labelled.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    figure.legend(
        list(by_label.values()),
        list(by_label),
        loc="outside lower center",
        ncols=min(len(by_label), 8),
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(title, fontsize=12, color=INK)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": "pimdse"})
    return png.getvalue()


def clear_axes(axes: "Axes", grid: Literal["both", "x"] = "both") -> None:
    """A light grid, no frame above and at the right."""
    axes.grid(axis=grid, color=_GRID, linewidth=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)


def _panel(axes: "Axes", findings: Findings, x: str, y: str) -> None:
    for pipeline in findings.sweep.pipelines:
        for marker, solver in zip(_markers(findings), findings.sweep.solvers, strict=True):
            points = [
                t
                for t in findings.feasible
                if t.candidate.point.pipeline is pipeline and t.candidate.point.solver == solver
            ]
            colour = PIPELINE_COLOURS[str(pipeline)]
            for timed, colours in ((False, ("none", colour)), (True, (colour, "white"))):
                some = [t for t in points if (t.candidate.fidelity is Fidelity.TIMELINE) is timed]
                if some:
                    axes.scatter(
                        [t.candidate.value(x) for t in some],
                        [t.candidate.value(y) for t in some],
                        marker=marker,
                        s=34 if timed else 12,
                        facecolors=colours[0],
                        edgecolors=colours[1],
                        linewidths=0.5,
                        alpha=0.9,
                        zorder=3,
                        label=f"{pipeline}, {solver}" if timed else "estimates",
                    )
    _front_line(axes, findings, x, y)
    _ring(axes, findings.published, x, y, "#666666", "the file's chip")
    _ring(axes, findings.knee, x, y, "#009E73", "knee")
    _scales(axes, findings, x, y)


def _markers(findings: Findings) -> tuple[str, ...]:
    return tuple(MARKERS[i % len(MARKERS)] for i in range(len(findings.sweep.solvers)))


def _front_line(axes: "Axes", findings: Findings, x: str, y: str) -> None:
    """The front of this plane, as steps: nothing between two of its points is known to be reachable."""
    points = [(t.candidate.value(x), t.candidate.value(y)) for t in findings.timed]
    if points:
        cost = costs(points, [metric(x).maximize, metric(y).maximize])
        line = sorted(point for point, keep in zip(points, non_dominated(cost), strict=True) if keep)
        where: Literal["pre", "post"] = "pre" if metric(x).maximize else "post"
        axes.step(*zip(*line, strict=True), where=where, color=INK, linewidth=1.2, zorder=2, label="Pareto front")


def _ring(axes: "Axes", trial: Trial | None, x: str, y: str, colour: str, label: str) -> None:
    if trial is not None:
        place = (trial.candidate.value(x), trial.candidate.value(y))
        axes.scatter(*place, s=150, facecolors="none", edgecolors=colour, linewidths=1.8, zorder=4, label=label)


def _scales(axes: "Axes", findings: Findings, x: str, y: str) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xlabel(metric(x).title)
    axes.set_ylabel(metric(y).title)
    for name, axis, setter in ((x, axes.xaxis, axes.set_xscale), (y, axes.yaxis, axes.set_yscale)):
        values = [t.candidate.value(name) for t in findings.feasible]
        if values and min(values) > 0 and max(values) > 3 * min(values):
            setter("log")
            axis.set_major_locator(FixedLocator(log_ticks(min(values), max(values))))
            axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda v, _, name=name: tick_text(v, name)))
    clear_axes(axes)


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers around [low, high] for a logarithmic axis: five to nine of them."""
    decades = math.log10(high / low)
    mantissas = (1, 1.5, 2, 3, 4, 5, 6, 8) if decades < 1 else (1, 2, 5) if decades < 3 else (1,)
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**e for e in exponents for m in mantissas]
    return [t for t in ticks if low / 1.6 <= t <= high * 1.6]


def tick_text(number: float, name: str) -> str:
    """A tick label in the metric's unit."""
    unit = metric(name).unit
    if unit in SCALES:
        return figure_text(number, unit)
    return f"{number:,.0f}" if abs(number) >= 10 else f"{number:g}"
