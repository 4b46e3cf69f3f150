"""A program at rob_size 1 reduced to its transfers: what each takes, and how long its core works before it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOCAL, MATRIX, RECV, SEND, STORE, SYNC, UNIT
from pimcomp.timeline.borrow import borrow
from pimcomp.timeline.clock import finish_edge, two_waits_edge
from pimcomp.timeline.work import PS_PER_NS, Instructions, Tables, durations, period_of, tables_of, units

# Columns of `Transfers.code`; a row of four fills a quarter of a cache line. KEY: unit - SEND, the peer from bit
# PEER_BIT on, and from BEATS_BIT on the beats that the local memory reads (send, store) or writes (recv, load). GAP:
# from the retirement of the transfer before to this one's start. ASK: on its way, a send's request, a recv's grant, a
# load's request, a store's data. THEN: a send's data on its way, else the time in global memory.
KEY, GAP, ASK, THEN = range(4)
TRANSFER_COLUMNS = 4
KIND, PEER_BIT, BEATS_BIT = 3, 2, 20
PEERS = (1 << BEATS_BIT - PEER_BIT) - 1
_MEMO, _NOTHING = 1024, -1  # different instructions, but for their peers, whose cost is remembered; a power of two
# Columns of what is remembered of an instruction. COST: what it adds to its core's own time, all of a local one.
# OWN_KEY: KEY without the peer. FLITS: of its data. SERVICE: in the global memory. Masks, all ones or 0: LOCAL of what
# is no transfer, PAIRED of a send or recv, SENDS of a send, STORES of a store.
_COST, _OWN_KEY, _FLITS, _SERVICE, _LOCAL, _PAIRED, _SENDS, _STORES = range(8)
_MEMO_COLUMNS = 8


class Transfers(NamedTuple):
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


class _Memory(NamedTuple):
    """What is remembered of instructions: `_which` each is, and its columns."""

    seen: LongArray
    memo: LongArray


def transfers_of(stream: Instructions, arch: Arch) -> Transfers:
    """Sum up what lies between transfers."""
    tables, period = tables_of(stream, arch), period_of(arch)
    # Whole numbers as such: conversions take a tenth of the time.
    noc_ns = tables.noc_ns.astype(np.int64) if (tables.noc_ns % 1 == 0).all() else tables.noc_ns
    start, tail, own_work = (np.zeros(stream.cores + extra, np.int64) for extra in (1, 0, 0))
    if arch.total_cores > PEERS:
        raise InvariantError(f"a transfer names its peer in {PEERS.bit_length()} bits: {arch.total_cores} cores")
    if stream.crossbars.max(initial=0) >= 1 << 16:
        raise InvariantError("array groups of 65536 crossbars and more are not told apart")
    for kind in (np.int32, np.int64):  # what stays in the cache is worth a second try
        code = np.empty((len(stream.op) + 1, TRANSFER_COLUMNS), kind)  # memory that is never touched costs nothing
        found = Transfers(tables, period, start, code, tail, own_work, _is_aligned(tables, period), True)
        known, most = _reduce(stream, tables._replace(noc_ns=noc_ns), found, float(noc_ns.max()))
        if most <= np.iinfo(kind).max:
            break
    return found._replace(code=code[: start[-1]], known=known)


def rows_of(stream: Instructions) -> LongArray:
    """int64[transfers]: the instruction that each transfer is."""
    unit = UNIT[stream.op]
    rows: LongArray = np.flatnonzero((unit >= SEND) & (unit <= STORE))
    return rows


def _is_aligned(tables: Tables, period: int) -> bool:
    # Whatever the network takes is whole nanoseconds.
    beat_ps = tables.cycles * tables.periods_ns * PS_PER_NS
    times = (beat_ps, tables.settings[:, :2], tables.chip[:1])
    return PS_PER_NS % period == 0 and not any((x % period).any() for x in times)


@kernel
def edge_after(now: int, delay: int, period: int, aligned: bool) -> int:
    """`clock.finish_edge` of a unit that runs after the clock; without divisions where all times are aligned."""
    if aligned:
        return now + delay + (period if delay <= period else 0)
    return finish_edge(now, delay, True, period)


@kernel
def _two_waits(first: int, second: int, period: int, aligned: bool) -> int:
    """`clock.two_waits_edge` from time 0."""
    if aligned:
        return first + second + (period if second < period or (second == period and first <= period) else 0)
    return two_waits_edge(0, first, second, period)


@kernel
def _reduce(stream: Instructions, tables: Tables, out: Transfers, slowest_ns: float) -> tuple[bool, int]:
    """Fills `out`: (whether `known`, no fewer bits than any number in `code`)."""
    op, size, crossbars, width = stream.op, stream.size, stream.crossbars, stream.width
    memory = _Memory(np.full(_MEMO + 1, _NOTHING, np.int64), np.zeros((_MEMO + 1, _MEMO_COLUMNS), np.int64))
    k = longest = latest = 0
    for core in range(len(stream.core_start) - 1):
        i, since, total, stop = int(stream.core_start[core]), 0, 0, stream.core_start[core + 1]
        while i < stop:
            i, k, since, total, longest = _walk(
                core, (i, k, since, total, longest), stream, tables.noc_ns, memory, out.code, out.period
            )
            if i < stop:
                which = _which(op[i], size[i], crossbars[i], width[i])
                slot = _hash(which)
                slot += memory.seen[slot] != _NOTHING
                memory.seen[slot] = which
                memo = memory.memo[slot]
                kind = _remember(memo, op[i], size[i], crossbars[i], width[i], out)
                latest = max(latest, kind)
                key = memo[_OWN_KEY] + (PEERS << PEER_BIT)
                way = int((memo[_FLITS] + 1) * slowest_ns) * PS_PER_NS
                longest |= key | way | memo[_SERVICE]
        out.tail[core] = since + stream.tail_bubbles[core] * out.period
        out.own_work[core] = total
        out.start[core + 1] = k
    return latest < SYNC, longest


@kernel
def _which(op: int, size: int, crossbars: int, width: int) -> int:
    """What an instruction's cost depends on, besides its peer, as one number."""
    return int((np.int64(size) << 32) ^ (np.int64(crossbars) << 16) ^ (np.int64(width) << 8) ^ op)


@kernel
def _hash(which: int) -> int:
    """Where it is remembered: here, or in the next place if another is here."""
    return int(((which ^ (which >> 27)) * 0x9E3779B97F4A7C1 >> 20) & (_MEMO - 1))


@kernel
def _walk(
    core: int,
    at: tuple[int, int, int, int, int],
    stream: Instructions,
    noc_ns: npt.NDArray[np.float64] | LongArray,
    memory: _Memory,
    code: IntArray | LongArray,
    period: int,
) -> tuple[int, int, int, int, int]:
    """Reduce instructions of a core from i on, up to the first that is not remembered: `at` moved on.

    at: (i, k, since, total, longest). k: next row of `code`. since: core's own time since the last transfer, total:
    since its beginning. longest: no fewer bits than any gap.

    retire(i) = retire(i - 1) + bubbles + duration + 2 cycles, 3 for an mvmul; a transfer starts 1 cycle after.

    Arithmetic, not branches, where transfers and other instructions differ: which comes next cannot be predicted. Every
    instruction is written to the next free row of `code`; only a transfer leaves it behind.
    """
    op, crossbars, size = borrow(stream.op), borrow(stream.crossbars), borrow(stream.size)
    peer, width, bubbles = borrow(stream.peer), borrow(stream.width), borrow(stream.bubbles)
    noc_ns, seen, memo, code = borrow(noc_ns), borrow(memory.seen), borrow(memory.memo), borrow(code)
    i, k, since, total, longest = at
    end, far, step = stream.core_start[core + 1], noc_ns.shape[0] - 1, np.int64(period)
    while i < end:
        which = _which(op[i], size[i], crossbars[i], width[i])
        slot = _hash(which)
        slot += seen[slot] != which
        if seen[slot] != which:
            break
        cost, local, paired = memo[slot, _COST], memo[slot, _LOCAL], memo[slot, _PAIRED]
        other = np.int64(peer[i])
        flit_ns = noc_ns[core, far + (paired & other - far)]
        # The simulator truncates flits x latency to whole ns.
        flit, flits = int(flit_ns) * PS_PER_NS, int(memo[slot, _FLITS] * flit_ns) * PS_PER_NS
        idle = bubbles[i] * step
        gap = since + idle + step
        code[k, KEY] = memo[slot, _OWN_KEY] + ((paired & other) << PEER_BIT)
        code[k, GAP] = gap
        code[k, ASK] = flit + (memo[slot, _STORES] & flits - flit)
        code[k, THEN] = memo[slot, _SERVICE] + (memo[slot, _SENDS] & flits)
        longest |= gap
        total += idle + cost
        since = (since + idle + cost) & local
        k += 1 + local
        i += 1
    return i, k, since, total, longest


@kernel
def _remember(memo: LongArray, op: int, n: int, crossbars: int, width: int, out: Transfers) -> int:
    """Fill in what is remembered of an instruction of size n; its unit."""
    kind = UNIT[op]
    chip, period = out.tables.chip, out.period
    read, leg, write, _, service = durations(0, kind, op, int(n), int(crossbars), -1, width, out.tables)
    memo[:] = 0
    if kind > LOCAL:
        memo[_COST], memo[_SERVICE] = read + write + 2 * period, service
        memo[_OWN_KEY] = (units(int(n), chip[1], chip[2]) << BEATS_BIT) | kind - SEND
        memo[_FLITS] = units(int(n), chip[5], chip[6])
        memo[_PAIRED], memo[_SENDS], memo[_STORES] = -int(kind <= RECV), -int(kind == SEND), -int(kind == STORE)
    else:
        # A local move waits once, for both of its parts.
        first, second = (0, read + write) if kind == LOCAL else (read + leg, write)
        memo[_COST] = _two_waits(first, second, period, out.aligned) + (3 if kind == MATRIX else 2) * period
        memo[_LOCAL] = -1
    return int(kind)
