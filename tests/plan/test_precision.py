"""pimcomp/plan/precision.py, pimcomp/config/precision_file.py: bits of single layers, and what follows them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.compile import compile_network
from pimcomp.config import read_arch
from pimcomp.config.precision_file import precision_to_yaml, read_precision
from pimcomp.emit.decode import decode_program
from pimcomp.emit.outputs import emit
from pimcomp.errors import ConfigError
from pimcomp.frontend import load_network
from pimcomp.ir.precision import Precision
from pimcomp.isa.listing import execute
from pimcomp.isa.table import MATRIX, UNIT, VECTOR
from pimcomp.plan.bounds import bounds
from pimcomp.plan.precision import ALL, with_precision
from pimcomp.proof.static import verify_program
from pimcomp.timeline.file_stream import stream_of_file
from pimcomp.timeline.work import stream_of, work_of
from solvers import get_solver

GRAPH, ARCH = load_network("digits_lenet5").graph, read_arch("isaac")[0]
WIDE = "/c/c.0/Gemm"


def test_a_layer_of_half_the_bits_takes_half_the_crossbars_and_its_instructions_say_so(tmp_path: Path) -> None:
    """Of weights and crossbars; the chip's own bits where nothing is said."""
    half = ARCH.weight_bits // 2
    plain, narrow = (
        compile_network(with_precision(GRAPH, bits, ARCH), ARCH, get_solver("balance"))
        for bits in ({}, {WIDE: Precision(half)})
    )
    own, was = (
        sum(m[0].crossbars for m in c.partition.options if c.graph.nodes[m[0].node].name == WIDE)
        for c in (narrow, plain)
    )
    assert own <= was / 2 + 1
    assert narrow.energy.mvm_pj < plain.energy.mvm_pj
    emit(narrow, tmp_path / "narrow")
    decoded = decode_program(tmp_path / "narrow" / "program.gz")
    assert set(decoded.mbiw[UNIT[decoded.op] == MATRIX].tolist()) == {half, ARCH.weight_bits}


def test_a_layer_that_reads_fewer_bits_takes_less_time_and_energy_and_setbw_says_so(tmp_path: Path) -> None:
    """What is emitted takes what the program takes; vector instructions always find the chip's widths."""
    narrow = with_precision(GRAPH, {WIDE: Precision(0, 10)}, ARCH)
    plain, found = (compile_network(graph, ARCH, get_solver("balance")) for graph in (GRAPH, narrow))
    verify_program(found.program, ARCH)
    share = found.energy.mvm_pj / plain.energy.mvm_pj
    assert 10 / 16 < share < 1
    emit(found, tmp_path / "narrow")
    decoded = decode_program(tmp_path / "narrow" / "program.gz")
    ran, stream = execute(decoded.listing), stream_of_file(decoded, ARCH)[0]
    unit, bits = UNIT[decoded.op[ran.entry]], ran.in_force(decoded.ibiw)
    assert set(bits[unit == VECTOR].tolist()) == {16}
    assert set(bits[unit == MATRIX].tolist()) == {10, 16}
    written, made = work_of(stream, ARCH), work_of(stream_of(found.program, ARCH), ARCH)
    for name in ("read", "leg", "write", "payload", "service"):
        assert np.array_equal(getattr(written, name), getattr(made, name))
    assert np.array_equal(stream.bubbles, stream_of(found.program, ARCH).bubbles)


def test_bounds_hold_for_layers_that_read_fewer_bits() -> None:
    """They fall with the time of an MVM, and no program is below them."""
    narrow = with_precision(GRAPH, {ALL: Precision(0, 9)}, ARCH)
    found = compile_network(narrow, ARCH, get_solver("stream"))
    wide, least = bounds(GRAPH, ARCH), bounds(narrow, ARCH)
    assert least.latency_ns < wide.latency_ns
    assert least.latency_ns <= found.bounds.latency_ns <= found.latency_ns < wide.latency_ns * 100


@pytest.mark.parametrize(
    ("chip", "bits", "message"),
    [
        ({}, 8, r"activation_bits: expected an integer from 9 to 16 \(isaac: activation_bits, in memory always 16\)"),
        ({"dac_bits": 2}, 11, "expected a multiple of 2 from 10 to 16"),
        ({"weight_bits": 8, "activation_bits": 8, "psum_bits": 8}, 9, "from 2 to 8"),
    ],
)
def test_inputs_keep_their_bytes_in_memory_and_are_read_in_whole_slices(
    chip: dict[str, int], bits: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        with_precision(GRAPH, {ALL: Precision(0, bits)}, replace(ARCH, **chip))  # type: ignore[arg-type]


def test_unknown_layers_and_more_bits_than_the_chips_are_refused() -> None:
    """With the name that may be meant."""
    with pytest.raises(ConfigError, match="did you mean"):
        with_precision(GRAPH, {WIDE[:-1]: Precision(4)}, ARCH)
    with pytest.raises(ConfigError, match=f"an integer from 2 to {ARCH.weight_bits}"):
        with_precision(GRAPH, {WIDE: Precision(ARCH.weight_bits + 1)}, ARCH)


def test_a_precision_file_is_read_back_and_its_mistakes_are_named(tmp_path: Path) -> None:
    """Keys and ranges as in chip files."""
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps({WIDE: {"weight_bits": 4}, ALL: {"activation_bits": 12}}))
    assert read_precision(file) == {WIDE: Precision(4), ALL: Precision(0, 12)}
    file.write_text(precision_to_yaml(read_precision(file)))
    assert read_precision(file) == {WIDE: Precision(4), ALL: Precision(0, 12)}
    file.write_text(f"{WIDE}: {{weight_bit: 4}}")
    with pytest.raises(ConfigError, match=r"p\.yaml"):
        read_precision(file)


def test_columns_and_times_follow_the_bits_of_weights() -> None:
    """One by one and as arrays."""
    bits = np.array([0, ARCH.weight_bits, ARCH.cell_bits])
    assert ARCH.weight_cols_at(bits).tolist() == [ARCH.weight_cols, ARCH.weight_cols, ARCH.crossbar_cols]
    assert ARCH.mvm_ns(np.array([1, 1, 1]), bits).tolist() == [ARCH.mvm_ns(1, int(b)) for b in bits]
    read = np.array([0, ARCH.activation_bits, 9])
    times = ARCH.mvm_ns(np.array([1, 1, 1]), bits, read).tolist()
    assert times == [ARCH.mvm_ns(1, int(b), int(r)) for b, r in zip(bits, read, strict=True)]
    assert times[0] == times[1]
