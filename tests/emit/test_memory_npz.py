"""memory.npz and checkpoints.npz: what is written is read back, in both forms, with deterministic bytes.

Covers: npz.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pimcomp.emit.decode import decode_program, read_checkpoints, read_memory
from pimcomp.emit.memory_npz import write_checkpoints, write_memory
from pimcomp.emit.npz import write_npz
from pimcomp.emit.pimsim import write_program
from pimcomp.errors import ModelError
from pimcomp.ir.program import Checkpoints, Op
from pimcomp.isa.listing import emitted_index
from tests.emit.programs import random_program, small_arch


@pytest.mark.parametrize("shared_above_bytes", [0, 1 << 20])
def test_both_forms_give_every_array_group_its_matrix(tmp_path: Path, shared_above_bytes: int) -> None:
    program = random_program(0, cores=3)
    write_memory(program, tmp_path / "memory.npz", shared_above_bytes=shared_above_bytes)
    with np.load(tmp_path / "memory.npz") as archive:
        assert ("core2_group1" in archive) == (shared_above_bytes > 0)
        assert ("core2_groups" in archive) == ("matrix_1" in archive) == (shared_above_bytes == 0)
    image = read_memory(tmp_path / "memory.npz")
    assert sorted(image.matrices) == [(core, group) for core in range(3) for group in range(3)]
    for (core, group), matrix in image.matrices.items():
        expected = program.matrices[program.group_matrix[program.group_start[core] + group]]
        assert matrix.dtype == np.float32
        assert (matrix == expected).all()


def test_constants_tensors_and_bounds_come_back(tmp_path: Path) -> None:
    program = replace(random_program(1, cores=3), images_per_round=4, output_round_delay=2)
    write_memory(program, tmp_path / "memory.npz")
    write_program(program, small_arch(3), tmp_path / "program.gz")
    image, decoded = read_memory(tmp_path / "memory.npz"), decode_program(tmp_path / "program.gz")
    assert image.global_addresses.tolist() == [100, 101, 2**33]
    assert image.global_values.tolist() == [0.5, -1.0, 3.25]
    assert (image.inputs["image"] == program.inputs["image"]).all()
    assert (image.outputs["scores"] == program.outputs["scores"]).all()
    assert (image.images_per_round, image.output_round_delay) == (4, 2)
    clips = (program.table.op == Op.VRSU) | (program.table.op == Op.VRSL)
    assert len(image.clip_core) == clips.sum() > 0
    at = decoded.core_start[image.clip_core] + image.clip_index
    assert set(decoded.op[at].tolist()) == {Op.VRSU, Op.VRSL}
    assert (image.clip_value == program.clip_values[program.table.src2[clips]]).all()


def test_several_tensors_go_by_name_even_when_an_output_is_an_input(tmp_path: Path) -> None:
    a, b, c = (np.arange(n, dtype=np.int64) for n in (2, 3, 4))
    program = replace(random_program(2), inputs={"x/0": a, "y": b}, outputs={"x/0": c, "z": a})
    write_memory(program, tmp_path / "memory.npz")
    with np.load(tmp_path / "memory.npz") as archive:
        assert {"x/0_addresses", "y_addresses", "output_x/0_addresses", "z_addresses"} <= set(archive)
    image = read_memory(tmp_path / "memory.npz")
    assert {name: len(v) for name, v in image.inputs.items()} == {"x/0": 2, "y": 3}
    assert {name: len(v) for name, v in image.outputs.items()} == {"x/0": 4, "z": 2}


def test_the_keys_of_the_contract_suffice(tmp_path: Path) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {
        "global_addresses": np.zeros(0, np.int64),
        "global_values": np.zeros(0, np.float32),
        "input_addresses": np.arange(4, dtype=np.int64),
        "output_addresses": np.arange(2, dtype=np.int64),
        "core7_group0": np.ones((4, 2), np.float32),
    }
    write_npz(tmp_path / "memory.npz", arrays)
    image = read_memory(tmp_path / "memory.npz")
    assert (image.images_per_round, image.output_round_delay, len(image.clip_core)) == (1, 0, 0)
    assert list(image.matrices) == [(7, 0)]
    assert image.inputs[""].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", ["missing", "type", "torn", "absent"])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "memory.npz"
    write_memory(random_program(3), path)
    with np.load(path) as archive:
        arrays = dict(archive)
    if damage == "missing":
        del arrays["global_values"]
    elif damage == "type":
        arrays["global_values"] = arrays["global_values"].astype(np.float64)
    write_npz(path, arrays)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "absent":
        path.unlink()
    with pytest.raises(ModelError, match=r"memory\.npz"):
        read_memory(path)


def test_checkpoints_refer_to_the_emitted_lists(tmp_path: Path) -> None:
    program = random_program(4, rows=100, cores=4)
    after = np.array([3, 50, 99], np.int64)
    narrow = np.arange(3, dtype=np.int32)
    points = Checkpoints(
        after=after, node=narrow, image=narrow, row=narrow, col_start=narrow, col_stop=narrow + 2, address=after * 8
    )
    program = replace(program, checkpoints=points)
    write_checkpoints(program, np.array([3, 64, 10], np.int32), tmp_path / "checkpoints.npz")
    write_program(program, small_arch(4), tmp_path / "program.gz")
    read, decoded = read_checkpoints(tmp_path / "checkpoints.npz"), decode_program(tmp_path / "program.gz")
    assert read.index.tolist() == emitted_index(program)[after].tolist()
    at = decoded.core_start[read.core] + read.index
    assert (decoded.op[at] == program.table.op[after]).all()
    assert (read.instruction_node[at] == program.table.node[after]).all()
    assert read.channels.tolist() == [3, 64, 10]
    assert read.address.tolist() == (after * 8).tolist()
    assert read.node_names == ("input", "conv", "relu")
    assert len(read.instruction_node) == decoded.instructions
    assert (read.instruction_node[decoded.op == Op.SETBW] == -1).all()
    # An sldi belongs to the node of the instruction behind it.
    scalar = np.flatnonzero(decoded.op == Op.SLDI)
    assert (read.instruction_node[scalar] == read.instruction_node[scalar + 1]).all()
    with np.load(tmp_path / "checkpoints.npz") as archive:
        arrays = dict(archive)
    write_npz(tmp_path / "checkpoints.npz", arrays | {"node_names": arrays["node_names"][:1]})
    with pytest.raises(ModelError, match=r"checkpoints\.npz: node: expected nodes below 1, as node_names has, found 2"):
        read_checkpoints(tmp_path / "checkpoints.npz")


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_memory(random_program(5), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
