"""Time and energy of the instructions that a task consists of, before there is a program (docs/timing.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, assert_never

import numpy as np

from pimcomp.ir.arch import Arch, Count
from pimcomp.ir.graph import (
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Fixed,
    Graph,
    Input,
    Lrn,
    Node,
    Normalise,
    Pick,
    Pool,
    Product,
    Softmax,
    Standalone,
    Turn,
)
from pimcomp.schedule.constants import ERF_TERMS, fit_lrn, is_mean
from pimcomp.schedule.ordering.durations import LEAST_OVERHEAD_CYCLES

Amount = Any  # float, or float64 with one value per element of what was asked about

LRN_TERMS = 6  # coefficients of a typical polynomial, where the range of the data is not known (schedule/constants.py)
REGISTER_LOADS = 0.45  # `sldi` per instruction of a compiled program, each a cycle
Ranges = Mapping[int, float]  # of the data, per node: see `proof/calibrate.py`


@dataclass(frozen=True, slots=True)
class InstructionCost:
    """Issue time of a core, and dynamic energy: of one instruction, or arrays of one value per instruction."""

    ns: Amount = 0.0
    pj: Amount = 0.0

    def __add__(self, other: "InstructionCost") -> "InstructionCost":
        return InstructionCost(self.ns + other.ns, self.pj + other.pj)

    def __mul__(self, times: float) -> "InstructionCost":
        return InstructionCost(self.ns * times, self.pj * times)


class NodeWork(NamedTuple):
    """Vector work of a node in instructions, whatever they cost.

    two, one, copies: instructions of two and one operand and copies per output pixel, over its channels. Per segment:
    gathers (copies of `gathered` elements) and means (one operand, over `averaged` elements). Instructions that take a
    segment as one vector: one_operand and two_operand over its output elements, window_rows (two operands) over its
    input columns, once per source. more_runs: pieces beside the first that instructions of two operands take a pixel
    in. dots: inner products of `dotted` elements per output pixel. constants: elements that a core keeps for
    it.
    """

    two: int = 0
    one: int = 0
    copies: int = 0
    gathers: int = 0
    gathered: int = 0
    means: int = 0
    averaged: int = 0
    one_operand: int = 0
    two_operand: int = 0
    window_rows: int = 0
    more_runs: int = 0
    dots: int = 0
    dotted: int = 0
    constants: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What instructions cost on a chip."""

    arch: Arch

    @property
    def instruction_ns(self) -> float:
        """Dispatch, retirement and register loads of one instruction."""
        return (LEAST_OVERHEAD_CYCLES + REGISTER_LOADS) * self.arch.core_period_ns

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

    def fire(
        self, crossbars: Count, weight_bits: Count, activation_bits: Count, crossbar_pj: Amount
    ) -> InstructionCost:
        """One `mvmul` of an array group: the bits are those of `Arch.mvm_ns`."""
        arch = self.arch
        read = -(-8 * arch.crossbar_rows * arch.element_bytes // arch.local_width_bytes)  # 8: the simulator's
        write = -(-arch.weight_cols_at(weight_bits) * arch.element_bytes * crossbars // arch.local_width_bytes)
        memory_pj = read * arch.local_read_pj + write * arch.local_write_pj
        return InstructionCost(
            arch.mvm_ns(crossbars, weight_bits, activation_bits) + self.instruction_ns + arch.core_period_ns,
            crossbars * crossbar_pj + memory_pj + self.instruction_pj,
        )


def node_work(graph: Graph, index: int, weighted: bool, ranges: Ranges) -> NodeWork:
    """Vector work of a node: of a weighted layer what follows its sums."""
    own, activation = _operation(graph, index, weighted, ranges), _activation(graph.nodes[index])
    return NodeWork(*(a + b for a, b in zip(own, activation, strict=True)))


def _operation(graph: Graph, index: int, weighted: bool, ranges: Ranges) -> NodeWork:
    node = graph.nodes[index]
    operation, channels = node.operation, node.channels
    match operation:
        case Conv():
            biased = operation.bias is not None and bool(np.any(operation.bias))
            taps = 0 if weighted else int(np.prod(operation.window.kernel))  # on the vector unit: multiply and add
            return NodeWork(two=2 * taps + biased, constants=channels * (taps + biased))
        case Eltwise():
            if _whole(graph, node):
                return NodeWork(two_operand=len(node.inputs) - 1)
            return NodeWork(two=len(node.inputs) - 1, one_operand=1)
        case Pool():
            return _pool(graph, index, operation)
        case Lrn():
            terms = len(fit_lrn(operation, ranges[index])) if index in ranges else LRN_TERMS
            return NodeWork(two=operation.size + 2 * terms - 1, constants=terms * channels)
        case Softmax() | Normalise() | Product() | Turn():
            return _attention(node, operation)
        case Input() | Fixed():
            return NodeWork()
        case Crop() | Pick():
            return NodeWork(copies=1)
        case Standalone():
            gathered = len(node.inputs[0].nodes) > 1
            return NodeWork(copies=1) if gathered else NodeWork(one_operand=1)
        case _:
            assert_never(operation)


def _attention(node: Node, operation: Softmax | Normalise | Product | Turn) -> NodeWork:
    """Iterations on one number per pixel are shared by pixels and not counted."""
    match operation:
        case Softmax():
            return NodeWork(two=14, one=4, copies=1, constants=2 * node.width)
        case Normalise():
            return NodeWork(two=4, one=3, copies=1, constants=4 * node.width)
        case Product():
            return NodeWork(dots=node.channels, dotted=len(node.inputs[0].channels))
        case Turn():
            return NodeWork(one=1)
        case _:
            assert_never(operation)


def _pool(graph: Graph, index: int, pool: Pool) -> NodeWork:
    channels, (rows, columns) = graph.nodes[index].channels, pool.window.kernel
    view = graph.nodes[index].inputs[0]
    if is_mean(graph, index):
        return NodeWork(gathers=rows, gathered=columns * channels, means=channels, averaged=rows * columns)
    average = pool.method == "avg"
    return NodeWork(
        two=columns - 1 + average,
        copies=int(columns == 1),
        window_rows=rows - 1,
        more_runs=max(view.runs.shape[1] - 1, 0),
        constants=channels if average else 0,
    )


def _activation(node: Node) -> NodeWork:
    activation, kinds = node.activation, ActivationKind
    if activation is None:
        return NodeWork()
    if activation.kind in (kinds.RELU, kinds.SIGMOID, kinds.TANH):
        return NodeWork(one_operand=1)
    if activation.kind is kinds.CLIP:
        return NodeWork(one_operand=int(np.isfinite(activation.low)) + int(np.isfinite(activation.high)))
    if activation.kind is kinds.LEAKY_RELU:
        return NodeWork(two=2, constants=node.channels)
    if activation.kind in (kinds.ERF, kinds.GELU):
        return NodeWork(two=10 + (activation.kind is kinds.GELU), one=1, constants=len(ERF_TERMS))
    return NodeWork(two=3, one=2, constants=2 * node.channels)


def _whole(graph: Graph, node: Node) -> bool:
    """Whether every operand is one feature map as it is, so that segments are processed as one vector."""
    for view in node.inputs:
        source = graph.nodes[int(view.sources[0])]
        same = (source.channels, source.height, source.width) == (node.channels, node.height, node.width)
        if not same or view.runs[2:].T.tolist() != [[0, node.channels]]:
            return False
    return True
