"""pimcomp/plan/precision.py, pimcomp/config/precision_file.py: bits of single layers, and what follows them."""

import json
from pathlib import Path

import numpy as np
import pytest

from pimcomp.compile import compile_network
from pimcomp.config import read_arch
from pimcomp.config.precision_file import read_precision
from pimcomp.emit.decode import decode_program
from pimcomp.emit.outputs import emit
from pimcomp.errors import ConfigError
from pimcomp.frontend import load_network
from pimcomp.isa.table import MATRIX, UNIT
from pimcomp.plan.precision import with_precision
from solvers import get_solver

GRAPH, ARCH = load_network("digits_lenet5").graph, read_arch("isaac")[0]
WIDE = "/c/c.0/Gemm"


def test_a_layer_of_half_the_bits_takes_half_the_crossbars_and_its_instructions_say_so(tmp_path: Path) -> None:
    """Of weights and crossbars; the chip's own bits where nothing is said."""
    half = ARCH.weight_bits // 2
    plain, narrow = (
        compile_network(with_precision(GRAPH, bits, ARCH), ARCH, get_solver("balance")) for bits in ({}, {WIDE: half})
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


def test_unknown_layers_and_more_bits_than_the_chips_are_refused() -> None:
    """With the name that may be meant."""
    with pytest.raises(ConfigError, match="did you mean"):
        with_precision(GRAPH, {WIDE[:-1]: 4}, ARCH)
    with pytest.raises(ConfigError, match=f"an integer from 2 to {ARCH.weight_bits}"):
        with_precision(GRAPH, {WIDE: ARCH.weight_bits + 1}, ARCH)


def test_a_precision_file_is_read_back_and_its_mistakes_are_named(tmp_path: Path) -> None:
    """Keys and ranges as in chip files."""
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps({WIDE: {"weight_bits": 4}}))
    assert read_precision(file) == {WIDE: 4}
    file.write_text(f"{WIDE}: {{weight_bit: 4}}")
    with pytest.raises(ConfigError, match=r"p\.yaml"):
        read_precision(file)


def test_columns_and_times_follow_the_bits_of_weights() -> None:
    """One by one and as arrays."""
    bits = np.array([0, ARCH.weight_bits, ARCH.cell_bits])
    assert ARCH.weight_cols_at(bits).tolist() == [ARCH.weight_cols, ARCH.weight_cols, ARCH.crossbar_cols]
    assert ARCH.mvm_ns(np.array([1, 1, 1]), bits).tolist() == [ARCH.mvm_ns(1, int(b)) for b in bits]
