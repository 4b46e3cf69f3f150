"""A program file becomes the same stream as the compiler's table, and as hand-written JSON read the slow way."""

import json
from pathlib import Path

import numpy as np
import pytest

from pimcomp.emit.decode import decode_program
from pimcomp.emit.pimsim import write_program
from pimcomp.errors import ModelError
from pimcomp.isa.listing import emitted_index, emitted_start
from pimcomp.timeline.file_stream import stream_of_file
from pimcomp.timeline.work import Instructions, stream_of
from tests.emit.programs import random_program, small_arch
from tests.timeline.micro import Case, arch_of, cases, stream_of_json

COLUMNS = (
    "core_start", "op", "group", "crossbars", "dst", "src", "src2", "size", "lock_size", "peer", "event", "bubbles",
    "tail_bubbles",
)  # fmt: skip


def check(found: Instructions, expected: Instructions, columns: tuple[str, ...]) -> None:
    for name in columns:
        ours, theirs = getattr(found, name), getattr(expected, name)
        short = len(ours) if name in ("core_start", "tail_bubbles") else len(theirs)
        np.testing.assert_array_equal(ours, theirs[:short], err_msg=name)
    for bits in ("input_bits", "output_bits", "weight_bits"):
        ours, theirs = getattr(found.widths, bits)[found.width], getattr(expected.widths, bits)[expected.width]
        np.testing.assert_array_equal(ours, theirs, err_msg=bits)


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in cases()])
def test_hand_written_programs(case: Case, tmp_path: Path) -> None:
    (tmp_path / "program.json").write_text(json.dumps(case.program))
    arch = arch_of(case.config)
    stream, _ = stream_of_file(decode_program(tmp_path / "program.json"), arch)
    check(stream, stream_of_json(case.program, arch.cores), COLUMNS)


@pytest.mark.parametrize("seed", range(4))
def test_emitted_programs(seed: int, tmp_path: Path) -> None:
    program, arch = random_program(seed), small_arch()
    write_program(program, arch, tmp_path / "program.gz")
    stream, emitted = stream_of_file(decode_program(tmp_path / "program.gz"), arch)
    # registers hold what a file does not say of operands that do not exist
    columns = tuple(c for c in COLUMNS if c not in ("dst", "src", "src2", "lock_size", "event"))
    expected = stream_of(program, arch)
    for name in columns:
        np.testing.assert_array_equal(getattr(stream, name), getattr(expected, name), err_msg=name)
    start = np.repeat(emitted_start(program)[:-1], np.diff(program.core_start))
    np.testing.assert_array_equal(emitted, start + emitted_index(program))


def test_a_group_that_does_not_exist(tmp_path: Path) -> None:
    program = {
        "config": {"core_cnt": 1, "array_group_map": {"core0": [1]}},
        "core0": [{"op": "setbw", "ibiw": 8, "obiw": 8}, {"op": "mvmul", "rd": 0, "rs1": 1, "group": 1, "mbiw": 8}],
    }
    (tmp_path / "program.json").write_text(json.dumps(program))
    with pytest.raises(ModelError, match="core 0, instruction 1: group: expected one below 1, found 1"):
        stream_of_file(decode_program(tmp_path / "program.json"), small_arch())


def test_more_cores_than_the_chip(tmp_path: Path) -> None:
    program = {"config": {"core_cnt": 9, "array_group_map": {}}, "core8": [{"op": "lldi", "len": 4}]}
    (tmp_path / "program.json").write_text(json.dumps(program))
    with pytest.raises(ModelError, match="a program for 9 cores, but small has 4"):
        stream_of_file(decode_program(tmp_path / "program.json"), small_arch())
