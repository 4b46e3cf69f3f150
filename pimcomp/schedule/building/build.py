"""From sites to work: tasks, what they read, and the partial sums that travel between the cores of a site."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import Loaded, on_crossbars
from pimcomp.schedule.building.conv import conv_site
from pimcomp.schedule.building.ledger import Ledger
from pimcomp.schedule.building.scatter import exchange, scatter_site, shared_site
from pimcomp.schedule.building.vector import vector_nodes, vector_tasks
from pimcomp.schedule.constants import Constants
from pimcomp.schedule.emission.conv import ConvTasks, JoinTasks
from pimcomp.schedule.emission.reader import Run, VectorNodes
from pimcomp.schedule.emission.scatter import Contributions, ScatterTasks
from pimcomp.schedule.emission.templates import Templates, join_templates
from pimcomp.schedule.emission.vector import VectorTasks
from pimcomp.schedule.work import (
    CONST,
    LOAD,
    STORE,
    Accesses,
    Edges,
    LongArray,
    MapSegments,
    PartSums,
    Sums,
    SumTransfers,
    Tasks,
    same,
    select,
)


@dataclass(frozen=True, slots=True, eq=False)
class TaskWork:
    """Everything one image needs, before transfers between row buffers are known.

    The last tasks load the constants of a node to a core, one each; constant_of: which of them every task uses, from 0
    (-1: none).
    """

    tasks: Tasks
    constant_tasks: int
    constant_of: LongArray
    segments: MapSegments
    reads: Accesses
    sums: Sums
    sum_transfers: SumTransfers
    edges: Edges
    conv: ConvTasks
    join: JoinTasks
    part_sums: PartSums
    scatter: ScatterTasks
    contributions: Contributions
    vector: VectorTasks
    vector_nodes: VectorNodes
    templates: Templates


def build_work(ledger: Ledger, constants: Constants, scratch_bytes: int) -> TaskWork:
    """Visit all nodes and outputs, then add what loads constants. scratch_bytes: what a mean may gather."""
    graph, placed = ledger.graph, ledger.placed
    runs: dict[int, list[Run]] = {}
    for index, node in enumerate(graph.nodes):
        segments = placed[index].segments
        numbers = np.arange(ledger.segment_start[index], ledger.segment_start[index + 1])
        if on_crossbars(node.operation):
            _weighted(ledger, index, numbers)
        elif isinstance(node.operation, Loaded):
            ledger.final_task[numbers] = ledger.add_tasks(LOAD, index, segments, segments.owner, out=numbers)
        else:
            runs[index] = vector_tasks(ledger, index, segments, numbers)
    for source in graph.stored():
        s = placed[source].segments
        task = ledger.add_tasks(STORE, source, s, s.owner)
        ledger.reads.add(Accesses(task, s.owner, same(source, task), s.row, s.start, s.stop, same(1, task)))
    return _frozen(ledger, constants, vector_nodes(ledger, constants, runs, scratch_bytes))


def _weighted(ledger: Ledger, index: int, numbers: LongArray) -> None:
    placed = ledger.placed[index]
    order = np.argsort(placed.segments.site, kind="stable")
    cuts = np.searchsorted(placed.segments.site[order], np.arange(len(placed.sites) + 1))
    halves = []
    for number, (site, a, b) in enumerate(zip(placed.sites, cuts, cuts[1:], strict=False)):
        chosen = order[a:b]
        if not len(chosen):
            continue
        segments, own = select(placed.segments, chosen), numbers[chosen]
        if placed.shares is not None:
            halves.append(shared_site(ledger, index, site, segments, own, placed.shares[number]))
        elif ledger.matrix(index)[0].unfolding.scatter:
            scatter_site(ledger, index, site, segments, own)
        else:
            conv_site(ledger, index, site, segments, own)
    exchange(ledger, index, halves)


def _frozen(ledger: Ledger, constants: Constants, nodes: VectorNodes) -> TaskWork:
    tasks, contributions = ledger.tasks.joined(), ledger.contributions.joined()
    uses = _finishes(tasks, contributions) & np.array([len(v) > 0 for v in constants.vectors])[tasks.node]
    pairs = np.stack([tasks.core, tasks.node], axis=1)[uses]
    pairs, inverse = np.unique(pairs, axis=0, return_inverse=True)
    core, node = pairs.T
    none = same(0, core)
    ledger.tasks.add(Tasks(same(CONST, core), node, core, none, none, none, none, same(-1, core)))
    constant_of = np.full(ledger.tasks.rows, -1, dtype=np.int64)
    constant_of[np.flatnonzero(uses)] = inverse.ravel()
    tasks = ledger.tasks.joined()
    return TaskWork(
        tasks=tasks,
        constant_tasks=len(core),
        constant_of=constant_of,
        segments=_map_segments(ledger, tasks),
        reads=ledger.reads.joined(),
        sums=ledger.sums.joined(),
        sum_transfers=ledger.sum_transfers.joined(),
        edges=ledger.edges.joined(),
        conv=ledger.conv.joined(),
        join=ledger.join.joined(),
        part_sums=ledger.part_sums.joined(),
        scatter=ledger.scatter.joined(),
        contributions=contributions,
        vector=ledger.vector.joined(),
        vector_nodes=nodes,
        templates=join_templates(
            ledger.graph, ledger.templates, ledger.template_nodes, ledger.group_numbers, ledger.element_bytes
        ),
    )


def _finishes(tasks: Tasks, contributions: Contributions) -> npt.NDArray[np.bool_]:
    """Tasks that complete a result that is not loaded."""
    finishes: npt.NDArray[np.bool_] = tasks.out >= 0
    finishes[contributions.task[(contributions.last > 0) & (contributions.segment >= 0)]] = True
    finishes[tasks.kind == LOAD] = False
    return finishes


def _map_segments(ledger: Ledger, tasks: Tasks) -> MapSegments:
    parts, final = [p.segments for p in ledger.placed], ledger.final_task
    node = np.repeat(np.arange(len(parts)), [len(s.row) for s in parts])
    row, low, high = (np.concatenate(c).astype(np.int64) for c in list(zip(*parts, strict=True))[:3])
    return MapSegments(node, row, low, high, np.minimum(low, tasks.start[final]), tasks.core[final], final)
