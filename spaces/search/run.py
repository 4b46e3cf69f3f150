"""A sweep: the whole space or what a sampler proposes, then timelines of what may be on the front, then executions."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from spaces.candidate import MakeEvaluator, Trial
from spaces.proof import Proof
from spaces.search.adaptive import search
from spaces.search.engine import Engine, Result, Task, open_engine, spend
from spaces.search.enumeration import enumerate_space
from spaces.search.promote import time_front
from spaces.search.sampler import check_installed
from spaces.search.store import Store, owned
from spaces.search.study import Observe, Progress, Stop, Stored, load_stored, open_study, timed_of
from spaces.space import Fidelity, Sweep

Winners = Callable[[Stored], Sequence[Trial]]
# Seconds between two looks at how far a sweep is.
_REPORT_S = 0.2


def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    content: dict[str, str],
    make_evaluator: MakeEvaluator,
    cluster: str | None = None,
    observe: Observe = lambda progress: None,
    stop: Stop = lambda: False,
    winners: Winners = lambda stored: (),
) -> Progress:
    """Run the sweep in `folder` until `sweep.trials` distinct candidates are judged, or the whole space, and nothing is
    left that may extend the front; execute the winners; go on with what is stored there. The same settings give the
    same results, whatever the number of workers.

    content: what the figures depend on besides the settings (network digest, versions); a study with another content is
    refused. cluster: address of a Dask scheduler, or its file; None: `sweep.jobs` processes here. stop: asked before
    every task; true lets running tasks finish and returns with `interrupted`. winners: which trials to execute.

    Raises ConfigError, OutputError, PimdseError; everything that was finished is stored whatever happens.
    """
    check_installed(sweep.sampler)
    with (
        owned(folder),
        closing(open_study(folder, sweep, content)) as store,
        open_engine(sweep, make_evaluator, cluster) as engine,
    ):
        report = _Reports(observe)
        if sweep.complete:
            done = enumerate_space(store, sweep, engine, report, stop)
        else:
            done = search(store, sweep, make_evaluator, engine, report, stop)
        if done and sweep.fidelity is Fidelity.COST:
            done = time_front(store, sweep, engine, store.trials(sweep.fidelity), report, stop)
        if done:
            chosen = winners(load_stored(folder))
            observe(replace(_final(store, sweep, interrupted=False), executing=len(chosen)))
            done = _execute(store, sweep, engine, chosen, stop)
        final = _final(store, sweep, interrupted=not done)
    observe(final)
    return final


class _Reports:
    """Tells the observer now and then: putting progress together takes time that grows with it."""

    def __init__(self, observe: Observe) -> None:
        self._observe, self._next = observe, 0.0

    def __call__(self, progress: Callable[[], Progress]) -> None:
        if time.monotonic() >= self._next:
            self._observe(progress())
            self._next = time.monotonic() + _REPORT_S


def _execute(store: Store, sweep: Sweep, engine: Engine, winners: Sequence[Trial], stop: Stop) -> bool:
    """Compile trials again, execute their programs and store the verdicts; False if stopped.

    Whatever prevents an execution is its proof's reason: one design that cannot be checked costs the others nothing.
    """
    waiting = [Task(trial.number, (trial.candidate.point,), Fidelity.EXECUTED) for trial in winners]

    def tell(result: Result) -> None:
        found = result.candidate
        failed = tuple(
            Proof(network=network.label, passed=False, images=0, error=None, reason=found.reason, executed=False)
            for network in sweep.networks
        )
        judged = replace(found, proofs=found.proofs or failed)
        store.add(sweep, Fidelity.EXECUTED, [Trial(number=result.task.first, candidate=judged)])

    return spend(engine, lambda: waiting.pop(0) if waiting else None, tell, stop)


def _final(store: Store, sweep: Sweep, *, interrupted: bool) -> Progress:
    trials = store.trials(sweep.fidelity)
    distinct = sum(t.duplicate_of is None for t in trials)
    budget = distinct if sweep.complete and not interrupted else sweep.budget
    timed = timed_of(store, sweep)
    return Progress(distinct=distinct, budget=budget, trials=trials, timed=timed, interrupted=interrupted)
