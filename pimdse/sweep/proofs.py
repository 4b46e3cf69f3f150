"""The winners of a sweep, executed: the knee and the best per objective are compiled again and proven."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pimcomp.errors import PimdseError
from pimdse.compiling.building import build, write
from pimdse.display.output import Output
from pimdse.folder.proof import prove
from pimdse.report.findings import Findings
from pimdse.sweep.recipe import recipe_of
from spaces.proof import Proof
from spaces.search.study import Trial, store_proof
from spaces.space import Network, Sweep


def winners(findings: Findings) -> tuple[Trial, ...]:
    """The knee and the best of each objective, each once."""
    best = [findings.best(name, findings.front) for name in findings.sweep.objectives]
    found = {t.number: t for t in (findings.knee, *best) if t is not None}
    return tuple(found.values())


def prove_winners(output: Output, findings: Findings, folder: Path) -> None:
    """Execute the winners that were not executed yet and store the verdicts."""
    for trial in winners(findings):
        for network in findings.sweep.networks:
            known = findings.proofs.get((trial.number, network.label))
            if known is not None and known.executed:
                continue
            with output.stages(f"verifying trial {trial.number}, {network.label}") as observe:
                store_proof(folder, trial.number, prove_trial(findings.sweep, trial, network, observe))


def prove_trial(sweep: Sweep, trial: Trial, network: Network, observe: Callable[[str, object], None]) -> Proof:
    """Compile a trial for a network and execute the emitted files.

    Whatever prevents that is the proof's reason: one design that cannot be checked costs the others nothing.
    """
    recipe = recipe_of(sweep, trial, network)
    proof = Proof(network=network.label, passed=False, images=0, error=None, reason="", executed=False)
    try:
        built = build(recipe, observe)
        with tempfile.TemporaryDirectory() as folder:
            write(built, Path(folder) / "program")
            observe("write", folder)
            report = prove(Path(folder) / "program", built.network)
    except Exception as error:  # a defect too: it stands in the report, and `pimdse verify` shows all of it
        known = isinstance(error, PimdseError)
        return replace(proof, reason=str(error) if known else f"{type(error).__name__}: {error}")
    return replace(
        proof,
        passed=report.passed,
        images=report.images,
        error=report.share if math.isfinite(report.share) else None,
        reason=report.reason,
        executed=True,
    )
