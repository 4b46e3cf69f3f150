"""The network as this chip had best compute it: graph to graph, equal outputs, fewer or cheaper operations."""

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.rewriting.heads import cut_where_crowded, narrow_layers, spread_out
from pimcomp.plan.rewriting.merge_siblings import merge_siblings
from pimcomp.plan.rewriting.stack_rows import rows_that_pay, stack_rows
from pimcomp.plan.rewriting.vector_layers import Unfold, unfold_layer, use_vector_unit


def rewrite(
    graph: Graph,
    arch: Arch,
    options: ScheduleOptions,
    pipeline: Pipeline = Pipeline.ELEMENT,
    unfold: Unfold = unfold_layer,
) -> Graph:
    """What partition, solvers and scheduler get to see; each step can be switched off.

    pipeline: rows are stacked for a batch only, where work counts; one image would wait for several rows at every
    stage. unfold: where many chips are looked at, one that remembers.
    """
    graph = regrouped(graph, merge=options.merge_siblings)
    if options.stack_rows and pipeline is Pipeline.BATCH:
        graph = stack_rows(graph, rows_that_pay(graph, arch, unfold))
    if options.vector_depthwise:
        graph = use_vector_unit(graph, arch, unfold)
    return cut_where_crowded(graph, arch)


def regrouped(graph: Graph, *, merge: bool) -> Graph:
    """What is computed together and what apart, on any chip. merge: siblings become one."""
    return spread_out(narrow_layers(merge_siblings(graph) if merge else graph))
