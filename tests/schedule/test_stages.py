"""Work over tokens is shared out: which cores have a head's products, and who gathers its keys."""

from pathlib import Path

from pimcomp.config import load_arch
from pimcomp.ir.graph import Normalise, Product, Softmax, Standalone, Turn
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.plan.rows import needed_rows
from pimcomp.schedule.sites import place_work
from solvers import get_solver
from tests.frontend.small_onnx import load
from tests.transformer import encoder

TOKENS, HEADS = 48, 3


def test_heads_have_cores_of_their_own_and_few_gather_for_them(tmp_path: Path) -> None:
    options = ScheduleOptions()
    arch = load_arch("pimcomp_default")
    graph = rewrite(load(encoder(TOKENS, 12, HEADS), tmp_path).graph, arch, options)
    parts = partition(graph, arch)
    plan = (
        get_solver("stream").solve(build_problem(graph, arch, parts, Pipeline.ELEMENT), {}, time_limit_s=1, seed=0).plan
    )
    assert plan is not None
    placed = place_work(graph, arch, parts, plan, options, needed_rows(graph))
    owners = [set(sites.segments.owner.tolist()) for sites in placed]
    used = {int(core) for cores in plan.core_of for core in cores.ravel()}
    keys = {node.inputs[1].nodes[0] for node in graph.nodes if isinstance(node.operation, Product)}
    heads = []
    for index, node in enumerate(graph.nodes):
        softmax = [s for view in node.inputs for s in view.nodes if isinstance(graph.nodes[s].operation, Softmax)]
        if isinstance(node.operation, Product) and not softmax:
            heads.append(owners[index])
        elif isinstance(node.operation, Product):  # where its left operand is
            assert owners[index] == owners[softmax[0]]
        elif isinstance(node.operation, Turn | Standalone) and index in keys:
            assert len(owners[index]) == min(options.GATHERERS, node.width)
        elif isinstance(node.operation, Normalise):
            assert len(owners[index]) == min(len(used), TOKENS)
    assert len(heads) == HEADS
    assert len(used) / 2 < sum(len(cores) for cores in heads) == len(set.union(*heads)) <= len(used)
