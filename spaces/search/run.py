"""The loop of a sweep: hands out points until the budget of distinct candidates is spent."""

from collections.abc import Callable
from pathlib import Path

from spaces.candidate import MakeEvaluator
from spaces.search.agenda import Agenda, Observe, Progress
from spaces.search.crew import work_in_processes
from spaces.search.journal import owned
from spaces.search.study import open_study
from spaces.search.trial import run_trial
from spaces.space import Sweep


def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    content: dict[str, str],
    make_evaluator: MakeEvaluator,
    observe: Observe = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Run the sweep in `folder` until `sweep.trials` distinct candidates are judged; go on with what is stored there.

    content: what the figures depend on besides the settings (network digest, versions); a study with another content is
    refused. stop: asked before every trial; true lets running trials finish and returns with `interrupted`.

    Raises ConfigError, OutputError, PimdseError; every finished trial is in the journal whatever happens.
    """
    with owned(folder):
        study = open_study(folder, sweep, content)
        agenda = Agenda(study, sweep, observe)
        if agenda.wants_more(running=0):
            if sweep.jobs == 1:
                _work_here(agenda, make_evaluator, stop)
            else:
                work_in_processes(agenda, folder, make_evaluator, stop)
        return agenda.progress(interrupted=stop() and agenda.wants_more(running=0))


def _work_here(agenda: Agenda, make_evaluator: MakeEvaluator, stop: Callable[[], bool]) -> None:
    evaluate = make_evaluator(agenda.sweep)
    agenda.report(running=1)
    while agenda.wants_more(running=0) and not stop():
        run_trial(agenda.study, agenda.sweep, evaluate, agenda.next_fixed())
        agenda.report(running=1)
