"""The per-core folder holds the same program as program.gz, as JSON and in binary."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.emit.decode import Decoded, decode_program
from pimcomp.emit.directory import write_directory
from pimcomp.emit.pimsim import write_program
from pimcomp.errors import ModelError
from pimcomp.ir.program import Op
from tests.emit.programs import random_program, small_arch


def assert_same(found: Decoded, expected: Decoded, *, except_lmv_size: bool) -> None:
    for field in fields(Decoded):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "array_group_map":
            assert [groups.tolist() for groups in a[:2]] == [groups.tolist() for groups in b[:2]]
        elif field.name == "size" and except_lmv_size:
            others = expected.op != Op.LMV
            assert (a[others] == b[others]).all()
        else:
            assert np.array_equal(a, b), field.name


@pytest.mark.parametrize("binary", [False, True])
def test_the_folder_is_the_program(tmp_path: Path, binary: bool) -> None:
    program = random_program(11, rows=250, cores=3)
    start = np.append(program.core_start, program.core_start[-1])  # a fourth core, idle
    program = replace(
        program, cores=4, core_start=start, group_start=np.append(program.group_start, program.group_start[-1])
    )
    write_program(program, small_arch(4), tmp_path / "program.gz")
    write_directory(program, small_arch(4), tmp_path / "cores", binary=binary)
    suffix = "pim" if binary else "json"
    names = sorted(entry.name for entry in (tmp_path / "cores").iterdir())
    assert names == ["config.json", *(f"core_{core}.{suffix}" for core in range(4))]
    expected, found = decode_program(tmp_path / "program.gz"), decode_program(tmp_path / "cores")
    assert_same(found, expected, except_lmv_size=binary)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("core_0.pim", b"", "no 'PIMB' at its start"),
        ("core_0.pim", b"PIMB" + bytes([2, 0, 0, 0, 0, 0, 0, 0]), "found version 2"),
        ("core_0.pim", b"PIMB" + bytes([1, 0, 0, 0, 2, 0, 0, 0]) + bytes(20), "2 records of 20 bytes"),
        ("core_0.pim", b"PIMB" + bytes([1, 0, 0, 0, 1, 0, 0, 0, 21]) + bytes(19), "instruction 0: unknown op 21"),
        ("core_0.pim", b"PIMB" + bytes([1, 0, 0, 0, 1, 0, 0, 0, 1, 40]) + bytes(18), "rd: expected 0 to 31, found 40"),
        ("core_9.json", b"[]", "id below 2"),
        ("core_x.json", b"[]", "expected core_<id>"),
    ],
)
def test_a_bad_folder_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write_directory(random_program(12, cores=2), small_arch(2), tmp_path / "cores", binary=True)
    (tmp_path / "cores" / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        decode_program(tmp_path / "cores")


def test_a_missing_core_is_named(tmp_path: Path) -> None:
    write_directory(random_program(12, cores=2), small_arch(2), tmp_path / "cores", binary=False)
    (tmp_path / "cores" / "core_1.json").unlink()
    with pytest.raises(ModelError, match=r"expected core_1\.json or core_1\.pim"):
        decode_program(tmp_path / "cores")
