"""How often a core's decoder, register file and scalar unit are evaluated: what their dynamic power is charged for.

The simulator charges an evaluation, not an instruction, and a stage is evaluated whenever one of its inputs changes: a
decoder once more when the operands it has asked for arrive with other values, the register file for another address, a
write, and the same write once more a cycle later. So the counts depend on register contents and on how long an
instruction stays in the decoder, not on the order in which the simulator wakes its processes: within one clock edge
everything settles in rounds, and each round sees what the round before has left. Docs: docs/timing.md.
"""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Op
from pimcomp.isa.listing import Listing, effect
from pimcomp.isa.table import BUBBLE, EFFECT, GLOBAL_SLOT, NO_EFFECT, UNIT
from pimcomp.timeline.instruction_times import Times, instruction_times
from pimcomp.timeline.work import Instructions, work_of

# Columns of the counts.
DECODES, READS, WRITES, SCALARS = range(4)

# In the decoder nothing changes any more after this many cycles, unless a scalar operation reads what it writes.
_SETTLED = 4

_NOP = int(Op.NOP)


def evaluations_of(listing: Listing, stream: Instructions, arch: Arch) -> IntArray:
    """int32[entries, 4]: evaluations (DECODES, READS, WRITES, SCALARS) in one pass, by the entry in the decoder.

    stream: the same program; above rob_size 1 it is replayed for the time that its instructions wait for dispatch.
    """
    held = held_in_order(listing)
    if arch.rob_size > 1:
        work = work_of(stream, arch)
        held = held_out_of_order(listing, instruction_times(stream, work, arch), arch.rob_size, work.period)
    return count_evaluations(listing, held)


def count_evaluations(listing: Listing, held: LongArray) -> IntArray:
    """The same from `held`: int64[entries], cycles from an entry's arrival in the dispatcher to its successor's."""
    counts = np.zeros((len(listing.op), 4), np.int32)
    _count(listing, held, counts)
    return counts


def held_in_order(listing: Listing) -> LongArray:
    """`held` at rob_size 1: what follows an instruction waits for its end, which takes three cycles or more."""
    held = np.ones(len(listing.op), np.int64)
    held[1:][UNIT[listing.op[:-1]] != BUBBLE] = _SETTLED
    held[listing.core_start[:-1][np.diff(listing.core_start) > 0]] = 1
    return held


def held_out_of_order(listing: Listing, times: Times, rob_size: int, period: int) -> LongArray:
    """`held` at any rob_size, for lists that end with an instruction. period: core clock in ps."""
    own = np.flatnonzero(UNIT[listing.op] != BUBBLE)
    stops = np.searchsorted(own, listing.core_start)
    counts = np.diff(stops)
    place = np.arange(len(own)) - np.repeat(stops[:-1], counts)
    leaves = times.dispatched // period
    # The dispatcher's first cycle is 2, as if something had left it in cycle 1.
    before = np.where(place > 0, np.roll(leaves, 1), 1)
    before_at = np.where(place > 0, np.roll(own, 1), np.repeat(listing.core_start[:-1] - 1, counts))
    bubbles = own - before_at - 1
    room = np.where(place >= rob_size, np.roll(times.retired, rob_size) // period, 0)
    held = np.ones(len(listing.op), np.int64)
    # The first of an instruction's bubbles, or itself where it has none, waits for room in the reorder buffer; it
    # itself for its unit and for operands, too.
    begins = np.maximum(before + 1, room)
    held[own] = leaves - begins - bubbles + 1
    held[own - bubbles] += begins - before - 1
    return held


@kernel
def _count(  # noqa: PLR0915  one clock edge of the front end, in the order in which it settles
    listing: Listing, held: LongArray, counts: IntArray
) -> None:
    core_start, op, rd, rs1, rs2, imm = listing
    for core in range(len(core_start) - 1):
        first, last = core_start[core], core_start[core + 1]
        if first == last:
            continue
        registers = np.zeros(34, np.int64)
        # Register number and value that is being written, and that was written a cycle ago.
        write_rd = write_value = late_rd = late_value = np.int64(0)
        asked_rd = asked_rs1 = asked_rs2 = asked_double = np.int64(0)
        seen_rd = seen_rs1 = seen_rs2 = seen_double = np.int64(0)  # operand values at the decoder
        # What the decoder offers to the scalar unit, and what that has taken: entry (-1: none) and operand values.
        offered = taken = np.int64(-1)
        offered_rs1 = offered_rs2 = taken_rs1 = taken_rs2 = np.int64(0)
        counts[first, READS] += 1  # both are evaluated once at time 0
        counts[first, WRITES] += 1
        for entry in range(first, last + 1):
            valid = entry < last
            owner = entry if valid else last - 1
            stay = np.int64(_SETTLED)  # behind the last entry: until what is under way has been written
            if valid:  # it moves on when the one in front of it does
                stay = held[entry - 1] if entry > first else np.int64(1)
            for cycle in range(stay):
                starts = offered != taken or offered_rs1 != taken_rs1 or offered_rs2 != taken_rs2
                taken, taken_rs1, taken_rs2 = offered, offered_rs1, offered_rs2
                # First round: registers of the pipeline have changed.
                settled = cycle > 0 and not starts
                if late_rd != write_rd or late_value != write_value:
                    settled = False
                    late_rd, late_value = write_rd, write_value
                    registers[late_rd] = late_value
                    counts[owner, READS] += 1
                if settled:
                    break
                asks = wrote = False
                if valid and cycle == 0:
                    counts[owner, DECODES] += 1
                    if op[entry] != _NOP:
                        double = np.int64(GLOBAL_SLOT[op[entry]] >= 0)
                        asks = (
                            asked_rd != rd[entry]
                            or asked_rs1 != rs1[entry]
                            or asked_rs2 != rs2[entry]
                            or asked_double != double
                        )
                        asked_rd, asked_rs1, asked_rs2 = np.int64(rd[entry]), np.int64(rs1[entry]), np.int64(rs2[entry])
                        asked_double = double
                if starts and taken >= 0:
                    counts[owner, SCALARS] += 1
                    target, value = effect(
                        int(op[taken]), int(rd[taken]), int(taken_rs1), int(taken_rs2), int(imm[taken])
                    )
                    wrote = target != write_rd or value != write_value
                    write_rd, write_value = np.int64(target), np.int64(value)
                # Second round: the register file answers, and the decoder looks again if the answer is another.
                if asks or wrote:
                    counts[owner, READS] += 1
                    counts[owner, WRITES] += wrote
                    value_rd = write_value if write_rd == asked_rd else registers[asked_rd]
                    value_rs1 = write_value if write_rd == asked_rs1 else registers[asked_rs1]
                    value_rs2 = write_value if write_rd == asked_rs2 else registers[asked_rs2]
                    if asked_double:
                        low_rd = write_value if write_rd == asked_rd + 1 else registers[asked_rd + 1]
                        low_rs1 = write_value if write_rd == asked_rs1 + 1 else registers[asked_rs1 + 1]
                        value_rd = (value_rd << 32) | (low_rd & 0xFFFFFFFF)
                        value_rs1 = (value_rs1 << 32) | (low_rs1 & 0xFFFFFFFF)
                    # Pairs travel on lines of their own, whose silence is 0, as is that of the single ones.
                    other_lines = asked_double != seen_double and (value_rd != 0 or value_rs1 != 0)
                    if other_lines or value_rd != seen_rd or value_rs1 != seen_rs1 or value_rs2 != seen_rs2:
                        counts[owner, DECODES] += valid
                        seen_rd, seen_rs1, seen_rs2, seen_double = value_rd, value_rs1, value_rs2, asked_double
                offered, offered_rs1, offered_rs2 = np.int64(-1), np.int64(0), np.int64(0)
                if valid and EFFECT[op[entry]] != NO_EFFECT:
                    offered, offered_rs1, offered_rs2 = np.int64(entry), seen_rs1, seen_rs2
