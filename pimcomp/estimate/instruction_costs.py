"""Time and energy of the instructions that a task consists of, before there is a program (docs/timing.md)."""

from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np

from pimcomp.ir.arch import Arch, Count
from pimcomp.ir.graph import ActivationKind, Conv, Crop, Eltwise, Graph, Input, Lrn, Node, Pick, Pool, Standalone
from pimcomp.schedule.constants import is_mean
from pimcomp.schedule.durations import OVERHEAD_CYCLES

Amount = Any  # float, or float64 with one value per element of what was asked about

LRN_TERMS = 6  # polynomial coefficients of a typical fit (schedule/constants.py)


@dataclass(frozen=True, slots=True)
class InstructionCost:
    """Issue time of a core, and dynamic energy: of one instruction, or arrays of one value per instruction."""

    ns: Amount = 0.0
    pj: Amount = 0.0

    def __add__(self, other: "InstructionCost") -> "InstructionCost":
        return InstructionCost(self.ns + other.ns, self.pj + other.pj)

    def __mul__(self, times: float) -> "InstructionCost":
        return InstructionCost(self.ns * times, self.pj * times)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrice:
    """Vector work of a node: per segment, per output pixel, and instructions that take a segment as one vector.

    one_operand, two_operand: over its output elements. window_rows: two-operand ones over its input columns.
    constants: elements that a core keeps for it.
    """

    fixed: InstructionCost = InstructionCost()
    pixel: InstructionCost = InstructionCost()
    one_operand: int = 0
    two_operand: int = 0
    window_rows: int = 0
    constants: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What instructions cost on a chip."""

    arch: Arch

    @property
    def instruction_ns(self) -> float:
        """Dispatch, retirement and register loads of one instruction."""
        return OVERHEAD_CYCLES * self.arch.core_period_ns

    @property
    def instruction_pj(self) -> float:
        """Front end of one instruction: one evaluation of each counter."""
        arch = self.arch
        power_mw = arch.fetch_dynamic_mw + arch.decode_dynamic_mw + arch.decode_offset_dynamic_mw
        return arch.core_period_ns * (power_mw + arch.reg_file_read_mw)

    @property
    def vector_beat_pj(self) -> float:
        """One beat of the vector unit; the simulator charges two register reads for one operand too."""
        return self.arch.vector_alu_pj + 2 * self.arch.vector_reg_read_pj + self.arch.vector_reg_write_pj

    def vector(self, elements: Count, operands: int) -> InstructionCost:
        """A vector instruction."""
        arch = self.arch
        beats = -(-elements * arch.element_bytes // arch.local_width_bytes)
        memory_pj = beats * (operands * arch.local_read_pj + arch.local_write_pj)
        unit_pj = -(-elements // arch.vector_width) * self.vector_beat_pj
        return InstructionCost(
            arch.vector_ns(elements, operands) + self.instruction_ns, memory_pj + unit_pj + self.instruction_pj
        )

    def copy(self, elements: Count) -> InstructionCost:
        """An `lmv`."""
        arch = self.arch
        beats = -(-elements * arch.element_bytes // arch.local_width_bytes)
        cycles = arch.local_read_cycles + arch.local_write_cycles
        return InstructionCost(
            beats * cycles * arch.local_period_ns + self.instruction_ns,
            beats * (arch.local_read_pj + arch.local_write_pj) + self.instruction_pj,
        )

    def fire(self, crossbars: Count, crossbar_pj: float) -> InstructionCost:
        """One `mvmul` of an array group."""
        arch = self.arch
        read = -(-8 * arch.crossbar_rows * arch.element_bytes // arch.local_width_bytes)  # 8: the simulator's
        write = -(-arch.weight_cols * arch.element_bytes * crossbars // arch.local_width_bytes)
        memory_pj = read * arch.local_read_pj + write * arch.local_write_pj
        return InstructionCost(
            arch.mvm_ns(crossbars) + self.instruction_ns, crossbars * crossbar_pj + memory_pj + self.instruction_pj
        )

    def node(self, graph: Graph, index: int, weighted: bool) -> NodePrice:
        """Vector work of a node: of a weighted layer what follows its sums."""
        node = graph.nodes[index]
        own = self._operation(graph, index, weighted)
        one, pixel, constants = self._activation(node)
        return NodePrice(
            fixed=own.fixed,
            pixel=own.pixel + pixel,
            one_operand=own.one_operand + one,
            two_operand=own.two_operand,
            window_rows=own.window_rows,
            constants=own.constants + constants,
        )

    def _operation(self, graph: Graph, index: int, weighted: bool) -> NodePrice:
        node = graph.nodes[index]
        operation, channels = node.operation, node.channels
        both, copy = self.vector(channels, 2), self.copy(channels)
        match operation:
            case Conv():
                biased = operation.bias is not None and bool(np.any(operation.bias))
                taps = 0 if weighted else int(np.prod(operation.window.kernel))  # on the vector unit: multiply and add
                elements = channels * (taps + biased)
                return NodePrice(pixel=both * (2 * taps + biased), constants=elements)
            case Eltwise():
                if _whole(graph, node):
                    return NodePrice(two_operand=len(node.inputs) - 1)
                return NodePrice(pixel=both * (len(node.inputs) - 1), one_operand=1)
            case Pool():
                return self._pool(graph, index, operation)
            case Lrn():
                return NodePrice(pixel=both * (operation.size + 2 * LRN_TERMS), constants=LRN_TERMS * channels)
            case Input():
                return NodePrice()
            case Crop() | Pick():
                return NodePrice(pixel=copy)
            case Standalone():
                gathered = len(np.unique(node.inputs[0].sources)) > 1
                return NodePrice(pixel=copy) if gathered else NodePrice(one_operand=1)
            case _:
                assert_never(operation)

    def _pool(self, graph: Graph, index: int, pool: Pool) -> NodePrice:
        node = graph.nodes[index]
        rows, columns = pool.window.kernel
        if is_mean(graph, index):
            gather = self.copy(columns * node.channels) * rows
            return NodePrice(fixed=gather + self.vector(rows * columns, 1) * node.channels)
        both = self.vector(node.channels, 2)
        pixel = both * (columns - 1) if columns > 1 else self.copy(node.channels)
        average = pool.method == "avg"
        return NodePrice(
            pixel=pixel + both if average else pixel,
            window_rows=rows - 1,
            constants=node.channels if average else 0,
        )

    def _activation(self, node: Node) -> tuple[int, InstructionCost, int]:
        """(instructions over whole segments, cost per pixel, constant elements) of a node's activation."""
        activation, kinds, none = node.activation, ActivationKind, InstructionCost()
        if activation is None:
            return 0, none, 0
        if activation.kind in (kinds.RELU, kinds.SIGMOID, kinds.TANH):
            return 1, none, 0
        if activation.kind is kinds.CLIP:
            return int(np.isfinite(activation.low)) + int(np.isfinite(activation.high)), none, 0
        both = self.vector(node.channels, 2)
        if activation.kind is kinds.LEAKY_RELU:
            return 0, both * 2, node.channels
        return 0, both * 3 + self.vector(node.channels, 1) * 2, 2 * node.channels


def _whole(graph: Graph, node: Node) -> bool:
    """Whether every operand is one feature map as it is, so that segments are processed as one vector."""
    for view in node.inputs:
        source = graph.nodes[int(view.sources[0])]
        same = (source.channels, source.height, source.width) == (node.channels, node.height, node.width)
        if not same or len(np.unique(view.sources)) > 1 or not np.array_equal(view.channels, np.arange(node.channels)):
            return False
    return True
