"""A compiled program seen by the timeline is the file that the simulator reads.

Covers: hazards.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from pimcomp.emit.pimsim import write_program
from pimcomp.timeline.hazards import ranges_of
from pimcomp.timeline.work import stream_of
from tests.emit.programs import random_program, small_arch
from tests.timeline.micro import stream_of_json

COLUMNS = ("core_start", "op", "group", "crossbars", "size", "peer", "bubbles", "tail_bubbles")


@pytest.mark.parametrize("seed", range(4))
def test_stream_of_a_program_equals_stream_of_its_file(seed: int, tmp_path: Path) -> None:
    program, arch = random_program(seed), small_arch()
    write_program(program, arch, tmp_path / "program.gz")
    entries = json.loads(gzip.decompress((tmp_path / "program.gz").read_bytes()))
    ours, file = stream_of(program, arch), stream_of_json(entries, arch.cores)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(file, name), err_msg=name)
    for bits in ("input_bits", "output_bits"):
        assert set(getattr(file.widths, bits)) == set(getattr(ours.widths, bits))
    np.testing.assert_array_equal(ranges_of(ours, arch), ranges_of(file, arch))
