"""Work of a site that gathers: every core fires its array groups; partial sums are added towards the head."""

import numpy as np

from pimcomp.schedule.building.ledger import Ledger, chain, members_of
from pimcomp.schedule.emission.conv import ConvTasks, JoinTasks
from pimcomp.schedule.emission.templates import SLOT_FIRST, SLOT_LAST, SLOT_ROW, SLOT_SOURCE, ConvTemplate
from pimcomp.schedule.sites import Segments, Site, cut_segments
from pimcomp.schedule.work import CONV, FLAT_JOIN, JOIN, Accesses, Edges, LongArray, PartSums, Sums, SumTransfers, same


def conv_site(ledger: Ledger, node: int, site: Site, s: Segments, numbers: LongArray) -> None:
    """Tasks of one site for its segments `s` of a node, which are `numbers` among all segments."""
    matrix, _ = ledger.matrix(node)
    block, members = matrix.unfolding.block, members_of(site)
    start = np.maximum(np.minimum(s.start, s.stop - block), 0).astype(np.int64)
    size = (s.stop - start) * ledger.graph.nodes[node].channels * ledger.element_bytes
    chunks, segment, last = cut_segments(s, ledger.options.TASK_BLOCKS * block)
    chunk_start = np.maximum(np.minimum(chunks.start, chunks.stop - block), 0)
    alone = len(members) == 1
    fired, totals = [], []
    for core in members:
        number, template, first = ledger.template(node, site, core)
        cores = same(core, segment)
        task = ledger.add_tasks(CONV, node, chunks, cores, chunk_start, numbers[segment] if alone else None)
        ledger.edges.add(chain(task, segment[1:] == segment[:-1]))
        total = same(-1, s.row) if alone else ledger.sums.add(Sums(same(core, size), size))
        reads = _reads(ledger, node, template, chunks, chunk_start, task, cores)
        turn = chunks.row + chunks.start // block
        fixed = (same(first, task), same(len(site.replicas), task), turn)
        ledger.conv.add(ConvTasks(task, same(number, task), start[segment], reads, total[segment], *fixed))
        fired.append(task[last])
        totals.append(total)
    if alone:
        ledger.final_task[numbers] = fired[0]
    else:
        ledger.final_task[numbers] = add_up(ledger, node, members, s, start, numbers, fired, totals)


def _reads(
    ledger: Ledger, node: int, template: ConvTemplate, s: Segments, start: LongArray, task: LongArray, core: LongArray
) -> LongArray:
    """What tasks that begin at columns `start` read by a template; the first read of each."""
    window = ledger.matrix(node)[1].window
    slots = template.slots
    base_row = s.row.astype(np.int64) * window.stride[0] - window.pads[0]
    base_column = start * window.stride[1] - window.pads[1]
    last_column = (s.stop - template.block) * window.stride[1] - window.pads[1]
    source = slots[:, SLOT_SOURCE]
    heights = np.array([ledger.graph.nodes[t].height for t in source])
    reads = ledger.reads.add(
        Accesses(
            task=np.repeat(task, len(slots)),
            core=np.repeat(core, len(slots)),
            tensor=np.tile(source, len(task)),
            row=np.clip(base_row[:, None] + slots[:, SLOT_ROW], -1, heights).ravel(),
            low=(base_column[:, None] + slots[:, SLOT_FIRST]).ravel(),
            high=(last_column[:, None] + slots[:, SLOT_LAST] + 1).ravel(),
            valid=np.ones(len(task) * len(slots), np.int64),
        )
    )
    return reads[:: len(slots)]


def add_up(
    ledger: Ledger,
    node: int,
    members: list[int],
    s: Segments,
    start: LongArray,
    numbers: LongArray | None,
    fired: list[LongArray],
    totals: list[LongArray],
) -> LongArray:
    """Joins of a site's partial sums; the last one of every segment. Per member: `fired` last task and `totals` sum of
    every segment. numbers: of the segments that these sums are the results of; None if something is still to be added.
    """
    size = (s.stop - start) * ledger.graph.nodes[node].channels * ledger.element_bytes
    parent = [0 if len(members) <= FLAT_JOIN else (i - 1) // 2 for i in range(len(members))]
    done = list(fired)
    for i in reversed(range(len(members))):
        children = [j for j in range(1, len(members)) if parent[j] == i]
        if not children:
            continue
        core = same(members[i], size)
        task = ledger.add_tasks(JOIN, node, s, core, start, numbers if i == 0 else None)
        ledger.edges.add(Edges(fired[i], task))
        parts = []
        for j in children:
            part = ledger.sums.add(Sums(core, size))
            ledger.sum_transfers.add(SumTransfers(totals[j], same(0, size), part, done[j], task, size))
            parts.append(PartSums(part, same(0, size), same(0, size), size // ledger.element_bytes))
        add_parts(ledger, task, totals[i], same(0, task), parts)
        done[i] = task
    return done[0]


def add_parts(ledger: Ledger, task: LongArray, total: LongArray, skip: LongArray, parts: list[PartSums]) -> None:
    """Joins `task` that add parts, one entry of each per join, to `total` from byte `skip` on."""
    by_join = PartSums._make(np.stack(column, axis=1).ravel() for column in zip(*parts, strict=True))
    first = ledger.part_sums.add(by_join)[:: len(parts)]
    ledger.join.add(JoinTasks(task, total, skip, first, same(len(parts), task)))
