"""An instruction is a number and a row of the table: files, registers, checks, timing and energy follow from them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pimcomp.ir.program import Op
from pimcomp.isa.table import ISA

ROOT = Path(__file__).parents[2]
MOST_FILES = 5  # of the compiler, for one instruction

# vvmin, in a process of its own, whose kernels are plain Python: nothing has to be compiled.
TOY = '''
import importlib, sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path

kernels = importlib.import_module("pimcomp.foundation.kernels")
kernels.kernel = lambda function: function


def changed(name: str, old: str, new: str) -> None:
    """Import a module whose source has one more line."""
    spec = find_spec(name)
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert source.count(old) == 1
    sys.modules[name] = module_from_spec(spec)
    exec(compile(source.replace(old, old + new), spec.origin, "exec"), sys.modules[name].__dict__)


changed("pimcomp.ir.program", "    SYNC = 32\\n", "    VVMIN = 33\\n")
changed("pimcomp.isa.table", "    Op.VVMAX: _vector(INPUT, INPUT),\\n", "    Op.VVMIN: _vector(INPUT, INPUT),\\n")
import pimcomp.timeline
for module in [module for name, module in sys.modules.items() if name.startswith("pimcomp.timeline.")]:
    for name, call in (("borrow", lambda array: array), ("prefetch", lambda array, row: None)):
        if hasattr(module, name):
            setattr(module, name, call)

from dataclasses import replace
import numpy as np
import pytest
from pimcomp.emit.decode import decode_program
from pimcomp.emit.directory import write_directory
from pimcomp.emit.pimsim import write_program
from pimcomp.emit.row_text import listing_text, row_chunks, row_numbers
from pimcomp.errors import InvariantError
from pimcomp.ir.program import Op
from pimcomp.proof.static import verify_program
from pimcomp.timeline.energy import energy_of_stream
from pimcomp.timeline.file_stream import stream_of_file
from pimcomp.timeline.timing import time_program, time_stream
from tests.proof.tiny import tiny_arch, tiny_program, with_table

folder, arch, program = Path(sys.argv[1]), tiny_arch(), tiny_program()
adds = program.table.op == Op.VVADD
toy = with_table(program, replace(program.table, op=np.where(adds, Op.VVMIN, program.table.op).astype(np.uint8)))

verify_program(toy, arch)
nowhere = replace(toy.table, src2=np.where(adds, 99, toy.table.src2))
with pytest.raises(InvariantError, match="vvmin .*beyond the core's peak"):
    verify_program(with_table(toy, nowhere), arch)

write_program(toy, arch, folder / "program.gz")
write_directory(toy, arch, folder / "json", binary=False)
write_directory(toy, arch, folder / "pim", binary=True)
forms = [decode_program(folder / name) for name in ("program.gz", "json", "pim")]
for form in forms:
    assert (form.op == Op.VVMIN).sum() == adds.sum() == 2
    for name in ("op", "rd", "rs1", "rs2", "length", "core_start"):
        assert (getattr(form, name) == getattr(forms[0], name)).all(), name
text = b"".join(map(bytes, row_chunks(toy, row_numbers(toy), listing_text(toy.node_names), range(toy.instructions))))
assert b"vvmin  dst=22" in text

for rob_size in (1, 4):
    chip = replace(arch, rob_size=rob_size, vector_alu_pj=1.0, local_read_pj=1.0)
    stream, _ = stream_of_file(forms[0], chip)
    timing, expected = time_stream(stream, chip), time_program(program, chip)
    assert timing.latency_ns == expected.latency_ns > 0
    energy = energy_of_stream(stream, chip, timing.latency_ns)
    other = stream._replace(op=np.where(stream.op == Op.VVMIN, Op.VVMAX, stream.op))
    assert energy == energy_of_stream(other, chip, timing.latency_ns)
    assert energy.vector_pj > 0
print("passed")
'''


def recipe() -> set[str]:
    """The files that CONTRIBUTING.md names for a new instruction."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("**An instruction.**")[2].partition("\n**")[0]
    assert section
    return set(re.findall(r"`(pimcomp/[\w/]+\.py)`", section))


def test_the_recipe_for_an_instruction_is_short() -> None:
    files = recipe()
    assert all((ROOT / file).is_file() for file in files)
    assert len(files) <= MOST_FILES


def test_a_vector_instruction_is_named_where_the_recipe_says() -> None:
    beyond = "pimcomp/schedule/"  # which uses it
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in (ROOT / "pimcomp").rglob("*.py")}
    named = {name for name, text in texts.items() if re.search(r"\bOp\.(VVMAX|VAVG|VRSL)\b", text)}
    assert {name for name in named if not name.startswith(beyond)} <= recipe()


def test_every_opcode_has_a_row() -> None:
    assert set(ISA) == set(Op)


@pytest.mark.slow
def test_a_toy_passes_through_files_checks_timing_and_energy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TOY, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["passed"], done.stderr
