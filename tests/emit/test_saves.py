"""The files on request: listing, evaluation, verification, intermediate, mapping and weights.

Covers: evaluation, intermediate, listing, mapping_text, row_text, verification, weights_npz.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from pimcomp.emit import row_text
from pimcomp.emit.decode import decode_program
from pimcomp.emit.evaluation import evaluation_json
from pimcomp.emit.intermediate import intermediate_json
from pimcomp.emit.listing import write_listing
from pimcomp.emit.mapping_text import mapping_text
from pimcomp.emit.pimsim import write_program
from pimcomp.emit.verification import write_verification
from pimcomp.emit.weights_npz import crossbar_cells, weight_exponents, write_weights
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op
from pimcomp.isa.listing import emitted_index
from tests.emit.compiled import small_compiled
from tests.emit.programs import make_table, program_of, random_program, small_arch


def test_the_listing_of_a_small_program(tmp_path: Path) -> None:
    core_start = np.array([0, 3, 3, 4], np.int64)
    rows = [
        {"op": Op.LD, "dst": 16, "src": 2**40, "size": 64, "node": 0},
        {"op": Op.MVMUL, "dst": 128, "src": 16, "group": 2, "relu": 1, "node": 1},
        {"op": Op.SEND, "src": 128, "peer": 2, "size": 12, "node": 1},
        {"op": Op.RECV, "dst": 0, "peer": 0, "size": 12},
    ]
    write_listing(program_of(make_table(core_start, rows), core_start), tmp_path / "listing.txt")
    assert (tmp_path / "listing.txt").read_text() == (
        "core 0: 3 instructions, 8 emitted, 3 array groups of 6 crossbars, 262144 bytes of local memory\n"
        "4       ld     dst=16       src=1099511627776 len=64       input\n"
        "6       mvmul  dst=128      src=16       ag=2        relu=1        conv\n"
        "7       send   src=128      len=12       peer=2        conv\n"
        "\n"
        "core 2: 1 instructions, 3 emitted, 3 array groups of 6 crossbars, 262144 bytes of local memory\n"
        "2       recv   dst=0        len=12       peer=0        -\n"
        "\n"
    )


@pytest.mark.parametrize("buffer_bytes", [1, 1000, 1 << 20])
def test_verification_records_are_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int) -> None:
    monkeypatch.setattr(row_text, "BUFFER_BYTES", buffer_bytes)
    program = random_program(31, rows=150, cores=3)
    write_verification(program, tmp_path / "verification.json")
    found = json.loads((tmp_path / "verification.json").read_text())
    assert found["nodes"] == list(program.node_names)
    assert found["array_groups"]["core1"][2] == {"node": 1, "matrix": 0, "rows": 4, "cols": 2, "crossbars": 3}
    index = emitted_index(program)
    for core in range(3):
        rows = range(program.core_start[core], program.core_start[core + 1])
        records = found.get(f"core{core}", [])
        assert [record["index"] for record in records] == index[rows.start : rows.stop].tolist()
        for row, record in zip(rows, records, strict=True):
            table = program.table
            assert record["op"] == Op(table.op[row]).name.lower()
            assert record["node"] == table.node[row]
            for name in record.keys() - {"index", "op", "node"}:
                assert record[name] == getattr(table, name)[row]
    sends = [record for core in range(3) for record in found.get(f"core{core}", []) if record["op"] == "send"]
    assert sends
    assert all(set(record) == {"index", "op", "src", "size", "peer", "node"} for record in sends)


def test_evaluation_adds_up(tmp_path: Path) -> None:
    compiled = small_compiled()
    evaluation = json.loads(evaluation_json(compiled))
    program = compiled.program
    write_program(program, compiled.arch, tmp_path / "program.gz")
    decoded = decode_program(tmp_path / "program.gz")
    assert sum(core["instructions_per_round"] for core in evaluation["cores"]) == decoded.instructions
    assert sum(evaluation["instructions_by_operation_per_round"].values()) == program.instructions
    for core in evaluation["cores"]:
        units = ("mvmul", "vector", "local_moves", "global_memory", "messages")
        assert core["instructions_per_round"] == core["scalar"] + sum(core[unit] for unit in units)
        assert core["crossbars"] == 6
    sends = program.table.op == Op.SEND
    assert sum(core["sent_bytes_per_round"] for core in evaluation["cores"]) == program.table.size[sends].sum()
    assert evaluation["cores"][-1]["finish_ns"] == 4000
    assert evaluation["cores"][-1]["utilisation"] == 0.5


def test_intermediate_describes_network_and_plan() -> None:
    found = json.loads(intermediate_json(small_compiled()))
    assert [node["op"] for node in found["nodes"]] == ["input", "conv", "conv"]
    conv = found["nodes"][1]
    assert conv["shape"] == [2, 2, 2]
    assert (conv["kernel"], conv["groups"], conv["vector"]) == ([1, 1], 1, False)
    assert conv["weights"] == [2, 3, 1, 1]
    assert conv["activation"] == {"kind": "clip", "high": 6.0}
    assert conv["inputs"] == [[{"source": 0, "channel": c, "count": 1} for c in (0, 2, 1)]]
    assert found["nodes"][2]["inputs"] == [[{"source": 1, "channel": 0, "count": 2}]]
    assert found["outputs"][0]["name"] == "scores"
    [layer] = found["layers"]
    assert layer["groups"] == [{"rows": [0, 3], "columns": [[0, 2]], "crossbars": 1}]
    assert layer["cores"] == [[0], [2]]


def test_mapping_numbers_replicas_and_array_groups() -> None:
    lines = mapping_text(random_program(1, cores=2)).splitlines()
    assert lines[0] == "2 of 2 cores used, 12 crossbars"
    assert lines[1] == "core 0: 3 array groups, 6 crossbars"
    assert [line.split("  ")[-4:-2] for line in lines[2:5]] == [
        ["replica 0", "array group 0"],
        ["replica 0", "array group 1"],
        ["replica 1", "array group 0"],
    ]
    assert lines[-1].strip() == "2  conv  replica 3  array group 0  crossbars 3  4 x 2"


@pytest.mark.parametrize(("weight_bits", "cell_bits"), [(8, 2), (8, 3), (4, 4), (16, 12)])
def test_cells_put_together_are_the_rounded_weights(weight_bits: int, cell_bits: int) -> None:
    arch = Arch(
        name="cells", cores=1, crossbars_per_core=4, crossbar_cols=16, weight_bits=weight_bits, cell_bits=cell_bits
    )
    weights = np.random.default_rng(0).uniform(-3, 3, (5, 9)).astype(np.float32)
    exponent = int(np.ceil(np.log2(np.abs(weights).max() / (2 ** (weight_bits - 1) - 1))))
    crossbars = crossbar_cells(weights, exponent, arch)
    assert len(crossbars) == -(-9 // arch.weight_cols)
    assert all(part.shape[1] <= arch.crossbar_cols and part.max() < 2**cell_bits for part in crossbars)
    digits = np.concatenate(crossbars, axis=1).astype(np.int64).reshape(5, 9, arch.cells_per_weight)
    stored = digits @ (1 << cell_bits * np.arange(arch.cells_per_weight)[::-1])
    restored = (stored - 2 ** (weight_bits - 1)) * 2.0**exponent
    assert np.abs(restored - weights).max() <= 2.0**exponent / 2


@pytest.mark.parametrize("shared_above_bytes", [0, 1 << 20])
def test_weights_per_crossbar_in_both_forms(tmp_path: Path, shared_above_bytes: int) -> None:
    program, arch = random_program(2, cores=2), small_arch(2)
    write_weights(program, arch, tmp_path / "weights.npz", shared_above_bytes=shared_above_bytes)
    exponents = weight_exponents(program, arch)
    largest = max(float(np.abs(matrix).max()) for matrix in program.matrices)
    assert 63 < largest / 2.0 ** exponents[1] <= 127
    with np.load(tmp_path / "weights.npz") as archive:
        assert (archive["exponents"] == exponents).all()
        key = "core1_group1_crossbar0"
        if shared_above_bytes == 0:
            assert archive["core1_groups"].tolist() == [0, 1, 0]
            key = "matrix_1_crossbar0"
        assert (archive[key] == crossbar_cells(program.matrices[1], int(exponents[1]), arch)[0]).all()
