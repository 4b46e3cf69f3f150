"""pimdse as a library: search chips, and take the best of what was found.

    import pimcomp
    found = pimcomp.sweep("my_chip.yaml", trials=40)
    print(found.knee)
    pimcomp.pick(found, max_crossbars=8000).write("results/best")
    pimcomp.trials("results/my_chip").plot.scatter("crossbars", "latency_ns")

Apart from `pimdse.api`, because a search loads Optuna.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING

from pimcomp.errors import ConfigError, PimdseError
from pimdse.api import CompiledModel
from pimdse.compiling.building import build
from pimdse.display.html_table import html_table
from pimdse.display.output import Output, constant_columns
from pimdse.report.claims import claims
from pimdse.report.findings import Findings, find
from pimdse.report.page import summary_sentence
from pimdse.report.picture import front_png
from pimdse.report.tables import trial_row
from pimdse.sweep.choice import choose, make_wish
from pimdse.sweep.front_table import front_rows
from pimdse.sweep.recipe import recipe_of
from pimdse.sweep.run import run_and_report
from pimdse.sweep.settings import load_sweep
from spaces.search.study import load_stored

if TYPE_CHECKING:
    import pandas

__all__ = ["SweepResult", "pick", "sweep", "trials"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SweepResult:
    """A sweep's stored trials, sorted out. `findings` has everything; `files`: the report that was written."""

    folder: Path
    findings: Findings
    files: tuple[Path, ...]

    @property
    def front(self) -> list[dict[str, object]]:
        """The trials that nothing dominates in the objectives, by the first one: the rows of front.csv."""
        return [trial_row(t) for t in self.findings.front]

    @property
    def trials(self) -> list[dict[str, object]]:
        """Every distinct trial: the rows of trials.csv."""
        return [trial_row(t) for t in self.findings.trials]

    @property
    def knee(self) -> dict[str, object] | None:
        """The balanced trial of the front; None where no trial is feasible."""
        return trial_row(self.findings.knee) if self.findings.knee else None

    def __repr__(self) -> str:
        found = self.findings
        return (
            f"SweepResult({found.sweep.name}: {len(found.trials)} trials, {len(found.feasible)} feasible, "
            f"{len(found.front)} on the front; {self.folder})"
        )

    def _repr_html_(self) -> str:
        """What was found, the picture and the front as a table, for notebooks."""
        said = (summary_sentence(self.findings), *claims(self.findings))
        header, rows = front_rows(self.findings)
        shown, same = constant_columns(header, rows)
        table = html_table([header[i] for i in shown], [[row[i] for i in shown] for row in rows], below=same)
        source = f"data:image/png;base64,{b64encode(front_png(self.findings)).decode()}"
        image = f'<img width="825" alt="The front of {escape(self.findings.sweep.name)}" src="{source}">'
        return f"{''.join(f'<p>{escape(text)}</p>' for text in said)}{image}{table}"


def sweep(
    config: str | Path,
    *,
    trials: int | None = None,
    jobs: int | None = None,
    seed: int | None = None,
    model: str | None = None,
    objectives: Sequence[str] | None = None,
    limits: Sequence[str] = (),
    sampler: str | None = None,
    out: str | Path | None = None,
    cluster: str | None = None,
    verify: bool = True,
    progress: bool = False,
) -> SweepResult:
    """Search chip parameters, solvers and pipelines for the best trade-offs, as `pimdse sweep` does.

    config: a chip's YAML with a `sweep:` section, or a shipped chip's name. trials, jobs, seed, model, objectives,
    sampler: in place of the file's. limits: beside the file's, "METRIC<=NUMBER" or "METRIC>=NUMBER". out: the folder,
    default results/NAME; a sweep that is stored there goes on. cluster: address of a Dask scheduler, or its file,
    instead of processes here. verify: execute the winners. progress: show it on stderr.

    With several jobs a script calls this under `if __name__ == "__main__":`, as with any process pool. After Ctrl-C the
    running candidates are finished and stored, and KeyboardInterrupt is raised.

    Raises ConfigError, ModelError, UnsupportedOp, OutputError.
    """
    if getattr(current_process(), "_inheriting", False):  # a worker imports the script that called us
        raise ConfigError("sweep", "with several jobs, call it under `if __name__ == '__main__':`; or give jobs=1")
    settings = load_sweep(
        str(config), trials=trials, jobs=jobs, seed=seed, model=model, objectives=objectives, limits=limits,
        sampler=sampler,
    )  # fmt: skip
    folder = Path(out) if out is not None else Path("results") / settings.name
    findings, files, interrupted = run_and_report(
        Output(quiet=not progress), settings, folder, cluster=cluster, verify=verify
    )
    if interrupted:
        raise KeyboardInterrupt
    return SweepResult(folder, findings, files)


def trials(folder: str | Path | SweepResult) -> "pandas.DataFrame":
    """Every distinct trial of a stored sweep as a pandas frame: the columns of trials.csv, by the trial's number.

    folder: of the sweep, or its result. `front` marks the trials that nothing dominates; `fidelity` is "timeline" where
    the figures are those of a program, "cost" where they are estimates. Raises OutputError without a stored sweep,
    PimdseError without pandas.
    """
    try:
        from pandas import DataFrame
    except ModuleNotFoundError:
        raise PimdseError("trials: a frame needs pandas: pip install 'pimdse[pandas]'") from None
    findings = folder.findings if isinstance(folder, SweepResult) else find(load_stored(Path(folder)))
    front = {t.number for t in findings.front}
    rows = [{**trial_row(t), "front": t.number in front} for t in findings.trials]
    return DataFrame(rows).set_index("trial") if rows else DataFrame(index=[])


def pick(
    folder: str | Path | SweepResult,
    *,
    objective: str | None = None,
    limits: Sequence[str] = (),
    max_crossbars: int | None = None,
    pipeline: str | None = None,
    knee: bool = False,
    trial: int | None = None,
    network: str | None = None,
) -> CompiledModel:
    """The best stored candidate of a sweep within limits, compiled again.

    folder: of the sweep, or its result. objective: what must be best, default latency_ns. limits: "METRIC<=NUMBER" or
    "METRIC>=NUMBER". knee: the balanced one; trial: this one. network: which, where the sweep has several.

    Raises OutputError without a stored sweep, ConfigError, PimdseError where no candidate keeps the limits.
    """
    findings = folder.findings if isinstance(folder, SweepResult) else find(load_stored(Path(folder)))
    wish = make_wish(
        objective=objective, limits=limits, max_crossbars=max_crossbars, pipeline=pipeline, knee=knee, trial=trial
    )
    by_label = {n.label: n for n in findings.sweep.networks}
    label = next(iter(by_label)) if network is None and len(by_label) == 1 else network
    if label not in by_label:
        raise ConfigError("network", f"expected one of {', '.join(by_label)}, found {network!r}")
    chosen = choose(findings, wish)
    stored = dict(chosen.candidate.by_network).get(label, chosen.candidate.metrics)
    if stored is not None and stored.segments > 1:
        raise PimdseError(f"trial {chosen.number} runs {label} in segments: `pimdse pick` compiles it")
    return CompiledModel(build(recipe_of(findings.sweep, chosen, by_label[label])))
