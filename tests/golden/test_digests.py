"""Programs are what they were: byte by byte, for many networks, chips, pipelines and solvers."""

import os
import subprocess
import sys

import pytest

from pimcomp.ir.plan import Pipeline
from tests.golden.digests import CASES, CHIPS, SMALL, SOLVERS, Case, digest, read

GOLDEN = read()


def is_fast(case: Case) -> bool:
    """All of the smallest network; of three more each chip, with a pipeline and a solver that take turns."""
    if case.network not in SMALL[:3]:
        return case.network == "digits_mlp"
    turn = CHIPS.index(case.chip) + SMALL.index(case.network)
    return case.solver == SOLVERS[turn % 3] and case.pipeline == list(Pipeline)[turn % 2]


def test_every_case_has_its_digest() -> None:
    assert set(GOLDEN) == set(CASES)


@pytest.mark.parametrize(
    "case", [pytest.param(c, id="-".join(c), marks=[] if is_fast(c) else pytest.mark.slow) for c in CASES]
)
def test_the_program_is_what_it_was(case: Case) -> None:
    """If it is meant to be another: `make golden`, and say in CHANGELOG.md why."""
    assert digest(case) == GOLDEN[case]


@pytest.mark.slow
def test_programs_depend_on_neither_hash_seed_nor_locale_nor_cores() -> None:
    """A process in other surroundings finds what the file says."""
    surroundings = {"PYTHONHASHSEED": "17", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"} | {
        f"{library}_NUM_THREADS": "1" for library in ("NUMBA", "OMP", "OPENBLAS")
    }
    command = [sys.executable, "-m", "tests.golden.digests", "--show", "digits_lenet5"]
    done = subprocess.run(command, env=os.environ | surroundings, capture_output=True, text=True, check=True)
    found = {Case(*words): rest for *words, rest in (line.split(maxsplit=4) for line in done.stdout.splitlines())}
    assert found == {case: GOLDEN[case] for case in CASES if case.network == "digits_lenet5"}
