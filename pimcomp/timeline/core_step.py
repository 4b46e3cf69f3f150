"""The rules of one core at any rob_size, as kernels over its part of the machine's state.

Times are ps. An instruction dispatched at clock edge d starts one cycle later (an mvmul, through the array-group
dispatcher, two); its unit is free again at the edge F that sees it finish, its reorder-buffer entry and its hazards one
cycle after F. Docs: docs/timing.md.

`me`, `slots` and `groups` are the core's rows of `Machine.core`, `.slots` and `.group_free`. The kernels are inlined
into `advance`, which borrows its arrays: calls would count references to them, which costs more than the work itself.
"""

from pimcomp.foundation.kernels import kernel
from pimcomp.isa.table import LOAD, LOCAL, MATRIX, RECV, SEND, STORE, SYNC, VECTOR
from pimcomp.timeline.borrow import borrow
from pimcomp.timeline.clock import finish_edge, runs_after_clock
from pimcomp.timeline.hazards import conflict
from pimcomp.timeline.run import AT_EVENT, AT_MEMORY, AT_RECV, AT_SEND, DONE, STOPPED
from pimcomp.timeline.state import (
    AFTER,
    ARRIVAL,
    ARRIVED,
    ASKED,
    BEGUN,
    BLOCKER,
    BUBBLES,
    COMMIT,
    COMMITTED,
    COUNTED,
    DELIVERED,
    DISPATCHED,
    DISPATCHED_AT,
    END_ROW,
    EVENT,
    FETCHED,
    FINISHED,
    FIRST_ROW,
    HELD,
    HELD_FROM,
    ISSUED,
    KNOWN,
    LEG,
    MARK_BUBBLE,
    MARK_ROW,
    MATRIX_FREE,
    NEXT_ROW,
    PAYLOAD,
    PHASE,
    PORT_FREE,
    RANGES,
    RANK,
    READ,
    RECEIVER,
    RESUMED,
    RETIRE,
    RETIRED,
    RETIRED_AT,
    ROUND,
    ROUNDS_LEFT,
    ROW,
    SENT,
    STARTED,
    STATE,
    SWITCH_FREE,
    TAIL_BUBBLES,
    TARGET,
    TRANSFER,
    TRANSFER_FREE,
    UNIT,
    UNKNOWN,
    VECTOR_FREE,
    WHEN,
    WRITE,
    Longs,
    Machine,
)
from pimcomp.timeline.work import PS_PER_NS

# Order of local-memory requests of one instant: units that wake from a wait, transfers woken by another core, new
# starts.
_WOKEN, WOKEN_BY_SWITCH, _STARTED, _STARTED_GROUP = range(4)

# What an event leads to, if not to the edge (>= 0) at which the unit is seen finished.
_GOES_ON, _WAITS_FOR_OTHERS = -1, -2


@kernel
def advance(c: int, m: Machine, notes: Longs | None) -> None:
    """Run core c until it needs another core or the memory (see its state), or has nothing left to do.

    notes: int64[instructions, NOTES], filled in with when what happens; without them nothing is spent on that.
    """
    me, slots, groups = borrow(m.core[c]), borrow(m.slots[c]), borrow(m.group_free[c])
    code, tokens, finish = borrow(m.code), borrow(m.tokens), borrow(m.finish)
    period, limit, rob_size, ring = m.period, m.limit, m.rob_size, m.slots.shape[1] - 1
    while True:
        row = me[NEXT_ROW]
        while _dispatch(me, slots, groups, code, period, limit, rob_size, ring):
            if notes is not None:
                notes[row, DISPATCHED] = me[DISPATCHED_AT]
                row = me[NEXT_ROW]
        slot = _next_event(me, slots, ring)
        if slot < 0:
            me[STATE] = DONE if me[ROUNDS_LEFT] == 0 else STOPPED
            return
        if slots[slot, WHEN] > limit:
            me[STATE] = STOPPED
            return
        if notes is not None:
            row = slots[slot, ROW]
            if slots[slot, PHASE] == 0:
                notes[row, BEGUN] = slots[slot, WHEN]
            notes[row, RESUMED] = slots[slot, WHEN]
        edge = _event(slot, me, slots, code, tokens, period)
        if edge >= 0:
            _finish(slot, edge, me, slots, groups, code, period)
            if notes is not None:
                notes[row, FINISHED] = edge
                notes[row, KNOWN] = slots[slot, COMMIT]
                if code[row, UNIT] == SYNC:
                    notes[row, ARRIVED] = me[SWITCH_FREE]
            _retire(c, me, slots, finish, ring)
        elif edge == _WAITS_FOR_OTHERS:
            return


@kernel
def _next_event(me: Longs, slots: Longs, ring: int) -> int:
    """The slot whose event comes first; -1 if none is scheduled."""
    slot = -1
    for i in range(me[RETIRED], me[ISSUED]):
        s = i & ring
        if slots[s, WHEN] == UNKNOWN:
            continue
        if (
            slot < 0
            or slots[s, WHEN] < slots[slot, WHEN]
            or (
                slots[s, WHEN] == slots[slot, WHEN]
                and (
                    slots[s, RANK] < slots[slot, RANK]
                    or (slots[s, RANK] == slots[slot, RANK] and slots[s, ASKED] < slots[slot, ASKED])
                )
            )
        ):
            slot = s
    return slot


@kernel
def _dispatch(
    me: Longs, slots: Longs, groups: Longs, code: Longs, period: int, limit: int, rob_size: int, ring: int
) -> bool:
    """Dispatch the next instruction if the edge at which that happens is known already."""
    number, row = me[ISSUED], me[NEXT_ROW]
    leaving = (number - rob_size) & ring  # its retirement makes room
    edge = UNKNOWN
    if me[ROUNDS_LEFT] and (me[BLOCKER] < 0 or slots[me[BLOCKER], COMMIT] != UNKNOWN):
        if number - me[RETIRED] >= rob_size:
            me[BLOCKER] = leaving
        else:
            edge = max(me[DISPATCHED_AT] + period, slots[leaving, RETIRE])
            bubbles = code[row, BUBBLES]
            if row == me[FIRST_ROW] and number:
                bubbles += me[TAIL_BUBBLES]
            if row == me[MARK_ROW]:
                _count_fetch(edge, bubbles, me, code, period, limit)
            unit = code[row, UNIT]
            unit_free = MATRIX_FREE if unit == MATRIX else (VECTOR_FREE if unit == VECTOR else TRANSFER_FREE)
            edge = max(edge + bubbles * period, me[unit_free])
    if edge <= limit:
        for i in range(max(0, number - rob_size + 1), number):
            s = i & ring
            if slots[s, COMMIT] > edge and conflict(code, RANGES, row, slots[s, ROW]):
                edge = slots[s, COMMIT]
                if edge == UNKNOWN:
                    me[BLOCKER] = s
                    break
    if edge <= limit:
        me[BLOCKER] = -1
        if row == me[MARK_ROW] and me[MARK_BUBBLE] == code[row, BUBBLES] and edge + period < limit:
            me[FETCHED] += 1
        _issue(edge, me, slots, groups, code, period, ring)
    return edge <= limit


@kernel
def _count_fetch(edge: int, bubbles: int, me: Longs, code: Longs, period: int, limit: int) -> None:
    """Count a round if its last entry is fetched when a bubble in front of the next instruction leaves the dispatcher.

    edge: when the first of its bubbles leaves. An instruction may be tried several times before it is dispatched:
    COUNTED makes it count once.
    """
    own = code[me[NEXT_ROW], BUBBLES]
    if me[MARK_BUBBLE] >= own or me[ISSUED] <= me[COUNTED]:
        return
    index = me[MARK_BUBBLE] + bubbles - own
    if index >= 0 and edge + (index + 1) * period < limit:
        me[FETCHED] += 1
        me[COUNTED] = me[ISSUED]


@kernel
def _issue(edge: int, me: Longs, slots: Longs, groups: Longs, code: Longs, period: int, ring: int) -> None:
    """Put the next instruction into the reorder buffer at `edge` and schedule its start."""
    row, slot = me[NEXT_ROW], me[ISSUED] & ring
    me[ISSUED] += 1
    me[NEXT_ROW] += 1
    if me[NEXT_ROW] == me[END_ROW]:
        me[NEXT_ROW] = me[FIRST_ROW]
        me[ROUNDS_LEFT] -= 1
    me[DISPATCHED_AT] = edge
    start = edge + period
    slots[slot, ROW] = row
    slots[slot, PHASE] = 0
    slots[slot, AFTER] = 1
    slots[slot, COMMIT] = UNKNOWN
    slots[slot, WHEN] = start
    slots[slot, ASKED] = start
    slots[slot, RANK] = _STARTED
    unit = code[row, UNIT]
    if unit == MATRIX:
        group = code[row, TARGET]
        busy_until = groups[group]
        groups[group] = UNKNOWN
        slots[slot, RANK] = _STARTED_GROUP
        if busy_until == UNKNOWN:
            me[HELD] = slot
            me[HELD_FROM] = start
            slots[slot, WHEN] = UNKNOWN
            me[MATRIX_FREE] = UNKNOWN
        else:
            me[MATRIX_FREE] = max(start, busy_until)
            slots[slot, WHEN] = me[MATRIX_FREE] + period
    elif unit == VECTOR:
        me[VECTOR_FREE] = UNKNOWN
    else:
        me[TRANSFER_FREE] = UNKNOWN
        me[TRANSFER] = slot


@kernel
def _event(  # noqa: PLR0912, PLR0915  inlined; the cases of a state machine
    slot: int, me: Longs, slots: Longs, code: Longs, tokens: Longs, period: int
) -> int:
    """Let a slot's event happen; returns its finish edge, or one of the codes above."""
    now, first = slots[slot, WHEN], slots[slot, PHASE] == 0
    row = slots[slot, ROW]
    unit = code[row, UNIT]
    if first and unit > VECTOR:
        me[STARTED] = now
    # Which request to the local-memory port this event makes, if any.
    request = 0
    if unit <= VECTOR:
        request = code[row, READ] if first else code[row, WRITE]
    elif unit == LOCAL:
        request = code[row, READ] + code[row, WRITE]
    elif (unit == SEND and not first) or (unit == STORE and first):
        request = code[row, READ]
    elif unit in (RECV, LOAD) and not first:
        request = code[row, WRITE]
    waits = 0
    if request:
        me[PORT_FREE] = max(now, me[PORT_FREE]) + request
        waits = me[PORT_FREE] - now
    # Where that leaves the unit: waiting until `until`, for others, or finished.
    outcome, until = _WAITS_FOR_OTHERS, UNKNOWN
    if unit <= VECTOR:
        if first:
            waits += code[row, LEG]
            slots[slot, AFTER] = runs_after_clock(now, waits, True, period)
            outcome, until = _GOES_ON, now + waits
        else:
            outcome = finish_edge(now, waits, slots[slot, AFTER] == 1, period)
    elif unit == LOCAL or (unit in (RECV, LOAD) and not first):
        outcome = finish_edge(now, waits, True, period)
    elif unit == SEND:
        if first:
            me[ARRIVAL] = max(now, me[SWITCH_FREE]) + code[row, LEG]
            me[SWITCH_FREE] = me[ARRIVAL] + PS_PER_NS  # the simulator's fixed acknowledge, not a clock cycle
            me[STATE] = AT_SEND
        else:
            me[SWITCH_FREE] = max(now + waits, me[SWITCH_FREE]) + code[row, PAYLOAD]
            me[DELIVERED] = me[SWITCH_FREE]
            me[RECEIVER] = code[row, TARGET]
            outcome = finish_edge(now, waits, True, period)
    elif unit == RECV:
        me[STATE] = AT_RECV
    elif unit == LOAD:
        me[SENT] = max(now, me[SWITCH_FREE])
        me[ARRIVAL] = me[SENT] + code[row, LEG]
        me[STATE] = AT_MEMORY
    elif unit == STORE:
        if first:
            outcome, until = _GOES_ON, now + waits
        elif slots[slot, RANK] == _WOKEN:
            me[SENT] = max(now, me[SWITCH_FREE])
            me[ARRIVAL] = me[SENT] + code[row, PAYLOAD]
            me[STATE] = AT_MEMORY
        else:
            outcome = finish_edge(now, 0, True, period)
    elif unit == SYNC:
        me[SWITCH_FREE] = max(now, me[SWITCH_FREE]) + code[row, LEG]
        token = tokens[-1, 0]
        tokens[-1, 0] += 1
        tokens[token, 0] = code[row, TARGET]
        tokens[token, 1] = code[row, EVENT]
        tokens[token, 2] = me[SWITCH_FREE]
        outcome = finish_edge(now, period, True, period)
    elif first:
        me[STATE] = AT_EVENT
    else:
        outcome = finish_edge(now, 0, True, period)
    slots[slot, WHEN] = until
    slots[slot, ASKED] = now
    slots[slot, RANK] = _WOKEN
    slots[slot, PHASE] = 1
    return outcome


@kernel
def _finish(slot: int, edge: int, me: Longs, slots: Longs, groups: Longs, code: Longs, period: int) -> None:
    """A unit is seen finished at `edge`: it is free, and the reorder buffer learns of it one cycle later."""
    row = slots[slot, ROW]
    unit = code[row, UNIT]
    if unit == MATRIX:
        group, held = code[row, TARGET], me[HELD]
        me[COMMITTED] = max(edge, me[COMMITTED] + period)
        slots[slot, COMMIT] = me[COMMITTED] + period
        if held >= 0 and code[slots[held, ROW], TARGET] == group:
            me[HELD] = -1
            me[MATRIX_FREE] = max(me[HELD_FROM], edge)
            slots[held, WHEN] = me[MATRIX_FREE] + period
            slots[held, ASKED] = slots[held, WHEN]
        else:
            groups[group] = edge
    else:
        me[VECTOR_FREE if unit == VECTOR else TRANSFER_FREE] = edge
        slots[slot, COMMIT] = edge + period


@kernel
def _retire(c: int, me: Longs, slots: Longs, finish: Longs, ring: int) -> None:
    """Let instructions leave the reorder buffer in order, as far as their commits are known."""
    while me[RETIRED] < me[ISSUED] and slots[me[RETIRED] & ring, COMMIT] != UNKNOWN:
        s = me[RETIRED] & ring
        me[RETIRED_AT] = max(me[RETIRED_AT], slots[s, COMMIT])
        slots[s, RETIRE] = me[RETIRED_AT]
        me[RETIRED] += 1
        if slots[s, ROW] == me[END_ROW] - 1:
            if me[ROUND] < len(finish):
                finish[me[ROUND], c] = me[RETIRED_AT]
            me[ROUND] += 1
