"""Programs of plans: sites, work, flow, order, addresses and registers one after the other."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pimcomp.errors import CapacityError
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.graph import FloatArray, Graph
from pimcomp.ir.plan import Judgement, Pipeline, Plan
from pimcomp.ir.program import Checkpoints, Program
from pimcomp.ir.report import OrderBounds
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.isa.operands import mvm_input_bits
from pimcomp.isa.registers import assign_registers
from pimcomp.plan.partition import weights_of
from pimcomp.plan.rows import needed_rows, pull_order
from pimcomp.schedule.assemble import Assembled, assemble
from pimcomp.schedule.buffers import maps_of
from pimcomp.schedule.building.build import build_work
from pimcomp.schedule.building.groups import GroupTable, number_groups
from pimcomp.schedule.building.ledger import Ledger
from pimcomp.schedule.connect import Flow, connect
from pimcomp.schedule.constants import collect_constants
from pimcomp.schedule.global_layout import constant_image, global_layout, input_addresses, output_addresses
from pimcomp.schedule.ordering.critical import critical_share, layer_of_node
from pimcomp.schedule.ordering.durations import order_bounds
from pimcomp.schedule.ordering.order import place_actions, place_with_spills
from pimcomp.schedule.ordering.placing import Placed, least_memory
from pimcomp.schedule.sites import place_work

SPILLING_COST = 4  # how much longer it takes to order a program that spills, in units of the search's budget
NO_PROGRAM = 100_000  # the same for a plan that has no program
TRIAL_ORDERS = (2, 4)  # the option `orders` when a plan is judged: element, batch
ORDERED = (1, 5)  # orders that this makes, about
TRIAL_IMAGES = 2  # of a batch program that are ordered to judge a plan, at most
GATHERED, GATHERED_NARROW = 1 / 2, 1 / 8  # shares of local memory in which an average over a whole map gathers it


class Scheduler:
    """Makes programs of plans of one network on one chip, or tells what they would take.

    element: one image. batch: rounds of `options.images_per_round` images that overlap, so that cores idle for one
    image work for another. ranges: see `proof/calibrate.py`.
    """

    def __init__(
        self,
        graph: Graph,
        arch: Arch,
        partition: Partition,
        pipeline: Pipeline,
        options: ScheduleOptions,
        ranges: dict[int, float],
    ) -> None:
        self.graph, self.arch, self.partition, self.options = graph, arch, partition, options
        self.images = options.images_per_round if pipeline is Pipeline.BATCH else 1
        self.repeated = pipeline is Pipeline.BATCH
        self.needed = needed_rows(graph)
        self.pull = pull_order(graph, self.needed)
        self.constants = collect_constants(graph, arch.element_bytes, ranges)
        self.layout = global_layout(graph, self.constants, arch.element_bytes)
        self.layer_of_node = layer_of_node(graph, partition)
        self._best = _Judged(math.inf, None, {})
        self._made: _Ordered | None = None  # what the last program was made of

    def program(self, plan: Plan) -> Program:
        """Instruction streams of a plan.

        Raises CapacityError when local memory cannot hold the operands of one instruction.
        """
        graph, arch, eb = self.graph, self.arch, self.arch.element_bytes
        known = self._best.flows if plan is self._best.plan else {}
        groups, flow, placed = self._made = self._ordered(plan, self.options, self.images, known)
        assembled = assemble(flow, placed, self.layout, arch)
        images, table, start = assembled.images, assembled.table, assembled.core_start
        bits = groups.activation_bits.astype(np.int32)
        constant_addresses, constant_values = constant_image(graph, self.constants, self.layout, eb)
        return Program(
            cores=arch.total_cores,
            element_bytes=eb,
            table=table,
            core_start=start,
            registers=assign_registers(table, start, input_bits=mvm_input_bits(table, start, groups.start, bits)),
            group_start=groups.start,
            group_crossbars=groups.crossbars.astype(np.int32),
            group_weight_bits=groups.weight_bits.astype(np.int32),
            group_activation_bits=bits,
            group_matrix=groups.matrix.astype(np.int32),
            group_node=np.array(self.partition.nodes, dtype=np.int32)[groups.layer],
            matrices=_matrices(graph, self.partition, plan),
            constant_addresses=constant_addresses,
            constant_values=constant_values,
            inputs=input_addresses(graph, self.layout, eb, images),
            outputs=output_addresses(graph, self.layout, eb, images),
            clip_values=self.constants.clip_values,
            local_peak_bytes=assembled.peak_bytes,
            checkpoints=_checkpoints(flow, assembled, placed),
            node_names=tuple(node.name for node in graph.nodes),
            images_per_round=images,
            output_round_delay=placed.delay,
            spilled_bytes=placed.spilled.bytes if placed.spilled is not None else 0,
        )

    def judge(self, plan: Plan) -> Judgement:
        """What the program of a plan would take, by the list scheduler's estimate; it is not emitted.

        A layer's share is its part of the critical path. What was made of the best plan is kept for its program.
        """
        trial, flows = replace(self.options, orders=TRIAL_ORDERS[self.repeated]), dict[bool, Flow]()
        try:
            _, flow, placed = self._ordered(plan, trial, min(self.images, TRIAL_IMAGES), flows)
        except CapacityError:
            layers = len(self.partition.nodes)
            return Judgement(time_ns=math.inf, actions=NO_PROGRAM, share=np.zeros(layers))
        if placed.image_ns < self._best.time_ns:
            self._best = _Judged(placed.image_ns, plan, flows)
        share = critical_share(flow, placed, self.layer_of_node, len(self.partition.nodes))
        orders = ORDERED[self.repeated]
        actions = len(placed.actions.core) * (orders if placed.spilled is None else SPILLING_COST)
        return Judgement(time_ns=placed.image_ns, actions=actions, share=share)

    def order_bounds(self) -> OrderBounds:
        """What no order of the actions of the program that was made last can beat."""
        assert self._made is not None, "bounds of a program ask for one"
        groups, flow, placed = self._made
        return order_bounds(flow, groups, self.arch, placed.images)

    def _ordered(self, plan: Plan, options: ScheduleOptions, images: int, flows: dict[bool, Flow]) -> "_Ordered":
        """The order of a plan's actions, in which buffers wait in global memory if local memory is too small.

        flows: the plan's, without and with narrow segments, as far as they are known; completed.
        """
        groups = number_groups(self.partition, plan, self.arch.total_cores)
        flow = flows[False] = flows.get(False) or self._flow(plan, groups, self.arch, narrow=False)
        placed = place_actions(flow, groups, self.arch, options, images, repeated=self.repeated)
        if placed is not None and placed.eager:
            return _Ordered(groups, flow, placed)
        free = self.layout.first_image + self.layout.image_bytes * images
        cut = flows[True] = flows.get(True) or self._flow(plan, groups, self.arch, narrow=True)
        spilling = place_with_spills(cut, groups, self.arch, options, images, free)
        if spilling is not None and (placed is None or spilling.image_ns < placed.image_ns):
            return _Ordered(groups, cut, spilling)
        if placed is None:
            raise self._too_small(plan, groups)
        return _Ordered(groups, flow, placed)

    def _too_small(self, plan: Plan, groups: GroupTable) -> CapacityError:
        """Local memory cannot hold the operands of one instruction. The lever is a size that can: segments grow with
        the memory, so the bytes that are needed in this one may not do."""
        arch = self.arch
        while True:
            flow = self._flow(plan, groups, arch, narrow=True)
            needed, core = least_memory(flow, groups, arch)
            if needed <= arch.local_memory_bytes:
                name, enough = f"bytes of local memory on core {core}", arch.local_memory_bytes
                levers = [f"local_memory.bytes: {enough}"]
                return CapacityError(name, enough, self.arch.local_memory_bytes, levers, arch.name)
            arch = replace(arch, local_memory_bytes=needed)

    def _flow(self, plan: Plan, groups: GroupTable, arch: Arch, *, narrow: bool) -> Flow:
        """narrow: segments, hence sums and messages, are cut to a small share of local memory."""
        graph, eb, cores = self.graph, arch.element_bytes, arch.total_cores
        sites = place_work(graph, arch, self.partition, plan, self.options, self.needed, narrow=narrow)
        scratch = int((GATHERED_NARROW if narrow else GATHERED) * arch.local_memory_bytes)
        ledger = Ledger(graph, self.partition, sites, groups, eb, self.options)
        work = build_work(ledger, self.constants, scratch)
        return connect(work, maps_of(graph, eb), self.pull, self.constants, self.layout, eb, cores)


class _Judged(NamedTuple):
    """The plan that takes least time of those that were judged, and its flows: see `_ordered`."""

    time_ns: float
    plan: Plan | None
    flows: dict[bool, Flow]


class _Ordered(NamedTuple):
    """Who computes what, and when."""

    groups: GroupTable
    flow: Flow
    placed: Placed


def _matrices(graph: Graph, partition: Partition, plan: Plan) -> tuple[FloatArray, ...]:
    """Weight matrices of all array groups of the chosen options, shared by replicas."""
    chosen = [options[o] for options, o in zip(partition.options, plan.option, strict=True)]
    return tuple(weights_of(graph, matrix, group) for matrix in chosen for group in matrix.groups)


def _checkpoints(flow: Flow, assembled: Assembled, placed: Placed) -> Checkpoints:
    """Every segment of every feature map that is in memory as a whole right after the task that completes it."""
    segments = flow.segments
    address = assembled.address[:, flow.segment_buffer] + flow.segment_bytes[:, 0]
    if placed.spilled is not None:
        moved = placed.spilled.spilling[segments.owner]
        address = np.where(moved, placed.spilled.complete, address)
    image, seen = np.nonzero(address >= 0)
    return Checkpoints(
        after=assembled.last_row[image, segments.final[seen]],
        node=segments.node[seen].astype(np.int32),
        image=image.astype(np.int32),
        row=segments.row[seen].astype(np.int32),
        col_start=segments.low[seen].astype(np.int32),
        col_stop=segments.high[seen].astype(np.int32),
        address=address[image, seen],
    )
