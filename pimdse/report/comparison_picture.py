"""compare.png: per pipeline the programs of all solvers, their cost in the model, and what is proven."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pimdse.compiling.comparison import Row
from pimdse.display.units import count_text, time_text
from pimdse.report.picture import INK, PIPELINE_COLOURS, clear_axes, new_figure, titled_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def comparison_png(rows: Sequence[Row], title: str) -> bytes:
    """One panel per pipeline, one bar per solver; logarithmic time."""
    pipelines = list(dict.fromkeys(row.pipeline for row in rows))
    solvers = len({row.solver for row in rows})
    figure = new_figure(5.8 * len(pipelines), 1.9 + 0.36 * solvers)
    panels = figure.subplots(1, len(pipelines), squeeze=False)[0]
    for axes, pipeline in zip(panels, pipelines, strict=True):
        _panel(axes, [row for row in rows if row.pipeline == pipeline], pipeline)
    return titled_png(figure, panels[0], title)


def _panel(axes: "Axes", rows: Sequence[Row], pipeline: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    places = range(len(rows))
    axes.barh(
        places, [row.timeline_ns or 0.0 for row in rows], height=0.62, color=PIPELINE_COLOURS[pipeline], alpha=0.85,
        label="program (timeline)", zorder=2,
    )  # fmt: skip
    costs = [(row.cost_ns, place) for place, row in zip(places, rows, strict=True) if row.cost_ns is not None]
    if costs:
        costs_ns, at = zip(*costs, strict=True)
        axes.scatter(costs_ns, at, marker="D", s=26, color="white", edgecolors=INK, zorder=4, label="cost model")
    for name, style, label in (
        ("model_bound_ns", "--", "bound of the model"),
        ("timeline_bound_ns", ":", "bound of any program"),
    ):
        known = [value for row in rows if (value := getattr(row, name)) is not None]
        if known:
            axes.axvline(max(known), color=INK, linestyle=style, linewidth=1.1, zorder=3, label=label)
    times = [t for row in rows for t in (row.timeline_ns, row.cost_ns, row.timeline_bound_ns, row.model_bound_ns) if t]
    if times:
        axes.set_xscale("log")
        axes.set_xlim(min(times) / 1.3, max(times) * 3.2)  # room for the labels
    for place, row in zip(places, rows, strict=True):
        if row.timeline_ns is None:
            label, right = ("no plan" if row.cost_ns is None else "no program"), min(times, default=1.0)
        else:
            label = f" {time_text(row.timeline_ns)}, {count_text(row.crossbars_used or 0)} crossbars"
            right = row.timeline_ns
        axes.text(right, place, label, va="center", fontsize=8, color=INK)
    axes.set_yticks(list(places), [row.solver for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"{pipeline}: {'latency' if pipeline == 'element' else 'period'} of one image")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ns, _: time_text(ns)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    clear_axes(axes, "x")
