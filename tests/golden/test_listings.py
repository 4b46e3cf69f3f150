"""A listing per family of templates is what it was, and its program computes what the network means."""

from pathlib import Path

import pytest

from pimcomp.emit.listing import write_listing
from pimcomp.emit.memory_npz import write_memory
from pimcomp.emit.pimsim import write_program
from tests.golden.listings import EXAMPLES, listing_file
from tests.schedule.execute import largest_error

LONGEST = 80  # lines that a person reads


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_listing_is_what_it_was(name: str, tmp_path: Path) -> None:
    """If it is meant to be another: `make golden`, and read the difference."""
    compiled = EXAMPLES[name]().compiled()
    write_listing(compiled.program, tmp_path / "listing.txt")
    listing = (tmp_path / "listing.txt").read_text("utf-8")
    assert listing.splitlines() == listing_file(name).read_text("utf-8").splitlines()
    assert listing.count("\n") <= LONGEST
    write_program(compiled.program, compiled.arch, tmp_path / "program.gz")
    write_memory(compiled.program, tmp_path / "memory.npz")
    assert largest_error(compiled.graph, tmp_path, images=1) < 1e-5
