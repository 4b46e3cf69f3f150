"""program.gz: deterministic bytes, and positions that other files can refer to.

Covers: json_writer, pimsim, ascii_kernels.
"""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.emit import json_writer
from pimcomp.emit.decode import decode_program
from pimcomp.emit.pimsim import write_program
from pimcomp.errors import InvariantError
from pimcomp.ir.program import Op
from pimcomp.isa.listing import emitted_index, emitted_start
from pimcomp.isa.registers import assign_registers
from tests.emit.programs import make_table, program_of, random_program, small_arch


def test_the_text_of_a_small_program(tmp_path: Path) -> None:
    core_start = np.array([0, 3, 4], np.int64)
    rows = [
        {"op": Op.LD, "dst": 16, "src": 2**32 + 2**31, "size": 64},
        {"op": Op.MVMUL, "dst": 128, "src": 16, "group": 2, "relu": 1},
        {"op": Op.SEND, "src": 128, "peer": 1, "size": 12},
        {"op": Op.RECV, "dst": 0, "peer": 0, "size": 12},
    ]
    program = program_of(make_table(core_start, rows), core_start)
    write_program(program, small_arch(2), tmp_path / "program.gz")
    assert gzip.decompress((tmp_path / "program.gz").read_bytes()).decode() == (
        '{"config":{"core_cnt":2,"array_group_map":{"core0":[1,2,3],"core1":[1,2,3]}},\n'
        '"core0":[\n'
        '{"op":"setbw","ibiw":8,"obiw":8},\n'
        '{"op":"sldi","rd":0,"imm":1},\n'
        '{"op":"sldi","rd":2,"imm":16},\n'
        '{"op":"sldi","rd":1,"imm":-2147483648},\n'
        '{"op":"ld","rd":2,"rs1":0,"size":64},\n'
        '{"op":"sldi","rd":3,"imm":128},\n'
        '{"op":"mvmul","rd":3,"rs1":2,"group":2,"mbiw":8,"relu":1},\n'
        '{"op":"send","rd":3,"rs1":3,"core":1,"size":12}],\n'
        '"core1":[\n'
        '{"op":"setbw","ibiw":8,"obiw":8},\n'
        '{"op":"sldi","rd":0,"imm":0},\n'
        '{"op":"recv","rd":0,"core":0,"size":12}]}\n'
    )


@pytest.mark.parametrize("buffer_bytes", [512, 1024, 5000])
def test_the_size_of_the_buffer_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int
) -> None:
    program = random_program(5, rows=150, cores=7)
    write_program(program, small_arch(7), tmp_path / "large.gz")
    monkeypatch.setattr(json_writer, "BUFFER_BYTES", buffer_bytes)
    write_program(program, small_arch(7), tmp_path / "small.gz")
    large, small = (gzip.decompress((tmp_path / name).read_bytes()) for name in ("large.gz", "small.gz"))
    assert small == large


def test_same_program_same_bytes_and_no_time_inside(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_program(random_program(6), small_arch(), tmp_path / name)
    content = (tmp_path / "a.gz").read_bytes()
    assert content == (tmp_path / "b.gz").read_bytes()
    assert content[3] == 0  # no file name in the gzip header
    assert content[4:8] == bytes(4)  # no modification time


def test_the_longest_row_fits_the_room_kept_for_it() -> None:
    core_start = np.array([0, 1], np.int64)
    extreme = {"op": Op.VAVG, "dst": -(2**31), "src": -(2**31) + 1, "src2": -(2**31) + 2, "size": 2**31 - 1}
    program = program_of(make_table(core_start, [extreme]), core_start)
    chunks = json_writer.JsonWriter(program, small_arch(1)).chunks(range(1), keyed=False)
    load = len('{"op":"sldi","rd":31,"imm":-2147483648},\n')
    assert sum(map(len, chunks)) + load < json_writer.ROW_BYTES


def test_emitted_index_points_at_the_row_itself(tmp_path: Path) -> None:
    program = random_program(7, rows=300, cores=5)
    write_program(program, small_arch(5), tmp_path / "program.gz")
    decoded = decode_program(tmp_path / "program.gz")
    assert (emitted_start(program) == decoded.core_start).all()
    core = np.repeat(np.arange(5), np.diff(program.core_start))
    at = decoded.core_start[core] + emitted_index(program)
    assert (decoded.op[at] == program.table.op).all()
    others = np.delete(decoded.op, at)
    assert set(others.tolist()) <= {Op.SLDI, Op.SETBW}


def test_what_no_table_may_hold_is_refused(tmp_path: Path) -> None:
    core_start = np.array([0, 2], np.int64)
    table = make_table(core_start, [{"op": Op.VRELU, "dst": 8, "size": 1}, {"op": Op.SADDI}])
    program = program_of(table, core_start, assign_registers(table, core_start))
    with pytest.raises(InvariantError, match="table row 1: opcode 6"):
        write_program(program, small_arch(1), tmp_path / "program.gz")


def test_clip_codes_reach_the_registers(tmp_path: Path) -> None:
    core_start = np.array([0, 1], np.int64)
    table = make_table(core_start, [{"op": Op.VRSU, "dst": 8, "src": 16, "src2": 1, "size": 4}])
    codes = np.array([0, -77], np.int64)
    program = replace(program_of(table, core_start), registers=assign_registers(table, core_start, codes))
    write_program(program, small_arch(1), tmp_path / "program.gz", codes)
    assert decode_program(tmp_path / "program.gz").imm.tolist() == [0, 8, 16, -77, 0]
