"""Which designs of a sweep are executed: the knee and the best per objective."""

from collections.abc import Sequence

from pimdse.report.findings import find
from spaces.candidate import Trial
from spaces.search.study import Stored


def winners(stored: Stored) -> Sequence[Trial]:
    """The knee and the best of each objective, each once, if they were not executed yet."""
    findings = find(stored)
    best = [findings.best(name, findings.front) for name in findings.sweep.objectives]
    chosen = {t.number: t for t in (findings.knee, *best) if t is not None}
    executed = {key for key, proof in findings.proofs.items() if proof.executed}
    return [t for t in chosen.values() if not {(t.number, n.label) for n in findings.sweep.networks} <= executed]
