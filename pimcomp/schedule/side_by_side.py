"""Programs of several networks as one: each on cores and in a part of global memory of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import accumulate

import numpy as np

from pimcomp.ir.program import Checkpoints, LongArray, Program, Table
from pimcomp.isa.registers import assign_registers
from pimcomp.isa.table import BOUND, DST, GLOBAL, SRC, SRC2
from pimcomp.schedule.work import ALIGNMENT_BYTES


def side_by_side(prefixes: Sequence[str], programs: Sequence[Program], cores: int) -> Program:
    """One program of a chip with so many cores: those of the first program's come first, and so on.

    prefixes: what the names of each program's nodes, inputs and outputs begin with from now on. Nothing is exchanged
    between the programs, so that none waits for another but at the memory. They take as many images per round.
    """
    moved = [_moved(*args) for args in zip(programs, *_begins(programs), strict=True)]
    spare = np.zeros(cores - sum(program.cores for program in programs), np.int64)
    table = Table(**{f.name: np.concatenate([getattr(p.table, f.name) for p in moved]) for f in fields(Table)})
    core_start = _starts([*(np.diff(program.core_start) for program in programs), spare])
    delay = max(program.output_round_delay for program in programs)
    of_output = {
        prefix + name: p.output_round_delay for prefix, p in zip(prefixes, moved, strict=True) for name in p.outputs
    }
    points = [program.checkpoints for program in moved]
    return Program(
        cores=cores,
        element_bytes=programs[0].element_bytes,
        table=table,
        core_start=core_start,
        registers=assign_registers(table, core_start),
        group_start=_starts([*(np.diff(program.group_start) for program in programs), spare]),
        **{name: np.concatenate([getattr(p, name) for p in moved]) for name in _JOINED},
        matrices=tuple(matrix for program in moved for matrix in program.matrices),
        inputs=_named(prefixes, [program.inputs for program in moved]),
        outputs=_named(prefixes, [program.outputs for program in moved]),
        local_peak_bytes=np.concatenate([*(program.local_peak_bytes for program in moved), spare]),
        checkpoints=Checkpoints(
            **{f.name: np.concatenate([getattr(p, f.name) for p in points]) for f in fields(Checkpoints)}
        ),
        node_names=tuple(prefix + name for prefix, p in zip(prefixes, moved, strict=True) for name in p.node_names),
        images_per_round=programs[0].images_per_round,
        output_round_delay=delay,
        spilled_bytes=sum(program.spilled_bytes for program in programs),
        output_delays={} if set(of_output.values()) == {delay} else of_output,
    )


_JOINED = (
    *("group_crossbars", "group_weight_bits", "group_activation_bits", "group_matrix", "group_node"),
    *("constant_addresses", "constant_values", "clip_values"),
)


def global_bytes(program: Program) -> int:
    """Bytes of global memory from address 0 that a program and its host touch."""
    table, eb = program.table, program.element_bytes
    tensors = [program.constant_addresses, *program.inputs.values(), *program.outputs.values()]
    loads, stores = SRC[table.op] == GLOBAL, DST[table.op] == GLOBAL
    ends = [int(addresses.max(initial=-eb)) + eb for addresses in tensors]
    ends += [int((at + table.size)[rows].max(initial=0)) for rows, at in ((loads, table.src), (stores, table.dst))]
    return max(ends)


def _begins(programs: Sequence[Program]) -> tuple[list[int], ...]:
    """Where each program's part begins: cores, bytes of global memory, rows, places in the global order, graph nodes,
    matrices and bounds."""
    sizes = (
        (
            program.cores,
            -(-global_bytes(program) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES,
            program.instructions,
            int(program.table.order.max(initial=-1)) + 1,
            len(program.node_names),
            len(program.matrices),
            len(program.clip_values),
        )
        for program in programs
    )
    return tuple([0, *accumulate(column)][:-1] for column in zip(*sizes, strict=True))


def _moved(
    program: Program, core: int, address: int, row: int, order: int, node: int, matrix: int, bound: int
) -> Program:
    """The program where its cores, its global memory and everything it counts begin with these numbers."""
    t, points = program.table, program.checkpoints
    table = replace(
        t,
        dst=t.dst + np.where(DST[t.op] == GLOBAL, address, 0),
        src=t.src + np.where(SRC[t.op] == GLOBAL, address, 0),
        src2=t.src2 + np.where(SRC2[t.op] == BOUND, bound, 0),
        peer=np.where(t.peer < 0, t.peer, t.peer + np.int32(core)),
        node=np.where(t.node < 0, t.node, t.node + np.int32(node)),
        order=t.order + order,
    )
    return replace(
        program,
        table=table,
        group_matrix=program.group_matrix + np.int32(matrix),
        group_node=program.group_node + np.int32(node),
        constant_addresses=program.constant_addresses + address,
        inputs={name: addresses + address for name, addresses in program.inputs.items()},
        outputs={name: addresses + address for name, addresses in program.outputs.items()},
        checkpoints=replace(points, after=points.after + row, node=points.node + np.int32(node)),
    )


def _starts(counts: Sequence[LongArray]) -> LongArray:
    return np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)


def _named(prefixes: Sequence[str], tensors: Sequence[Mapping[str, LongArray]]) -> dict[str, LongArray]:
    """All in one, under their longer names."""
    return {prefix + name: array for prefix, own in zip(prefixes, tensors, strict=True) for name, array in own.items()}
