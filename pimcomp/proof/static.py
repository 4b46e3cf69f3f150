"""Every static invariant of a Plan and of a Program, executable, and independent of the passes that made them."""

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.ir.program import Op, Program, Registers, Table
from pimcomp.isa.listing import execute, listing_of
from pimcomp.isa.operands import Extents, extents, mvm_input_bits
from pimcomp.isa.registers import operand_values
from pimcomp.isa.table import (
    BOUND,
    BYTES,
    COMPUTES,
    DST,
    GLOBAL_SLOT,
    IMMEDIATE,
    IN_REGISTERS,
    IN_TABLE,
    MATRIX,
    RECV,
    REGISTERS,
    SEND,
    SRC,
    SRC2,
    STRIDE,
    UNIT,
)
from pimcomp.proof.flow import FLOW_MESSAGES, check_flow

BoolArray = npt.NDArray[np.bool_]


def verify_plan(problem: MappingProblem, plan: Plan) -> None:
    """Every layer has one of its options, 1 to `firings` replicas, every array group a core, and no core is overfull.

    Raises InvariantError naming the layer or core.
    """
    layers = problem.layers
    for what, given in (("option", plan.option), ("replication", plan.replication), ("core_of", plan.core_of)):
        if len(given) != len(layers):
            raise InvariantError(f"plan.{what}: expected {len(layers)} entries, one per layer, found {len(given)}")
    load = np.zeros(problem.cores, np.int64)
    for layer, choice, replicas, cores in zip(layers, plan.option, plan.replication, plan.core_of, strict=True):
        if not 0 <= choice < len(layer.options):
            raise InvariantError(f"layer {layer.name}: option {choice}: expected 0 to {len(layer.options) - 1}")
        option = layer.options[choice]
        if not 1 <= replicas <= option.firings:
            raise InvariantError(
                f"layer {layer.name}: {replicas} replicas: expected 1 to {option.firings}, its firings"
            )
        shape = (replicas, len(option.ag_crossbars))
        if cores.shape != shape:
            raise InvariantError(f"layer {layer.name}: core_of has shape {cores.shape}: expected {shape}")
        if ((cores < 0) | (cores >= problem.cores)).any():
            raise InvariantError(f"layer {layer.name}: an array group is on a core outside 0 to {problem.cores - 1}")
        np.add.at(load, cores, np.broadcast_to(option.ag_crossbars, shape))
    if (load > problem.crossbars_per_core).any():
        core = int(load.argmax())
        raise InvariantError(f"core {core}: {problem.crossbars_per_core} crossbars, the plan puts {load[core]} there")


def verify_program(program: Program, arch: Arch) -> None:
    """Everything that can be told about a program without executing it in numbers.

    Tables are well formed; array groups fit their cores; operands are aligned, in local memory, below the stated
    peak; the two ends of every transfer are neighbours in one global order that every core follows (no deadlock)
    and agree in bytes; registers hold what the table says; nothing is read before it was written; data crosses global
    memory between cores only along a chain of transfers, over two consecutive rounds; every output is stored.

    Raises InvariantError naming core, row, instruction and node.
    """
    _well_formed(program, arch)
    _groups(program, arch)
    found = extents(program)
    _operands(program, arch, found)
    _transfers(program)
    _registers(program)
    code, row, detail = check_flow(program, found)
    if code:
        raise _broken(program, row, FLOW_MESSAGES[code].format(detail=detail))


def _broken(program: Program, row: int, what: str) -> InvariantError:
    core = int(np.searchsorted(program.core_start, row, side="right")) - 1
    op, node = int(program.table.op[row]), int(program.table.node[row])
    name = Op(op).name.lower() if op in set(map(int, Op)) else f"opcode {op}"
    where = program.node_names[node] if 0 <= node < len(program.node_names) else "none"
    return InvariantError(f"core {core}, row {row}, {name} (node {where}): {what}")


def _require(program: Program, holds: BoolArray, what: str, values: npt.NDArray[np.integer] | None = None) -> None:
    """Raise for the first row where `holds` is false; {value} in `what` is that row's entry of `values`."""
    if not holds.all():
        row = int(np.argmin(holds))
        raise _broken(program, row, what if values is None else what.format(value=int(values[row])))


def _well_formed(program: Program, arch: Arch) -> None:
    """Columns of equal length, cores and element width of the chip, known opcodes, sane sizes."""
    table, rows, start = program.table, program.instructions, program.core_start
    for record in (table, program.registers):
        names = Table.__slots__ if record is table else Registers.__slots__
        for name in names:
            if getattr(record, name).shape != (rows,):
                raise InvariantError(f"column {name}: expected {rows} entries, found {getattr(record, name).shape}")
    if program.cores > arch.total_cores or len(start) != program.cores + 1:
        raise InvariantError(f"{program.cores} cores, core_start {len(start)}: the chip has {arch.total_cores} cores")
    if start[0] != 0 or start[-1] != rows or (np.diff(start) < 0).any():
        raise InvariantError("core_start does not divide the table into one range per core")
    if program.element_bytes != arch.element_bytes:
        raise InvariantError(f"elements of {program.element_bytes} bytes: the chip has {arch.element_bytes}")
    _require(program, IN_TABLE[table.op], "opcode {value} must not be in a table", table.op)
    size_ok = np.where(UNIT[table.op] == MATRIX, table.size == 0, table.size >= 1)
    _require(program, size_ok, "size {value}", table.size)
    whole = COMPUTES[table.op] | (table.size % program.element_bytes == 0)
    _require(program, whole, "{value} bytes are not whole elements", table.size)
    follows = np.diff(table.order, prepend=-1) > 0
    follows[start[:-1][np.diff(start) > 0]] = True
    _require(program, follows, "the core's rows do not follow the global order")
    if not np.diff(np.sort(table.order)).all():
        raise InvariantError("two rows have the same place in the global order")


def _groups(program: Program, arch: Arch) -> None:
    """Array groups: crossbars within each core's, matrices within their crossbars, mvmuls only of groups that exist."""
    start, crossbars, table = program.group_start, program.group_crossbars, program.table
    if len(start) != program.cores + 1 or start[-1] != len(crossbars) or (np.diff(start) < 0).any():
        raise InvariantError("group_start does not divide the array groups into one range per core")
    total = np.concatenate([[0], np.cumsum(crossbars)])[start]
    overfull = np.flatnonzero(np.diff(total) > arch.crossbars_per_core)
    if len(overfull):
        core = int(overfull[0])
        raise InvariantError(
            f"core {core}: its array groups take {np.diff(total)[core]} crossbars of {arch.crossbars_per_core}"
        )
    bits = program.group_weight_bits
    for own, most, what in (
        (bits, arch.weight_bits, "weights"),
        (program.group_activation_bits, arch.activation_bits, "activations"),
    ):
        if len(own) != len(crossbars) or ((own < 0) | (own > most)).any():
            raise InvariantError(f"expected from 0 to {most} bits of {what} for every array group")
    shapes = np.array([matrix.shape for matrix in program.matrices], np.int64).reshape(-1, 2)
    if len(crossbars) and not ((program.group_matrix >= 0) & (program.group_matrix < len(shapes))).all():
        raise InvariantError("an array group has no matrix")
    rows, cols = shapes[program.group_matrix].T if len(crossbars) else (crossbars, crossbars)
    wrong = (rows < 1) | (rows > arch.crossbar_rows) | (cols < 1) | (cols > crossbars * arch.weight_cols_at(bits))
    if wrong.any():
        g = int(np.argmax(wrong))
        raise InvariantError(
            f"array group {g}: a matrix of {rows[g]} x {cols[g]} does not fit {crossbars[g]} crossbars"
        )
    core_of_row = np.repeat(np.arange(program.cores), np.diff(program.core_start))
    exists = (UNIT[table.op] != MATRIX) | ((table.group >= 0) & (table.group < np.diff(start)[core_of_row]))
    _require(program, exists, "array group {value} does not exist on this core", table.group)


def _operands(program: Program, arch: Arch, found: Extents) -> None:
    """Local operands are aligned elements inside local memory and below the core's stated peak."""
    width, limit = program.element_bytes, arch.local_memory_bytes
    peak = np.repeat(program.local_peak_bytes, np.diff(program.core_start))
    if (program.local_peak_bytes > limit).any():
        core = int(program.local_peak_bytes.argmax())
        raise InvariantError(f"core {core}: local peak {program.local_peak_bytes[core]} of {limit} bytes")
    for address, extent in found.local():
        used = extent > 0
        _require(program, ~used | ((address >= 0) & (address % width == 0)), "misaligned address {value}", address)
        _require(program, ~used | (address + extent <= peak), "address {value} reaches beyond the core's peak", address)
    table = program.table
    for slot, address in enumerate((table.dst, table.src)):
        _require(program, (GLOBAL_SLOT[table.op] != slot) | (address >= 0), "global address {value}", address)
    for what, low, stop, message in (
        (STRIDE, 0, 2**63 - 1, "stride {value}"),
        (BOUND, 0, len(program.clip_values), "no bound number {value}"),
        (IMMEDIATE, 0, 256, "fill byte {value}"),
    ):
        holds = (SRC2[table.op] != what) | ((table.src2 >= low) & (table.src2 < stop))
        _require(program, holds, message, table.src2)
    apart = (table.src + table.size <= table.dst) | (table.dst + table.size <= table.src)
    copies = (DST[table.op] == BYTES) & (SRC[table.op] == BYTES)
    _require(program, ~copies | apart, "source and destination of a copy overlap")


def _registers(program: Program) -> None:
    """Every operand finds its value in its register: after the loads in front of its instruction are all done."""
    table, own = program.table, program.registers
    has = (IN_REGISTERS[table.op] >> np.arange(3)[:, None] & 1).astype(bool)
    far = GLOBAL_SLOT[table.op] == np.arange(3)[:, None]
    number = np.stack([own.rd, own.rs1, own.rs2])
    wrong = has & ((number >= REGISTERS) | (far & (number % 2 != 0)))
    listing = listing_of(program)
    ran = execute(listing)
    bits = mvm_input_bits(table, program.core_start, program.group_start, program.group_activation_bits)
    unfit = COMPUTES[table.op] & ((ran.setting < 0) | (ran.in_force(listing.imm) != bits))
    expected = operand_values(table).T
    stated = has & ~((SRC2[table.op] == BOUND) & (np.arange(3)[:, None] == 2))  # a bound's integer is not in the table
    other = stated & (ran.addresses(table.op) != expected)
    for slot in range(3):
        what = "register {value} is out of range, or odd for a global address"
        _require(program, ~wrong[slot], what, number[slot])
    _require(program, ran.unset < 0, "register {value} was never loaded", ran.unset)
    _require(program, ~unfit, "the setbw in front is for other bits than {value} (0: the chip's)", bits)
    for slot in range(3):
        _require(program, ~other[slot], "register {value} does not hold the operand", number[slot])


def _transfers(program: Program) -> None:
    """Each send is directly followed, in the global order, by the receive that takes it on the core it names."""
    table = program.table
    core = np.repeat(np.arange(program.cores), np.diff(program.core_start))
    unit = UNIT[table.op]
    moves = (unit == SEND) | (unit == RECV)
    _require(program, ~moves | ((table.peer >= 0) & (table.peer < program.cores)), "no core {value}", table.peer)
    rows = np.flatnonzero(moves)
    rows = rows[np.argsort(table.order[rows], kind="stable")]
    if len(rows) % 2:
        raise _broken(program, int(rows[-1]), "a transfer has only one end")
    first, second = rows[::2], rows[1::2]
    send = np.where(unit[first] == SEND, first, second)
    receive = first + second - send
    paired = (
        (unit[first] != unit[second])
        & (table.order[second] == table.order[first] + 1)
        & (table.peer[send] == core[receive])
        & (table.peer[receive] == core[send])
    )
    if not paired.all():
        raise _broken(program, int(first[np.argmin(paired)]), "the other end of the transfer is not next in the order")
    equal = table.size[send] == table.size[receive]
    if not equal.all():
        k = int(np.argmin(equal))
        what = f"sends {table.size[send[k]]} bytes, row {receive[k]} receives {table.size[receive[k]]}"
        raise _broken(program, int(send[k]), what)
