"""A program at rob_size 1 reduced to its transfers: what each takes, and how long its core works before it."""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op
from pimcomp.timeline.borrow import borrow
from pimcomp.timeline.clock import finish_edge, two_waits_edge
from pimcomp.timeline.work import (
    LOCAL,
    MATRIX,
    PS_PER_NS,
    RECV,
    SEND,
    STORE,
    SYNC,
    UNIT_OF,
    Stream,
    Tables,
    beats_ps,
    durations,
    period_of,
    tables_of,
    units,
)

# Columns of `Transfers.code`; a row of four fills a quarter of a cache line. KEY: unit - SEND, the peer from bit
# PEER_BIT on, and from BEATS_BIT on the beats that the local memory reads (send, store) or writes (recv, load). GAP:
# from the retirement of the transfer before to this one's start. ASK: on its way, a send's request, a recv's grant, a
# load's request, a store's data. THEN: a send's data on its way, else the time in global memory.
KEY, GAP, ASK, THEN = range(4)
TRANSFER_COLUMNS = 4
KIND, PEER_BIT, BEATS_BIT = 3, 2, 20
PEERS = (1 << BEATS_BIT - PEER_BIT) - 1
_MEMO = 1024  # different local instructions whose cost is remembered; a power of two
_REMOTE = (Op.SEND, Op.RECV, Op.LD, Op.ST, Op.SYNC, Op.WAIT)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Transfers:
    """Those of core c are code[start[c] : start[c + 1]]; int32 or int64[transfers, 4] in ps, a row each.

    tail: int64[cores], from a core's last transfer to its end. own_work: int64[cores], one round of each core without
    waiting (see `run.own_work_ps`). aligned: all times are multiples of the clock's period, so every unit ends on an
    edge. known: whether these are all instructions that concern other cores (no sync, no wait).
    """

    tables: Tables
    period: int
    start: LongArray
    code: IntArray | LongArray
    tail: LongArray
    own_work: LongArray
    aligned: bool
    known: bool


def transfers_of(stream: Stream, arch: Arch) -> Transfers:
    """Sum up what lies between transfers."""
    tables, period = tables_of(stream, arch), period_of(arch)
    aligned = _is_aligned(tables, period)
    start, tail, own_work = (np.zeros(stream.cores + extra, np.int64) for extra in (1, 0, 0))
    if arch.total_cores > PEERS:
        raise InvariantError(f"a transfer names its peer in {PEERS.bit_length()} bits: {arch.total_cores} cores")
    rows = sum(int(np.count_nonzero(stream.op == op)) for op in _REMOTE)
    for kind in (np.int32, np.int64):  # what stays in the cache is worth a second try
        code = np.empty((rows, TRANSFER_COLUMNS), kind)
        known, bits = _reduce(
            stream.core_start, stream.op, stream.crossbars, stream.size, stream.peer, stream.width, stream.bubbles,
            stream.tail_bubbles, *tables, period, aligned, start, code, tail, own_work,
        )  # fmt: skip
        if bits <= np.iinfo(kind).max:
            break
    return Transfers(
        tables=tables, period=period, start=start, code=code, tail=tail, own_work=own_work, aligned=aligned, known=known
    )


def rows_of(stream: Stream) -> LongArray:
    """int64[transfers]: the instruction that each transfer is."""
    unit = UNIT_OF[stream.op]
    rows: LongArray = np.flatnonzero((unit >= SEND) & (unit <= STORE))
    return rows


def _is_aligned(tables: Tables, period: int) -> bool:
    # Whatever the network takes is whole nanoseconds.
    beats_ps = tables.cycles * tables.periods_ns * PS_PER_NS
    times = (beats_ps, tables.settings[:, :2], tables.chip[:1])
    return PS_PER_NS % period == 0 and not any((x % period).any() for x in times)


@numba.njit(cache=True, inline="always")
def edge_after(now: int, delay: int, period: int, aligned: bool) -> int:
    """`clock.finish_edge` of a unit that runs after the clock; without divisions where all times are aligned."""
    if aligned:
        return now + delay + (period if delay <= period else 0)
    return finish_edge(now, delay, True, period)


@numba.njit(cache=True, inline="always")
def _two_waits(first: int, second: int, period: int, aligned: bool) -> int:
    """`clock.two_waits_edge` from time 0."""
    if aligned:
        return first + second + (period if second < period or (second == period and first <= period) else 0)
    return two_waits_edge(0, first, second, period)


@numba.njit(cache=True)
def _reduce(
    core_start: LongArray,
    op: ByteArray,
    crossbars: IntArray,
    size: IntArray,
    peer: IntArray,
    width: ByteArray,
    bubbles: IntArray | ByteArray,
    tail_bubbles: IntArray,
    memory_ps: LongArray,
    cycles: LongArray,
    periods_ns: npt.NDArray[np.float64],
    settings: LongArray,
    noc_ns: npt.NDArray[np.float64],
    chip: LongArray,
    period: int,
    aligned: bool,
    start: LongArray,
    code: IntArray | LongArray,
    tail: LongArray,
    own_work: LongArray,
) -> tuple[bool, int]:
    """(whether `known`, bits that any time in `code` needs).

    retire(i) = retire(i - 1) + bubbles + duration + 2 cycles, 3 for an mvmul; a transfer starts 1 cycle after.
    """
    memory_ps, cycles, periods_ns = borrow(memory_ps), borrow(cycles), borrow(periods_ns)
    settings, noc_ns, chip = borrow(settings), borrow(noc_ns), borrow(chip)
    k = bits = 0
    known = True
    local, local_shift, bus, bus_shift = chip[1], chip[2], chip[5], chip[6]
    seen, costs = np.full(_MEMO, -1, np.int64), np.zeros(_MEMO, np.int64)
    for core in range(len(core_start) - 1):
        since = total = np.int64(0)
        for i in range(core_start[core], core_start[core + 1]):
            kind = UNIT_OF[op[i]]
            since += bubbles[i] * period
            if kind <= LOCAL:
                amount = np.int64(crossbars[i] if kind == MATRIX else size[i])
                which = (amount << 16) | (np.int64(width[i]) << 8) | op[i]
                slot = (which ^ (which >> 11)) & (_MEMO - 1)
                if seen[slot] != which:
                    seen[slot] = which
                    read, leg, write, _, _ = durations(
                        core, kind, op[i], int(size[i]), int(crossbars[i]), -1, width[i],
                        memory_ps, cycles, periods_ns, settings, noc_ns, chip,
                    )  # fmt: skip
                    # A local move waits once, for both of its parts.
                    first, second = (0, read + write) if kind == LOCAL else (read + leg, write)
                    costs[slot] = _two_waits(first, second, period, aligned) + (3 if kind == MATRIX else 2) * period
                since += costs[slot]
                continue
            n = int(size[i])
            beats = units(n, local, local_shift)
            key = (beats << BEATS_BIT) | kind - SEND
            if kind <= RECV:
                # `durations` of the two without branches on which it is: that cannot be predicted.
                sends, flit_ns = RECV - kind, noc_ns[core, peer[i]]
                asks = int(flit_ns) * PS_PER_NS
                then = sends * int(units(n, bus, bus_shift) * flit_ns) * PS_PER_NS
                port = beats_ps(beats, 1 - sends, memory_ps, cycles, periods_ns)
                key |= np.int64(peer[i]) << PEER_BIT
            else:
                read, leg, write, payload, service = durations(
                    core, kind, op[i], n, 0, int(peer[i]), width[i],
                    memory_ps, cycles, periods_ns, settings, noc_ns, chip,
                )  # fmt: skip
                known = known and kind < SYNC
                port, asks, then = read + write, payload if kind == STORE else leg, service
            total += since + port + 2 * period
            code[k, KEY] = key
            code[k, GAP] = since + period
            code[k, ASK] = asks
            code[k, THEN] = then
            bits |= key | (since + period) | asks | then
            since = np.int64(0)
            k += 1
        tail[core] = since + tail_bubbles[core] * period
        own_work[core] = total + since
        start[core + 1] = k
    return known, bits
