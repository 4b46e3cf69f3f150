"""The loop of a sweep: hands out points until the budget of distinct candidates is spent and the front is timed."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pimcomp.foundation.own_files import check_free
from spaces.candidate import MakeEvaluator
from spaces.search.agenda import Agenda, Observe, Progress
from spaces.search.crew import record_killer, work_in_processes
from spaces.search.enumeration import enumerate_space
from spaces.search.journal import JOURNAL, owned
from spaces.search.sampler import check_installed
from spaces.search.storage import Place, answering
from spaces.search.study import COPY, copy_to_journal, open_study
from spaces.search.trial import fail_running, run_trial
from spaces.space import Sweep

# How often a host that has nothing to do looks whether others have finished, or died.
_POLL_S = 0.5


def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    content: dict[str, str],
    make_evaluator: MakeEvaluator,
    place: Place | None = None,
    observe: Observe = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Run the sweep in `folder` until `sweep.trials` distinct candidates are judged, or, in a space that is judged
    completely, until nothing is left that may extend the front; go on with what is stored there.

    content: what the figures depend on besides the settings (network digest, versions); a study with another content is
    refused. place: the folder and a database that hosts share; by default the folder's journal. stop: asked before
    every trial; true lets running trials finish and returns with `interrupted`.

    Raises ConfigError, OutputError, PimdseError; every finished trial is stored whatever happens.
    """
    where = place or Place(folder=folder)
    if where.shared:  # the journal there will be a copy; one that is not, is another sweep
        check_free(folder, [JOURNAL], COPY)
    check_installed(sweep.sampler)
    with owned(folder), answering(where), closing(open_study(where, sweep, content)) as studies:
        if not where.shared:
            fail_running(studies)
        if (
            sweep.complete
            and not where.shared
            and not enumerate_space(studies.search, sweep, folder, make_evaluator, observe, stop)
        ):
            return Progress(distinct=0, budget=sweep.budget, trials=(), interrupted=True)
        agenda = Agenda(studies, sweep, observe, where)
        if not agenda.finished():
            if sweep.jobs == 1:
                _work_here(agenda, make_evaluator, stop)
            else:
                work_in_processes(agenda, where, make_evaluator, stop)
        if where.shared:
            copy_to_journal(studies, where, sweep)
        return agenda.progress(interrupted=stop() and not agenda.finished())


def _work_here(agenda: Agenda, make_evaluator: MakeEvaluator, stop: Callable[[], bool]) -> None:
    evaluator = make_evaluator(agenda.sweep)
    agenda.report(running=1)
    while not stop() and not agenda.finished():
        if (point := agenda.poisoned()) is not None:
            record_killer(agenda, point)
        if (work := agenda.next()) is None:
            time.sleep(_POLL_S)  # what is left is being judged elsewhere
        else:
            run_trial(agenda.studies, agenda.sweep, evaluator, work, alone=not agenda.shared)
        agenda.report(running=1)
