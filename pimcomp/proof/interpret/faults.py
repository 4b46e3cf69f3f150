"""What can go wrong while a program runs: codes of the kernels, and the error a user sees.

Kernels return (code, row, detail) with code `OK` or the first fault; row indexes the arrays the kernel was given.
"""

from enum import IntEnum

from pimcomp.errors import InvariantError
from pimcomp.ir.program import Op


class Fault(IntEnum):
    """One reason per value; `detail` is explained in `MESSAGES`."""

    OK = 0
    UNKNOWN_OP = 1
    UNSET_REGISTER = 2
    BAD_REGISTER = 3
    UNSET_WIDTH = 4
    BAD_LENGTH = 5
    LENGTH_MISMATCH = 6
    OFFSET = 7
    BAD_GROUP = 8
    BAD_PEER = 9
    OUT_OF_RANGE = 10
    UNREADABLE = 11
    OVERLAP = 12
    DEADLOCK = 13
    SIZE_MISMATCH = 14
    WRITES_INPUT = 15
    BAD_STRIDE = 16
    NO_BOUND = 17
    BAD_SHIFT = 18
    SLD = 19
    BAD_MBIW = 20
    BAD_EVENT = 21


MESSAGES = {
    Fault.UNKNOWN_OP: "opcode {detail} is not in the instruction set",
    Fault.UNSET_REGISTER: "reads register {detail}, which was never set",
    Fault.BAD_REGISTER: "register {detail}: expected 0..31, and an even one for a global address",
    Fault.UNSET_WIDTH: "no setbw before it: element widths are unknown",
    Fault.BAD_LENGTH: "length {detail}: expected at least 1",
    Fault.LENGTH_MISMATCH: "len and size differ: size is {detail}",
    Fault.OFFSET: "offset {detail}: addresses must be complete in their registers",
    Fault.BAD_GROUP: "array group {detail} does not exist on this core or has no matrix",
    Fault.BAD_PEER: "core {detail} does not exist or is the core itself",
    Fault.OUT_OF_RANGE: "address {detail} is outside local memory",
    Fault.UNREADABLE: "reads address {detail}, which holds no element: never written, misaligned or not a number",
    Fault.OVERLAP: "source and destination overlap (destination {detail}): undefined",
    Fault.SIZE_MISMATCH: "the two ends of the transfer differ in size: the receiver takes {detail} bytes",
    Fault.WRITES_INPUT: "stores into the network's input at global address {detail}",
    Fault.BAD_STRIDE: "stride {detail}: expected at least 0",
    Fault.NO_BOUND: "memory.npz has no bound for this instruction",
    Fault.BAD_SHIFT: "shift count {detail} is not a small non-negative whole number",
    Fault.SLD: "sld: the simulators do not execute it, and registers hold no data",
    Fault.BAD_MBIW: "weights of {detail} bits",
    Fault.BAD_EVENT: "event register {detail}: expected 0..31",
}


class ExecutionError(InvariantError):
    """A program does what the instruction set does not allow. `core` and `index` name the emitted instruction."""

    def __init__(self, fault: Fault, core: int, index: int, op: int, detail: int, node: str = "") -> None:
        name = Op(op).name.lower() if op in set(map(int, Op)) else f"opcode {op}"
        where = f" (node {node})" if node else ""
        super().__init__(f"core {core}, instruction {index}, {name}{where}: {MESSAGES[fault].format(detail=detail)}")
        self.fault, self.core, self.index, self.op, self.detail, self.node = fault, core, index, op, detail, node


class Deadlock(ExecutionError):
    """No core can go on. `blocked` lists (core, emitted index, op, peer) of every core that waits."""

    def __init__(self, blocked: tuple[tuple[int, int, int, int], ...], done: int) -> None:
        lines = "; ".join(
            f"core {core} at instruction {index}: {Op(op).name.lower()} "
            + (f"event {peer}" if op == Op.WAIT else f"core {peer}")
            for core, index, op, peer in blocked[:20]
        )
        more = f"; and {len(blocked) - 20} more" if len(blocked) > 20 else ""
        InvariantError.__init__(self, f"deadlock: {done} cores finished, {len(blocked)} wait: {lines}{more}")
        self.fault, (self.core, self.index, self.op, self.detail), self.node = Fault.DEADLOCK, blocked[0], ""
        self.blocked = blocked
