"""The network as this chip had best compute it: graph to graph, equal outputs, fewer or cheaper operations."""

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.merge_siblings import merge_siblings
from pimcomp.plan.vector_layers import use_vector_unit


def rewrite(graph: Graph, arch: Arch, options: ScheduleOptions) -> Graph:
    """What partition, solvers and scheduler get to see; each step can be switched off."""
    if options.merge_siblings:
        graph = merge_siblings(graph)
    if options.vector_depthwise:
        graph = use_vector_unit(graph, arch)
    return graph
