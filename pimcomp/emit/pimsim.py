"""The simulator's program file: one gzip-compressed JSON object with every core's instruction list.

Loaded as it is by pimsim-nn and by the HEAPLab fork. The latter wants of every core in the file an `array_group_map`
entry (an empty one will do) and `core_cnt` no larger than the chip's. Cores without instructions are left out: the
former never finishes, or throws, on an empty list.
"""

import json
from pathlib import Path

import numpy as np
from isal import isal_zlib

from pimcomp.emit.json_writer import JsonWriter
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray, Program

GZIP_LEVEL = 2  # of isal's 0..3; the levels differ by a few percent in size and little in time
_GZIP_WINDOW_BITS = 31  # zlib's code for a gzip container; its header has no name and time 0


def write_program(program: Program, arch: Arch, path: Path, clip_code: LongArray | None = None) -> None:
    """Writes program.gz. Each core's list is a setbw, then every table row behind the sldi's it needs.

    clip_code: the integer bounds the registers were assigned with, if any.
    """
    writer = JsonWriter(program, arch, clip_code)
    compressor = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW_BITS)
    config = json.dumps(instruction_config(program), separators=(",", ":"))
    with path.open("wb") as file:
        file.write(compressor.compress(f'{{"config":{config}'.encode()))
        for chunk in writer.chunks(range(program.cores), keyed=True):
            file.write(compressor.compress(chunk))
        file.write(compressor.compress(b"}\n"))
        file.write(compressor.flush())


def instruction_config(program: Program) -> dict[str, object]:
    """The file's `config`: core_cnt and, per core with instructions, the crossbars of each of its array groups."""
    crossbars, start = program.group_crossbars.tolist(), program.group_start.tolist()
    present = np.flatnonzero(np.diff(program.core_start)).tolist()
    return {
        "core_cnt": program.cores,
        "array_group_map": {f"core{core}": crossbars[start[core] : start[core + 1]] for core in present},
    }
