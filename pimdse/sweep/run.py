"""A sweep from its settings to its report: what the command and the library share."""

from pathlib import Path

from pimcomp.foundation.own_files import check_free
from pimdse.display.output import Output
from pimdse.foundation.interrupt import stop_on_interrupt
from pimdse.report.findings import Findings, find
from pimdse.report.write import COMMAND, FILES, write_report
from pimdse.sweep.progress import sweep_progress
from pimdse.sweep.proofs import prove_winners
from pimdse.sweep.settings import study_content
from spaces.evaluate import compile_evaluator
from spaces.search.run import run_sweep
from spaces.search.storage import Place
from spaces.search.study import load_stored
from spaces.space import Sweep


def run_and_report(
    output: Output, settings: Sweep, folder: Path, *, storage: str | None, verify: bool
) -> tuple[Findings, tuple[Path, ...], bool]:
    """Run a sweep, or go on with it, execute the winners if asked to, and write the report.

    Gives what was found, the report's files, and whether Ctrl-C cut it short: then nothing is executed.
    """
    check_free(folder, FILES, COMMAND)
    content, place = study_content(settings), Place(folder=folder, database=storage)
    with sweep_progress(output, settings) as (observe, note), stop_on_interrupt(note) as stop:
        progress = run_sweep(
            settings,
            folder,
            content=content,
            make_evaluator=compile_evaluator,
            place=place,
            observe=observe,
            stop=stop,
        )
    findings = find(load_stored(folder, storage))
    try:
        if verify and not progress.interrupted:
            prove_winners(output, findings, place)
            findings = find(load_stored(folder, storage))
    finally:  # Ctrl-C too: what was searched for is worth its report
        files = write_report(findings, folder)
    return findings, files, progress.interrupted
