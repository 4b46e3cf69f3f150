"""Reads a folder with a program for the simulator: one that pimdse wrote, or any other with a chip beside it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pimcomp.attribution import Attribution, attribute
from pimcomp.config import load_arch
from pimcomp.emit.decode import Decoded, decode_program, nodes_of, read_checkpoints
from pimcomp.errors import DeadlockError, ModelError, OutputError
from pimcomp.ir.arch import Arch
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import IntArray
from pimcomp.ir.report import Figures, LayerEnergy
from pimcomp.timeline.energy import energy_of_stream, energy_of_stream_by_layer, not_counted
from pimcomp.timeline.file_stream import stream_of_file
from pimcomp.timeline.timing import time_stream
from pimcomp.timeline.work import Instructions
from pimdse.folder.compiled import PROGRAMS, REPORT, read_compiled_folder, refuse_segments

_CHIPS = ("chip.yaml", "config.json")  # the former says more: mesh, area, where the numbers come from


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProgramFolder:
    """A program and its chip.

    title: what it is, for people. pipeline: "element", "batch" or "" where nothing says so. node: int32[rows of
    stream], graph node each instruction works for, -1: none; node_names: of the graph's nodes, empty if unknown.
    """

    path: Path
    program: Path
    title: str
    pipeline: str
    images_per_round: int
    arch: Arch
    decoded: Decoded
    stream: Instructions
    node: IntArray
    node_names: tuple[str, ...]

    def layer(self, node: int) -> str:
        """The name of a graph node; "-" for none."""
        return self.node_names[node] if 0 <= node < len(self.node_names) else "-"

    def figures(self) -> tuple[Figures, tuple[LayerEnergy, ...]]:
        """What the timeline says of the program, and the dynamic part of a pass's energy by graph node."""
        stream, arch, listing = self.stream, self.arch, self.decoded.listing
        timing = time_stream(stream, arch)
        figures = Figures(
            timing=timing,
            energy=energy_of_stream(stream, arch, timing.latency_ns, listing),
            images_per_round=self.images_per_round,
            energy_not_counted=not_counted(arch),
        )
        return figures, energy_of_stream_by_layer(stream, self.node, self.node_names, arch, listing=listing)

    def attribution(self) -> Attribution:
        """One pass taken apart. Raises DeadlockError, which names the program."""
        try:
            return attribute(self.stream, self.arch, self.node, len(self.node_names))
        except DeadlockError as error:
            raise DeadlockError(f"{self.program}: {error}", error.report) from None


def read_program_folder(path: Path) -> ProgramFolder:
    """Read the program, its chip and, where there are any, layer names and the report.

    Raises OutputError if the folder has no program or no chip, ModelError or ConfigError if one of them is wrong.
    """
    if not path.is_dir():
        raise OutputError(f"{path}: no such folder; `pimdse compile MODEL --out {path}` makes one")
    refuse_segments(path)
    program = _first(path, PROGRAMS, "program")
    arch = chip_of_folder(path)
    decoded = decode_program(program)
    try:
        stream, emitted = stream_of_file(decoded, arch)
    except ModelError as error:
        raise ModelError(f"{program}: {error}") from error
    node, names = np.full(len(emitted), -1, np.int32), tuple[str, ...]()
    if (path / "checkpoints.npz").is_file():
        points = read_checkpoints(path / "checkpoints.npz")
        node = nodes_of(points, decoded, path / "checkpoints.npz")[emitted]
        names = points.node_names
    known = read_compiled_folder(path) if (path / REPORT).is_file() else None
    return ProgramFolder(
        path=path,
        program=program,
        title=known.title if known else path.name,
        pipeline=known.pipeline if known else "",
        images_per_round=known.images_per_round if known else 1,
        arch=arch,
        decoded=decoded,
        stream=stream,
        node=node,
        node_names=names,
    )


def chip_of_folder(path: Path) -> Arch:
    """The chip that the folder's program is for. Raises OutputError if none is there, ConfigError if it is wrong."""
    return load_arch(_first(path, _CHIPS, "chip"))


def _first(path: Path, names: tuple[str, ...], what: str) -> Path:
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        raise OutputError(f"{path}: expected a {what} there, as {' or '.join(names)}, found none")
    return found[0]
