"""A sweep from its settings to its report: what the command and the library share."""

from pathlib import Path

from pimcomp.foundation.own_files import check_free
from pimdse.display.output import Output
from pimdse.foundation.interrupt import stop_on_interrupt
from pimdse.report.findings import Findings, find
from pimdse.report.write import COMMAND, FILES, write_report
from pimdse.sweep.progress import sweep_progress
from pimdse.sweep.settings import EvaluatorElsewhere, study_content
from pimdse.sweep.winners import winners
from spaces.evaluate import compile_evaluator
from spaces.search.run import run_sweep
from spaces.search.sampler import advice
from spaces.search.study import load_stored
from spaces.space import Sweep
from spaces.whole_space import POINTS


def run_and_report(
    output: Output, settings: Sweep, folder: Path, *, cluster: str | None, verify: bool
) -> tuple[Findings, tuple[Path, ...], bool]:
    """Run a sweep, or go on with it, execute the winners if asked to, and write the report.

    Gives what was found, the report's files, and whether Ctrl-C cut it short.
    """
    check_free(folder, (*FILES, POINTS), COMMAND)
    content = study_content(settings)
    if (warning := advice(settings)) is not None:
        output.note(warning)
    with sweep_progress(output, settings) as (observe, note), stop_on_interrupt(note) as stop:
        progress = run_sweep(
            settings,
            folder,
            content=content,
            make_evaluator=compile_evaluator if cluster is None else EvaluatorElsewhere(**content),
            cluster=cluster,
            observe=observe,
            stop=stop,
            winners=winners if verify else lambda stored: (),
        )
    findings = find(load_stored(folder))
    return findings, write_report(findings, folder), progress.interrupted
