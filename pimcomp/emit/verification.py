"""verification.json: every instruction with its addresses and its graph node (PIMCOMP-NN's VerificationInfo).

{"nodes": [name, ...], "array_groups": {"core3": [{"node", "matrix", "rows", "cols", "crossbars"}, ...]},
 "core3": [{"index", "op", "dst", "src", ..., "node"}, ...]}; index: position in the core's emitted list; addresses in
bytes; src2 and size as in `ir.program.Table`; node: index into nodes or -1.
"""

from pathlib import Path

import orjson

from pimcomp.emit.row_text import record_text, row_chunks, row_numbers, used_by_core
from pimcomp.ir.program import Program


def write_verification(program: Program, path: Path) -> None:
    """Writes verification.json, the records straight from the table's columns."""
    numbers, text = row_numbers(program), record_text(program.node_names)
    with path.open("wb") as file:
        file.write(b'{"schema":"pimdse.verification.json/1",\n"nodes":' + orjson.dumps(program.node_names))
        file.write(b',\n"array_groups":' + orjson.dumps(array_groups(program)))
        for core in used_by_core(program).tolist():
            rows = range(int(program.core_start[core]), int(program.core_start[core + 1]))
            file.write(f',\n"core{core}":['.encode())
            for position, chunk in enumerate(row_chunks(program, numbers, text, rows)):
                file.write(chunk if position else chunk[1:])  # no comma before the first record
            file.write(b"]")
        file.write(b"}\n")


def array_groups(program: Program) -> dict[str, list[dict[str, int]]]:
    """Per core with array groups, in order: graph node, matrix and its shape, crossbars."""
    columns = zip(
        program.group_node.tolist(), program.group_matrix.tolist(), program.group_crossbars.tolist(), strict=True
    )
    groups = [
        {"node": node, "matrix": matrix, "rows": program.matrices[matrix].shape[0],
         "cols": program.matrices[matrix].shape[1], "crossbars": crossbars}
        for node, matrix, crossbars in columns
    ]  # fmt: skip
    start = program.group_start.tolist()
    return {f"core{c}": groups[start[c] : start[c + 1]] for c in range(program.cores) if start[c] < start[c + 1]}
