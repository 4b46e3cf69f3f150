"""The per-core form of a program that the HEAPLab fork of pimsim-nn loads: a folder with one file per core.

config.json holds core_cnt and array_group_map; every core has a core_<id>.json (a list) or a core_<id>.pim (binary),
the idle ones an empty one (and, being there, their share of static power in the simulator's energy). The binary form
keeps one length per instruction, so an lmv loses the `size` that the hazard check of reorder buffers above one entry
looks at.
"""

import json
from pathlib import Path

import numpy as np

from pimcomp.emit.json_writer import JsonWriter, check_opcodes, stored_weight_bits
from pimcomp.emit.pimsim import emitted_index, emitted_start
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Op, Program
from pimcomp.isa.columns import PIM_HEADER, PIM_MAGIC, PIM_RECORD
from pimcomp.isa.fields import FIELDS, Source
from pimcomp.isa.registers import LOAD_HIGH, LOAD_RD, LOAD_RS1, LOAD_RS2, operand_values


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
    table, registers, emitted = program.table, program.registers, emitted_start(program)
    records = np.zeros(emitted[-1], PIM_RECORD)
    busy = np.diff(program.core_start) > 0
    records[emitted[:-1][busy]] = (Op.SETBW, 0, 0, 0, 0, arch.activation_bits, arch.psum_bits, 0)
    at = np.repeat(emitted[:-1], np.diff(program.core_start)) + emitted_index(program)
    _put_loads(records, at, program, operand_values(table, clip_code))
    registers_of = {Source.RD: registers.rd, Source.RS1: registers.rs1}
    for name, source in (("rd", Source.RD), ("rs1", Source.RS1)):
        records[name][at] = np.where(_has(table.op, source), registers_of[source], 0)
    records["op"][at] = table.op
    is_mvmul, is_lldi = table.op == Op.MVMUL, table.op == Op.LLDI
    first: IntArray = np.where(_has(table.op, Source.RS2), registers.rs2, 0).astype(np.int32)
    first[is_mvmul] = stored_weight_bits(arch)
    first[is_lldi] = table.src2[is_lldi]
    records["a"][at] = np.where(_has(table.op, Source.PEER), table.peer, first)
    records["b"][at] = np.where(is_mvmul, table.relu, 0)
    records["c"][at] = np.where(is_mvmul, table.group, 0)
    records["d"][at] = np.where(_has(table.op, Source.SIZE), table.size, 0)
    return records


def _has(op: np.ndarray, source: Source) -> np.ndarray:
    """bool[rows]: the instruction has a field from this source."""
    return np.isin(op, [o for o, fields in FIELDS.items() if source in dict(fields).values()])


def _put_loads(records: np.ndarray, at: LongArray, program: Program, values: LongArray) -> None:
    """The sldi's: in front of the row at `at`, in the order high half, rd, rs1, rs2."""
    op, registers = program.table.op, program.registers
    is_ld, is_st = op == Op.LD, op == Op.ST
    far = np.where(is_ld, values[:, 1], values[:, 0])
    operands = (
        (LOAD_HIGH, np.where(is_ld, registers.rs1, registers.rd), far >> 32),
        (LOAD_RD, registers.rd + is_st, values[:, 0]),
        (LOAD_RS1, registers.rs1 + is_ld, values[:, 1]),
        (LOAD_RS2, registers.rs2, values[:, 2]),
    )
    position = at - np.bitwise_count(registers.loads)
    for bit, register, value in operands:
        rows = np.flatnonzero(registers.loads & bit)
        records["op"][position[rows]] = Op.SLDI
        records["rd"][position[rows]] = register[rows]
        records["a"][position[rows]] = (value[rows] & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
        position[rows] += 1
