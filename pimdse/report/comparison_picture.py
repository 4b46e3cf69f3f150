"""compare.png: per pipeline the programs of all solvers, their cost in the model, and what is proven."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pimdse.compiling.comparison import Row
from pimdse.display.units import count_text, time_text
from pimdse.report.picture import PIPELINE_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_INK, _GRID = "#222222", "#dddddd"


def comparison_png(rows: Sequence[Row], title: str) -> bytes:
    """One panel per pipeline, one bar per solver; logarithmic time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pipelines = list(dict.fromkeys(row.pipeline for row in rows))
    solvers = len({row.solver for row in rows})
    figure = Figure(figsize=(5.8 * len(pipelines), 1.9 + 0.36 * solvers), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(pipelines), squeeze=False)[0]
    for axes, pipeline in zip(panels, pipelines, strict=True):
        _panel(axes, [row for row in rows if row.pipeline == pipeline], pipeline)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=12, color=_INK)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": "pimdse"})
    return png.getvalue()


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
        axes.scatter(costs_ns, at, marker="D", s=26, color="white", edgecolors=_INK, zorder=4, label="cost model")
    for name, style, label in (
        ("model_bound_ns", "--", "bound of the model"),
        ("timeline_bound_ns", ":", "bound of any program"),
    ):
        known = [value for row in rows if (value := getattr(row, name)) is not None]
        if known:
            axes.axvline(max(known), color=_INK, linestyle=style, linewidth=1.1, zorder=3, label=label)
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
        axes.text(right, place, label, va="center", fontsize=8, color=_INK)
    axes.set_yticks(list(places), [row.solver for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"{pipeline}: {'latency' if pipeline == 'element' else 'period'} of one image")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ns, _: time_text(ns)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=_GRID, linewidth=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=_INK)
