"""The live display of a sweep: how many candidates, what the front looks like, the best point, the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.progress import Progress as Bar
from rich.table import Column

from pimdse.display.output import Output, console_to
from pimdse.display.units import figure_text
from pimdse.foundation.printable import printable
from pimdse.report.findings import Findings, sort_out
from spaces.metrics import metric
from spaces.search.study import Observe, Progress
from spaces.space import Fidelity, Sweep

Note = Callable[[], None]
_SECONDS_BETWEEN_LINES = 20.0  # without a terminal


@contextmanager
def sweep_progress(output: Output, sweep: Sweep) -> Iterator[tuple[Observe, Note]]:
    """(observer of the sweep, what to call on Ctrl-C) of a live display; a silent pair with --quiet or --json."""
    if output.quiet or output.as_json:
        yield lambda progress: None, lambda: None
        return

    whole = Column(overflow="fold")  # in a narrow terminal on several lines; rich's own choice is to cut
    columns = (
        bars.TextColumn("{task.description}", table_column=whole, markup=False),
        bars.BarColumn(bar_width=16),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[state]}", style="dim", table_column=whole),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(compact=True),
    )
    with bars.Progress(*columns, console=console_to(stderr=True)) as bar:
        task = bar.add_task(f"{sweep.name}: {sweep.model}", total=sweep.trials, state="")
        say = output.line_now_and_then(_SECONDS_BETWEEN_LINES)

        def observe(progress: Progress) -> None:
            state = state_text(sort_out(sweep, progress.trials, progress.timed))
            if progress.executing:
                state += f" · executing {progress.executing}"
            bar.update(task, completed=progress.distinct, total=progress.budget, state=state)
            say(f"{sweep.name}: {progress.distinct:,} of {progress.budget:,}, {state}")
            _log_new(bar, progress)

        def note() -> None:
            bar.console.print("finishing the running candidates; press Ctrl-C again to stop at once", style="yellow")

        yield observe, note


def _log_new(bar: Bar, progress: Progress) -> None:
    """Defects are worth a line of their own at once; everything else is in the report."""
    latest = progress.trials[-1].candidate if progress.trials else None
    if latest is not None and latest.verdict == "error" and progress.trials[-1].duplicate_of is None:
        bar.console.print(printable(f"defect: {latest.reason}"), style="red", markup=False)


def state_text(findings: Findings) -> str:
    """Infeasible ones, size of the front, and the best value of the first objective."""
    first = metric(findings.sweep.objectives[0])
    parts = [f"{len(findings.trials) - len(findings.feasible)} infeasible", f"front {len(findings.front)}"]
    if findings.sweep.fidelity is Fidelity.COST:
        parts.append(f"{len(findings.timed)} timed")
    best = findings.best(first.name)
    if best is not None and best.candidate.metrics is not None:
        figure = best.candidate.value(first.name)
        parts.append(f"best {figure_text(figure, first.unit)}")
    if findings.hypervolume:
        parts.append(f"volume {100 * findings.hypervolume[-1]:.0f} %")
    return " · ".join(parts)
