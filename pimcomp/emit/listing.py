"""listing.txt: every core's instructions with addresses, for people."""

from pathlib import Path

from pimcomp.emit.row_text import listing_text, row_chunks, row_numbers, used_by_core
from pimcomp.ir.program import Program
from pimcomp.isa.listing import emitted_start


def write_listing(program: Program, path: Path) -> None:
    """Writes a block per core that has instructions: position in the emitted list, operands, graph node.

    The sldi's in front of an instruction are not shown; they are the gaps between the positions.
    """
    numbers, text, emitted = row_numbers(program), listing_text(program.node_names), emitted_start(program)
    with path.open("wb") as file:
        for core in used_by_core(program).tolist():
            rows = range(int(program.core_start[core]), int(program.core_start[core + 1]))
            groups = program.group_crossbars[program.group_start[core] : program.group_start[core + 1]]
            head = (
                f"core {core}: {len(rows)} instructions, {emitted[core + 1] - emitted[core]} emitted, "
                f"{len(groups)} array groups of {groups.sum()} crossbars, "
                f"{program.local_peak_bytes[core]} bytes of local memory\n"
            )
            file.write(head.encode())
            for chunk in row_chunks(program, numbers, text, rows):
                file.write(chunk)
            file.write(b"\n")
