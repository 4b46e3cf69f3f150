"""The per-core form of a program that the HEAPLab fork of pimsim-nn loads: a folder with one file per core.

config.json holds core_cnt and array_group_map; every core has a core_<id>.json (a list) or a core_<id>.pim (binary),
the idle ones an empty one (and, being there, their share of static power in the simulator's energy). The binary form
keeps one length per instruction, so an lmv loses the `size` that the hazard check of reorder buffers above one entry
looks at.
"""

import json
from pathlib import Path

import numpy as np

from pimcomp.emit.json_writer import JsonWriter, check_opcodes, source_columns
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray, Op, Program
from pimcomp.isa.columns import PIM_HEADER, PIM_MAGIC, PIM_RECORD
from pimcomp.isa.fields import FIELDS
from pimcomp.isa.listing import emitted_place, emitted_start, listing_of
from pimcomp.isa.table import ISA


def write_directory(
    program: Program, arch: Arch, folder: Path, *, binary: bool, clip_code: LongArray | None = None
) -> None:
    """Writes config.json and one file per core into `folder`, which is created.

    clip_code: the integer bounds the registers were assigned with, if any.
    """
    folder.mkdir(parents=True)
    crossbars, start = program.group_crossbars.tolist(), program.group_start.tolist()
    groups = {f"core{core}": crossbars[start[core] : start[core + 1]] for core in range(program.cores)}
    config = {"core_cnt": program.cores, "array_group_map": groups}
    (folder / "config.json").write_text(json.dumps(config, separators=(",", ":")) + "\n")
    if binary:
        check_opcodes(program.table.op)
        records, emitted = pim_records(program, arch, clip_code), emitted_start(program)
        for core in range(program.cores):
            own = records[emitted[core] : emitted[core + 1]]
            content = PIM_HEADER.pack(PIM_MAGIC, 1, len(own)) + own.tobytes()
            (folder / f"core_{core}.pim").write_bytes(content)
        return
    writer = JsonWriter(program, arch, clip_code)
    for core in range(program.cores):
        with (folder / f"core_{core}.json").open("wb") as file:
            if program.core_start[core] == program.core_start[core + 1]:
                file.write(b"[]")
            for chunk in writer.chunks(range(core, core + 1), keyed=False):
                file.write(chunk)
            file.write(b"\n")


def pim_records(program: Program, arch: Arch, clip_code: LongArray | None = None) -> np.ndarray:
    """PIM_RECORD[emitted instructions]: all lists, one behind another."""
    table, listing = program.table, listing_of(program, clip_code)
    records = np.zeros(len(listing.op), PIM_RECORD)
    for name, column in (("op", listing.op), ("rd", listing.rd), ("rs1", listing.rs1), ("a", listing.imm)):
        records[name] = column
    sets = listing.op == Op.SETBW
    records["b"][sets], records["c"][sets] = arch.input_bits_at(records["a"][sets]), arch.psum_bits
    records["a"][sets] = 0
    at, columns = emitted_place(program), source_columns(program, arch)
    for op, fields in FIELDS.items():
        rows = np.flatnonzero(table.op == op)
        for number, field in zip("abcd", ISA[op].record, strict=True):
            if field in dict(fields):
                records[number][at[rows]] = np.broadcast_to(columns[dict(fields)[field]], table.op.shape)[rows]
    return records
