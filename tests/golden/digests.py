"""Golden digests: what the compiler writes for many networks, chips, pipelines and solvers, one line per case.

`make golden` computes them again and writes digests.txt; a change that is meant to keep the programs leaves it alone.

A digest covers what is in a file, not how it is packed: program.gz is hashed uncompressed, because isal compresses with
other instructions on other processors and its versions differ; of memory.npz the names, types, shapes and bytes of the
arrays are hashed. Coefficients that are fitted to what ONNX Runtime computed (LRN) depend on its version and on the
processor in their last bits: the values of global memory are left out where there are any.
"""

import gzip
import hashlib
import sys
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pimcomp.compile import compile_network
from pimcomp.config import load_arch
from pimcomp.emit.outputs import emit
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.ir.plan import Pipeline
from pimcomp.schedule import ScheduleOptions
from solvers import get_solver

FILE = Path(__file__).with_name("digests.txt")
DIGITS = 16  # of each SHA-256, in hexadecimal
SMALL = ("digits_dscnn", "digits_incnet", "digits_lenet5", "digits_mlp", "digits_resnet8", "digits_vgg8")
LARGE = (
    "bvlc_alexnet", "googlenet", "mobilenet_v2", "resnet18", "shufflenet_v1_g3", "squeezenet1_1", "vgg8_cifar",
)  # fmt: skip
FITTED = ("bvlc_alexnet",)
TOO_LARGE = (("bvlc_alexnet", "isaac"), ("bvlc_alexnet", "puma"))
CHIPS = ("isaac", "pimcomp_default", "puma")
SOLVERS = ("balance", "exact", "stream")  # deterministic, and within a second
OPTIONS = ScheduleOptions(images_per_round=2)


class Case(NamedTuple):
    """What is compiled for what, and how."""

    network: str
    chip: str
    pipeline: str
    solver: str


CASES = tuple(
    Case(network, chip, pipeline.value, solver)
    for network in sorted((*SMALL, *LARGE))
    for chip in CHIPS
    for pipeline in Pipeline
    for solver in SOLVERS
    if (network, chip) not in TOO_LARGE
)


def digest(case: Case) -> str:
    """Digests of program.gz, config.json and memory.npz."""
    compiled = compile_network(
        _network(case.network).graph,
        load_arch(case.chip),
        get_solver(case.solver),
        pipeline=Pipeline(case.pipeline),
        options=OPTIONS,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "program"
        emit(compiled, folder)
        with gzip.open(folder / "program.gz") as program:
            found = (
                hashlib.file_digest(program, "sha256").hexdigest(),
                hashlib.sha256((folder / "config.json").read_bytes()).hexdigest(),
                _arrays_digest(folder / "memory.npz", ("global_values",) if case.network in FITTED else ()),
            )
    return " ".join(text[:DIGITS] for text in found)


def read() -> dict[Case, str]:
    """The digests in the file."""
    lines = (line.split(maxsplit=4) for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#"))
    return {Case(*words): found for *words, found in lines}


def write(digests: dict[Case, str]) -> None:
    """Replace the file."""
    head = "# network chip pipeline solver: SHA-256 of program.gz, config.json, memory.npz; written by `make golden`\n"
    FILE.write_text(head + "".join(f"{' '.join(case)} {found}\n" for case, found in sorted(digests.items())), "utf-8")


@lru_cache(maxsize=1)
def _network(name: str) -> LoadedNetwork:
    """The small ones have weights of their own, the full-size ones get seeded ones."""
    return load_network(name, weights="random:0" if name in LARGE else None)


def _arrays_digest(path: Path, without: Iterable[str]) -> str:
    total = hashlib.sha256()
    with np.load(path) as arrays:
        for name in sorted(set(arrays) - set(without)):
            array = arrays[name]
            total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def main(words: list[str]) -> None:
    """Write the digests of the named networks (none named: of all) again and print those that are new.

    `--show` prints theirs and writes nothing.
    """
    names = [word for word in words if word != "--show"] or [*SMALL, *LARGE]
    known = {case: found for case, found in read().items() if case in CASES}
    for case in (case for case in CASES if case.network in names):
        found = digest(case)
        if "--show" in words or known.get(case) != found:
            print(*case, found, flush=True)
        if "--show" not in words:
            known[case] = found
            write(known)


if __name__ == "__main__":
    main(sys.argv[1:])
