"""A whole compile made by hand: one convolution, two replicas, a program that need not compute it."""

import numpy as np

from pimcomp.ir.array_group import ArrayGroup, LayerMatrix, Partition, Unfolding
from pimcomp.ir.compiled import Compiled, Provenance
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Graph, Input, Node, Output, View, Window
from pimcomp.ir.plan import Layer, LayerOption, MappingProblem, Outcome, Pipeline, Plan, Status
from pimcomp.ir.program import Program
from pimcomp.ir.report import Bounds, Energy, OrderBounds, Timing
from pimcomp.plan.unfoldings import unfoldings_of
from tests.emit.programs import random_program, small_arch


def small_compiled(program: Program | None = None) -> Compiled:
    """Everything the emitters look at, consistent where they look."""
    program = program or random_program(21, rows=120, cores=4)
    cores = program.cores
    return Compiled(
        arch=small_arch(cores),
        graph=small_graph(),
        partition=Partition((1,), ((small_matrix(),),), unfoldings_of(small_graph(), [small_matrix()]), ((),)),
        problem=small_problem(cores),
        outcome=Outcome(
            status=Status.FEASIBLE,
            plan=Plan(option=(0,), replication=(2,), core_of=(np.array([[0], [2]], np.int32),)),
            objective_ns=2000.0,
            bound_ns=1500.0,
            notes=("degraded",),
        ),
        program=program,
        images_per_round=program.images_per_round,
        output_round_delay=program.output_round_delay,
        timing=Timing(
            latency_ns=4000.0,
            period_ns_per_round=2500.0,
            finish_ns=np.linspace(1000, 4000, cores),
            busy_ns=np.linspace(500, 2000, cores),
        ),
        energy=Energy(
            total_pj=8000.0,
            mvm_pj=5000.0,
            local_memory_pj=1000.0,
            global_memory_pj=0.0,
            vector_pj=500.0,
            noc_pj=500.0,
            static_pj=1000.0,
        ),
        order_bounds=OrderBounds(latency_ns=3000.0, period_ns=1800.0),
        bounds=Bounds(
            latency_ns=1000.0,
            period_ns=800.0,
            load_ns=800.0,
            work_ns=500.0,
            shortest_chain_ns=200.0,
            longest_chain_ns=200.0,
        ),
        energy_not_counted=(),
        provenance=Provenance(model="small", solver="balance", pipeline="element", seed=3, notes=("by hand",)),
    )


def small_graph() -> Graph:
    view = View(np.zeros(3, np.int32), np.array([0, 2, 1], np.int32))
    conv = Conv(window=Window(kernel=(1, 1)), weights=np.ones((2, 3, 1, 1), np.float32))
    hidden = View(np.full(2, 1, np.int32), np.arange(2, dtype=np.int32))
    result = View(np.full(2, 2, np.int32), np.arange(2, dtype=np.int32))
    clip = Activation(kind=ActivationKind.CLIP, low=0.0, high=6.0)
    return Graph(
        name="small",
        nodes=(
            Node(name="input", operation=Input((1, 3, 2, 2)), inputs=(), channels=3, height=2, width=2),
            Node(name="conv", operation=conv, inputs=(view,), channels=2, height=2, width=2, activation=clip),
            Node(name="relu", operation=conv, inputs=(hidden,), channels=2, height=2, width=2),
        ),
        outputs=(Output(name="scores", view=result, onnx_shape=(1, 2, 2, 2)),),
        notes=("LRN dropped",),
    )


def small_matrix() -> LayerMatrix:
    rows = np.zeros(3, np.int32)
    group = ArrayGroup(row_start=0, row_stop=3, col_spans=((0, 2),), crossbars=1)
    return LayerMatrix(
        node=1,
        unfolding=Unfolding(),
        row_source=rows,
        row_dy=rows,
        row_dx=rows,
        row_channel=rows,
        row_input=rows,
        columns=2,
        groups=(group,),
    )


def small_problem(cores: int) -> MappingProblem:
    option = LayerOption(
        unfolding=Unfolding(), firings=4, ag_crossbars=np.ones(1, np.int32), mvm_ns=np.ones(1), vector_ns=1.0
    )
    layer = Layer(
        name="conv",
        windows=4,
        out_height=2,
        out_width=2,
        output_bytes=2,
        fully_connected=False,
        options=(option,),
        depends=(),
    )
    return MappingProblem(
        name="small",
        pipeline=Pipeline.ELEMENT,
        cores=cores,
        crossbars_per_core=16,
        rob_size=1,
        layers=(layer,),
        vector_work_ns=0.0,
        hops_ns=np.zeros((cores, cores)),
    )
