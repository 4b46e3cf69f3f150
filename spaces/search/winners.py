"""The winners of a sweep, executed by its workers."""

from collections.abc import Callable, Sequence

from spaces.proof import Proof
from spaces.search.engine import Engine, Result, Task, spend
from spaces.search.store import Store
from spaces.search.study import Stop, Stored, Trial, proof_facts
from spaces.space import Fidelity, Sweep

Winners = Callable[[Stored], Sequence[Trial]]


def execute_winners(store: Store, sweep: Sweep, engine: Engine, winners: Sequence[Trial], stop: Stop) -> bool:
    """Compile trials again, execute their programs and store the verdicts; False if stopped.

    Whatever prevents an execution is its proof's reason: one design that cannot be checked costs the others nothing.
    """
    waiting = [Task(trial.number, (trial.candidate.point,), Fidelity.EXECUTED) for trial in winners]

    def tell(result: Result) -> None:
        why = result.candidate.reason
        failed = [
            Proof(network=network.label, passed=False, images=0, error=None, reason=why, executed=False)
            for network in sweep.networks
        ]
        store.put(proof_facts(result.task.first, result.candidate.proofs or failed))

    return spend(engine, lambda: waiting.pop(0) if waiting else None, tell, stop)
