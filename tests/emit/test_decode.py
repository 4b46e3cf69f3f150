"""Decoding: what was written comes back, in every form, and what the simulators would misread is refused."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.emit.decode import Decoded, decode_program
from pimcomp.emit.pimsim import write_program
from pimcomp.errors import ModelError
from pimcomp.ir.program import Op, Program
from pimcomp.isa.registers import operand_values
from pimcomp.isa.table import IN_REGISTERS
from tests.emit.programs import random_program, small_arch


def resolved(decoded: Decoded) -> tuple[np.ndarray, np.ndarray]:
    """(position, int64[n, 3]): the unscalar instructions and the operand values the register file gives them."""
    file = np.zeros(32, np.int64)
    kept, values = [], []
    for core in range(decoded.cores):
        file[:] = -(2**40)
        for k in range(decoded.core_start[core], decoded.core_start[core + 1]):
            op = decoded.op[k]
            if op == Op.SLDI:
                file[decoded.rd[k]] = decoded.imm[k]
            elif op != Op.SETBW:
                row = [int(file[r]) for r in (decoded.rd[k], decoded.rs1[k], decoded.rs2[k])]
                for slot, has in ((0, op == Op.ST), (1, op == Op.LD)):
                    if has:
                        pair = (decoded.rd, decoded.rs1)[slot][k]
                        row[slot] = (int(file[pair]) << 32) | (int(file[pair + 1]) & 0xFFFFFFFF)
                kept.append(k)
                values.append([v if IN_REGISTERS[op] >> slot & 1 else 0 for slot, v in enumerate(row)])
    return np.array(kept, int), np.array(values, np.int64).reshape(-1, 3)


def round_trip(program: Program, folder: Path) -> Decoded:
    write_program(program, small_arch(program.cores), folder / "program.gz")
    return decode_program(folder / "program.gz")


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 200), cores=st.integers(1, 6))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, seed: int, rows: int, cores: int) -> None:
    program = random_program(seed, rows, cores)
    table = program.table
    decoded = round_trip(program, tmp_path_factory.mktemp("program"))
    kept, values = resolved(decoded)
    assert (decoded.op[kept] == table.op).all()
    assert (values == operand_values(table)).all()
    is_mvmul = table.op == Op.MVMUL
    assert (decoded.group[kept][is_mvmul] == table.group[is_mvmul]).all()
    assert (decoded.relu[kept] == table.relu).all()
    assert (np.maximum(decoded.length, decoded.size)[kept] == table.size).all()
    has_peer = table.peer >= 0
    assert (decoded.core[kept][has_peer] == table.peer[has_peer]).all()
    is_lldi = table.op == Op.LLDI
    assert (decoded.imm[kept][is_lldi] == table.src2[is_lldi]).all()
    for core in np.flatnonzero(np.diff(program.core_start)):
        first = decoded.core_start[core]
        assert (decoded.op[first], decoded.ibiw[first], decoded.obiw[first]) == (Op.SETBW, 8, 8)
        assert decoded.array_group_map[core].tolist() == [1, 2, 3]


def test_plain_json_reads_like_gzip(tmp_path: Path) -> None:
    program = random_program(1)
    packed = round_trip(program, tmp_path)
    (tmp_path / "program.json").write_bytes(gzip.decompress((tmp_path / "program.gz").read_bytes()))
    plain = decode_program(tmp_path / "program.json")
    assert all((getattr(plain, name) == getattr(packed, name)).all() for name in ("op", "rd", "imm", "size"))


def test_lmv_and_send_satisfy_the_hazard_check(tmp_path: Path) -> None:
    decoded = round_trip(random_program(2, ops=(Op.LMV, Op.SEND)), tmp_path)
    is_lmv, is_send = decoded.op == Op.LMV, decoded.op == Op.SEND
    assert is_lmv.any() and is_send.any()  # noqa: PT018
    assert (decoded.size[is_lmv] == decoded.length[is_lmv]).all()
    assert (decoded.rd[is_send] == decoded.rs1[is_send]).all()


def test_cores_without_instructions_are_left_out(tmp_path: Path) -> None:
    program = random_program(3, rows=3, cores=3)
    idle_first = np.array([0, 0, 3, 3], np.int64)
    write_program(replace(program, core_start=idle_first), small_arch(3), tmp_path / "program.gz")
    written = json.loads(gzip.decompress((tmp_path / "program.gz").read_bytes()))
    assert sorted(written) == ["config", "core1"]
    assert sorted(written["config"]["array_group_map"]) == ["core1"]
    assert np.diff(decode_program(tmp_path / "program.gz").core_start).tolist() == [0, len(written["core1"]), 0]


GOOD = {
    "config": {"core_cnt": 2, "array_group_map": {"core0": [1], "core1": []}},
    "core0": [{"op": "setbw", "ibiw": 8, "obiw": 8}, {"op": "sldi", "rd": 3, "imm": 5}],
    "core1": [{"op": "nop"}, {"op": "send", "rd": 0, "rs1": 0, "core": 0, "size": 4}],
}


@pytest.mark.parametrize(
    ("core", "index", "change", "message"),
    [
        (0, 1, {"op": "vsoftmax"}, "core 0, instruction 1: unknown op 'vsoftmax'"),
        (0, 1, {"op": 3}, "core 0, instruction 1: unknown op 3"),
        (0, 1, {"imm": 5.0}, "core 0, instruction 1: imm: expected an integer, found 5.0"),
        (0, 1, {"imm": True}, "imm: expected an integer, found True"),
        (0, 1, {"imm": 2**40}, "imm: expected -2147483648 to 2147483647, found"),
        (0, 1, {"rd": 32}, "core 0, instruction 1: rd: expected 0 to 31, found 32"),
        (0, 1, {"lenght": 4}, "core 0, instruction 1: unknown field 'lenght'"),
        (1, 1, {"core": 2}, "core 1, instruction 1: core: expected 0 to 1, found 2"),
        (1, 1, {"core": None}, "core 1, instruction 1: core: expected an integer, found None"),
        (1, 1, {"offset": 3}, "core 1, instruction 1: offset: expected"),
    ],
)
def test_a_bad_instruction_is_named(
    tmp_path: Path, core: int, index: int, change: dict[str, object], message: str
) -> None:
    program = json.loads(json.dumps(GOOD))
    program[f"core{core}"][index] |= change
    (tmp_path / "program.json").write_text(json.dumps(program))
    with pytest.raises(ModelError, match=message.replace("(", r"\(")):
        decode_program(tmp_path / "program.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "expected an object"),
        ("{}", "expected an object 'config'"),
        ('{"config":{"core_cnt":0}}', "core_cnt: expected a positive integer, found 0"),
        ('{"config":{"core_cnt":1}}', "array_group_map: expected an object"),
        ('{"config":{"core_cnt":1,"array_group_map":{"core0":[0]}}}', "core0: expected positive integers"),
        ('{"config":{"core_cnt":1,"array_group_map":{}},"core1":[]}', "found 'core1'"),
        ('{"config":{"core_cnt":1,"array_group_map":{}},"core0":{}}', "expected a list of instructions"),
        ('{"config":{"core_cnt":1,"array_group_map":{}},"core0":[1]}', "core 0, instruction 0: expected an object"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "program.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        decode_program(tmp_path / "program.json")


def test_a_send_must_name_its_peer(tmp_path: Path) -> None:
    program = json.loads(json.dumps(GOOD))
    del program["core1"][1]["core"]
    (tmp_path / "program.json").write_text(json.dumps(program))
    with pytest.raises(ModelError, match="core 1, instruction 1: send has no field 'core'"):
        decode_program(tmp_path / "program.json")


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    round_trip(random_program(1), tmp_path)
    content = (tmp_path / "program.gz").read_bytes()
    (tmp_path / "torn.gz").write_bytes(content[: len(content) // 2])
    for position in range(20, 60, 10):
        (tmp_path / f"flipped{position}.gz").write_bytes(content[:position] + b"\xff\xff" + content[position + 2 :])
    (tmp_path / "empty.gz").write_bytes(b"")
    for name in ("torn.gz", "absent.gz", "empty.gz", *(f"flipped{k}.gz" for k in range(20, 60, 10))):
        with pytest.raises(ModelError, match=name):
            decode_program(tmp_path / name)
