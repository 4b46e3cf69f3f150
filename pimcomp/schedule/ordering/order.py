"""When everything happens and where it lies: the best of several orders of the actions of all images."""

from dataclasses import replace

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.schedule.building.groups import GroupTable
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.ordering.durations import added_service_ns, longest_paths
from pimcomp.schedule.ordering.modulo import Claims, Followers, Uses, insertion_starts, least_period_ns, modulo_starts
from pimcomp.schedule.ordering.placing import (
    LOOKAHEADS,
    Actions,
    Known,
    Pace,
    Placed,
    above,
    claims_of,
    fit,
    in_rounds,
    kinds_of,
    least_memory,
    list_order,
    place_buffers,
    positions,
    prepare,
    replicate,
)
from pimcomp.schedule.ordering.rounds import LAST_STAGE, Turns, edges_within, rotated
from pimcomp.schedule.ordering.spill import buffer_touches, spill
from pimcomp.schedule.work import CONST, LOAD, STORE, DoubleArray, Edges, select

# Rounds that overlap: what starts later than this share of the least period moves to the next round.
KEPT = 0.85
ROTATIONS = 2  # how often, before an order counts
# Periods that modulo schedules try are longer than the work of the busiest core by SPARE, 2 SPARE, 4 SPARE and so on,
# then some between the last of them and the one before.
SPARE = 0.1
HALVINGS = 3
# With spills: how far to run ahead trades waiting for copies to and from global memory.
SPILL_LOOKAHEADS = (0.5, 0.12)
FEW = 2  # orders of one image up to which only those are made that mostly lead to the best one
# Slack of further list orders, as multiples of the option's, and whether they go by what follows an action, not by
# rows: what is best differs from program to program. Orders backwards in time are made with the other slacks.
ORDERS = ((0.5, True), (0.7, True), (1.4, True), (0.5, False))
JUSTIFIED = (0.7, 0.5, 1.0, 0.3)


def place_actions(
    flow: Flow, groups: GroupTable, arch: Arch, options: ScheduleOptions, images: int, *, repeated: bool
) -> Placed | None:
    """Order `images` copies of a flow and place their buffers; fewer where several would hold each other up.

    repeated: rounds follow each other, so that they may overlap. None when no order fits local memory.
    """
    known, pace = prepare(flow, groups, arch), Pace(options.SLACK_NS, options.LOOKAHEAD)
    best = _best_order(known, pace, replicate(flow, images), options.orders, repeated=repeated)
    if images > 1 and (best is None or not best.eager):
        # Short of memory: images that share it may take longer together than one after the other.
        best = _quicker(best, _best_order(known, pace, replicate(flow, 1), options.orders, repeated=repeated))
    return best


def _best_order(known: Known, pace: Pace, actions: Actions, orders: int, *, repeated: bool) -> Placed | None:
    """The best of several orders of the same actions, or of rounds that overlap more and more."""
    best = fit(known, pace, actions, int(actions.rank.max()) + 1)
    if best is None:
        return None
    if repeated:
        return _overlapped(known, pace, best, orders)
    return _one_image(known, pace, best, orders) if best.eager and orders > 1 else best


def _one_image(known: Known, pace: Pace, listed: Placed, orders: int) -> Placed:
    """The best of `listed` and of orders in which actions take gaps. They begin with the best list order, backwards."""
    actions, claims, many = listed.actions, claims_of(known, listed.actions), orders > FEW
    if many:
        listed = _listed(known, pace, claims, listed, orders - 1)
    best = listed
    for turn in range(orders // 2):
        slack = pace._replace(slack_ns=JUSTIFIED[turn % len(JUSTIFIED)] * pace.slack_ns)
        again = _backwards(known, slack, listed)
        best = _quicker(best, _inserted(known, claims, again, turns=int(many))) or best
        if many:
            listed = _quicker(listed, fit(known, slack, again, len(again.rank), LOOKAHEADS[:1])) or listed
    if many:
        best = _quicker(best, _inserted(known, claims, actions, orders // 2)) or best
    return _quicker(listed, best) or best


def _listed(known: Known, pace: Pace, claims: Claims, best: Placed, orders: int) -> Placed:
    """The best of `best` and of list orders with other slacks, by rows and by what follows an action."""
    actions, urgent = best.actions, _by_tail(best.actions, claims.done_ns)
    for factor, by_tail in ORDERS[:orders]:
        slack = pace._replace(slack_ns=factor * pace.slack_ns)
        ranked, span = (urgent, len(actions.core)) if by_tail else (actions, int(actions.rank.max()) + 1)
        best = _quicker(best, fit(known, slack, ranked, span, LOOKAHEADS[:1])) or best
    return best


def _inserted(known: Known, claims: Claims, actions: Actions, turns: int) -> Placed | None:
    """The best of orders in which one action after the other takes the first gap that is long enough on all machines it
    needs: by rank, and then, turn by turn, backwards in time what ended last first, and forwards again. None if none
    fits local memory.

    Serial schedule generation (R. Kolisch, EJOR 1996) with justification (V. Valls, F. Ballestin, S. Quintanilla, EJOR
    2005).
    """
    count, length_ns = len(actions.core), claims.done_ns
    ahead = _followers(actions.edges, count)
    behind = _followers(Edges(actions.edges.after, actions.edges.before), count)
    _, tail_ns = longest_paths(*ahead, length_ns)
    start = insertion_starts(np.lexsort((-tail_ns, actions.rank)), claims, ahead)
    best = _in_turn(known, actions, start)
    for _ in range(turns):
        latest = insertion_starts(np.argsort(-(start + length_ns), kind="stable"), claims, behind)
        start = insertion_starts(np.argsort(-(latest + length_ns), kind="stable"), claims, ahead)
        best = _quicker(best, _in_turn(known, actions, start))
    return best


def _in_turn(known: Known, actions: Actions, start: DoubleArray) -> Placed | None:
    """Actions in the order of these starts; None if their buffers do not fit local memory."""
    order = np.argsort(start, kind="stable")
    address, peak = place_buffers(known, actions, order)
    if peak.max() > known.arch.local_memory_bytes:
        return None
    timed = in_rounds(known, actions, order, rounds=1)
    return Placed(actions, len(actions.number), address, peak, timed, eager=True)


def _overlapped(known: Known, pace: Pace, first: Placed, orders: int) -> Placed:
    """The best of rounds that overlap, and of `first`, in which they do not."""
    claims = claims_of(known, first.actions)
    best = _rotated(known, pace, claims, first, ROTATIONS - 1 + orders)
    best = _justified(known, pace, best, orders // 2)
    return _folded(known, claims, first, best) if orders > 1 else best


def _justified(known: Known, pace: Pace, best: Placed, turns: int) -> Placed:
    """The best of that order and, turn by turn, two from an order backwards in time, in which what came last is ordered
    first: that one reversed, and one that goes by it but may run ahead (V. Valls, F. Ballestin, S. Quintanilla, EJOR
    2005)."""
    for turn in range(turns):
        slack = pace._replace(slack_ns=JUSTIFIED[turn % len(JUSTIFIED)] * pace.slack_ns)
        again = _backwards(known, slack, best)
        for span in (0, len(again.rank)):
            best = _quicker(best, fit(known, slack, again, span, LOOKAHEADS[:1])) or best
    return best


def _backwards(known: Known, pace: Pace, placed: Placed) -> Actions:
    """The actions ranked as in an order backwards in time, in which what came last is ordered first."""
    actions = placed.actions
    edges = Edges(actions.edges.after, actions.edges.before)
    by_source = np.argsort(edges.before, kind="stable")
    rank = positions(np.argsort(-placed.timed.start, kind="stable"))
    backwards = replace(actions, rank=rank, edges=select(edges, by_source))
    return replace(actions, rank=positions(list_order(known, backwards, pace.slack_ns, len(rank)).order[::-1]))


def _rotated(known: Known, pace: Pace, claims: Claims, best: Placed, rotations: int) -> Placed:
    """Rounds that overlap more with every rotation; the best of them and the one that is given."""
    actions = best.actions
    span, kind = int(actions.rank.max()) + 1, kinds_of(known.flow, actions)
    turns = Turns(actions.edges, known.touches, actions.number, (kind == LOAD) | (kind == CONST), kind == STORE)
    busy_ns = least_period_ns(claims)
    found, roomy = best, True
    for _ in range(rotations):
        stage = rotated(turns, found.actions.stage, found.timed.start >= KEPT * busy_ns)
        edges = edges_within(turns, stage)
        edges = select(edges, np.argsort(edges.before, kind="stable"))
        # Those of the rounds before come first.
        staged = replace(actions, rank=actions.rank + (LAST_STAGE - stage) * span, edges=edges, stage=stage)
        urgent = fit(known, pace, _by_tail(staged, claims.done_ns), len(stage), LOOKAHEADS[:1]) if roomy else None
        roomy = urgent is not None
        placed = urgent or fit(known, pace, staged, span)
        if placed is None:
            break
        found, best = placed, _quicker(best, placed) or placed
    return best


def _folded(known: Known, claims: Claims, first: Placed, best: Placed) -> Placed:
    """The better of `best` and modulo schedules that follow the order `first`, in which rounds do not overlap."""
    actions, buffers, busy_ns = first.actions, len(known.flow.buffers.core), least_period_ns(claims)
    images, kind = len(actions.number), kinds_of(known.flow, actions)
    followers = _followers(actions.edges, len(kind))
    user = actions.number[:, known.touches[:, 1]]
    buffer = known.touches[:, 0] + np.arange(images)[:, None] * buffers
    by_user = np.argsort(user, axis=None, kind="stable")
    uses = Uses(np.searchsorted(user.ravel()[by_user], np.arange(len(kind) + 1)), buffer.ravel()[by_user])
    in_turn, ends = positions(first.timed.order), (kind == LOAD, kind == STORE)

    def place(period_ns: float) -> Placed | None:
        start = modulo_starts(first.timed.order, claims, followers, uses, ends, period_ns, first.timed.start)
        if start is None:
            return None
        stage = (start // period_ns).astype(np.int64)
        staged, order = replace(actions, stage=stage), np.lexsort((in_turn, start, start - stage * period_ns))
        address, peak = place_buffers(known, staged, order)
        if peak.max() > known.arch.local_memory_bytes:
            return None
        return replace(first, actions=staged, address=address, peak=peak, timed=in_rounds(known, staged, order))

    fails, spare, found = 0.0, SPARE, None
    while found is None and busy_ns * (1 + spare) < best.timed.makespan_ns:
        found = place(busy_ns * (1 + spare))
        fails, spare = (fails, spare) if found else (spare, 2 * spare)
    best = _quicker(best, found) or best
    for _ in range(HALVINGS if found else 0):
        middle = (fails + spare) / 2
        found = place(busy_ns * (1 + middle))
        fails, spare = (fails, middle) if found else (middle, spare)
        best = _quicker(best, found) or best
    return best


def _followers(edges: Edges, actions: int) -> Followers:
    """What waits for each action; edges in any order."""
    by_source = np.argsort(edges.before, kind="stable")
    return Followers(np.searchsorted(edges.before[by_source], np.arange(actions + 1)), edges.after[by_source])


def _by_tail(actions: Actions, lengths_ns: DoubleArray) -> Actions:
    """Those actions ranked by the longest path that follows: quicker, but more is in memory together."""
    _, tail = longest_paths(*_followers(actions.edges, len(actions.core)), lengths_ns)
    return replace(actions, rank=positions(np.lexsort((actions.rank, -tail))))


def _quicker(best: Placed | None, other: Placed | None) -> Placed | None:
    """The one that takes less time per image, `best` among equals."""
    return other if best is None or (other is not None and other.image_ns < best.image_ns) else best


def place_with_spills(
    flow: Flow, groups: GroupTable, arch: Arch, options: ScheduleOptions, images: int, global_start: int
) -> Placed | None:
    """Order `images` copies of a flow or one; buffers that find no room wait in global memory, from byte `global_start`
    on. With `options.orders` 1, only one order is tried.

    None when `least_memory` is not there.
    """
    if least_memory(flow, groups, arch)[0] > arch.local_memory_bytes:
        return None
    known = prepare(flow, groups, arch)
    tries = [(fraction, images) for fraction in SPILL_LOOKAHEADS] + [(SPILL_LOOKAHEADS[0], 1)] * (images > 1)
    best: Placed | None = None
    for fraction, count in tries[: options.orders]:
        actions = replicate(flow, count)
        window = int((int(actions.rank.max()) + 1) * options.LOOKAHEAD * fraction) + 1
        timed = list_order(known, actions, options.SLACK_NS, window)
        address, peak = place_buffers(known, actions, timed.order)
        over = peak > arch.local_memory_bytes
        touches = buffer_touches(flow, known.extents, positions(timed.order)[actions.number], over)
        limit, gap = arch.local_memory_bytes, arch.element_bytes
        spilled = spill(flow, count, touches, above(known.scratch, arch), limit, gap, global_start)
        # The memory serves one request after the other, and whoever asks waits.
        waiting_ns = added_service_ns(spilled.added.op, spilled.added.size, arch)
        peak = np.where(over, spilled.peak, peak)
        best = _quicker(best, Placed(actions, count, address, peak, timed, False, spilled, waiting_ns))
    return best
