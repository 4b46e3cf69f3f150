"""A network larger than the chip: cut into segments, each compiled as a network of its own, all in one folder."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pimcomp.emit.report import Report
from pimcomp.errors import CapacityError
from pimcomp.estimate import Estimator
from pimcomp.foundation.own_files import COMPILE, RECORD, check_free, staged
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.graph import Conv, Graph, Input, Standalone
from pimcomp.ir.plan import Plan
from pimcomp.plan.levers import fits, group_sizes
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewrite import rewrite
from pimcomp.plan.segments import Cuts, cheapest_cuts, cut, cut_candidates, segment
from pimcomp.plan.split_layers import split_layers
from pimdse.compiling.building import Built, Observe, Recipe, build, write
from pimdse.display.output import json_object
from pimdse.folder.compiled import INDEX
from pimdse.foundation.digest import digest
from solvers import get_solver

LEVER = "--segments, which cuts it into programs that follow each other"
_PRICED_WITH = "exact"  # fast, and the same for every segment


def compile_segments(
    recipe: Recipe,
    folder: Path,
    observe: Observe = lambda stage, result: None,
    *,
    form: str = "gz",
    save: Collection[str] = (),
) -> dict[str, Any]:
    """Cut the network where it is cheapest, compile every segment and write all of them; the content of the index.

    Raises what `build` and `write` raise; CapacityError names a layer that does not fit the chip by itself.
    """
    check_free(folder, (INDEX,), COMPILE)
    network = load_network(recipe.model, weights=recipe.weights)
    observe("load", network)
    prices = Prices(recipe)
    graph = split_layers(network.graph, recipe.arch, recipe.options, prices.of)
    observe("layers", graph)
    positions, price_ns = cheapest(graph, prices)
    observe("cuts", positions)
    parts = cut(graph, positions)
    with staged(folder, COMPILE, whole=True, last=INDEX) as staging:
        entries = []
        for k, part in enumerate(parts):
            entries.append(_compile_one(recipe, part, staging / part.name.rpartition("-")[2], form, save))
            observe(f"segment {k + 1} of {len(parts)}", entries[-1])
        content = _index(recipe, network, entries, price_ns)
        (staging / INDEX).write_text(json_object(INDEX, content) + "\n", encoding="utf-8")
    return content


def with_lever(error: CapacityError, recipe: Recipe) -> CapacityError:
    """The refusal of a network that segments would help, naming them."""
    if not error.resource.startswith(("crossbars", "cores")):
        return error
    graph = load_network(recipe.model, weights=recipe.weights).graph
    graph = split_layers(graph, recipe.arch, recipe.options, lambda part: 1.0)  # any blocks that fit will do
    if any(not fits(part, recipe.arch) for part in cut(graph, cut_candidates(graph))):
        return error
    where = f"{graph.name} on {recipe.arch.name}"
    return CapacityError(error.resource, error.demand, error.supply, (*error.levers, LEVER), where)


def cheapest(graph: Graph, prices: "Prices") -> Cuts:
    """The cuts with the least sum of prices. Raises CapacityError naming what no cuts help."""
    candidates = cut_candidates(graph)
    shortest = set(pairwise(candidates))

    def price_ns(first: int, stop: int) -> float | None:
        part = segment(graph, first, stop)
        price = prices.of(part)
        if price is None and (first, stop) in shortest:
            layers = ", ".join(part.nodes[node].name for node in part.weighted())
            needed, arch = int(group_sizes(part, prices.recipe.arch).sum()), prices.recipe.arch
            raise CapacityError(
                "crossbars", needed, arch.crossbars, where=f"{layers} on {arch.name}, a segment of its own"
            )
        return price

    found = cheapest_cuts(candidates, price_ns)
    assert found is not None, graph.name  # with every candidate cut, all fit
    return found


class Prices:
    """What segments cost in ns: the latency of one round that is estimated for the plan of `exact`, and the time of
    writing that plan's crossbars.

    Each is estimated once: those that differ in names and in the values of weights alone, as the blocks of a layer do,
    have one price, although an estimate knows filters that are zero in whole taps.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._known: dict[str, float | None] = {}

    def of(self, part: Graph) -> float | None:
        """The price of a segment; None if it does not fit."""
        key = digest(_without_values(part))
        if key not in self._known:
            self._known[key] = _price_ns(part, self.recipe)
        return self._known[key]


def _without_values(part: Graph) -> tuple[object, ...]:
    """A graph without names and weights, for their price depends on neither."""
    nodes: list[object] = []
    for node in part.nodes:
        operation = node.operation
        if isinstance(operation, Conv):
            nodes.append((operation.window, operation.weights.shape, operation.bias is None, operation.groups))
        named = Standalone() if isinstance(operation, Conv) else operation
        nodes.append(replace(node, name="", operation=named))
    return tuple(nodes), tuple(part.stored())


def _price_ns(part: Graph, recipe: Recipe) -> float | None:
    arch, options = recipe.arch, recipe.options
    part = rewrite(part, arch, options)
    if not fits(part, arch):
        return None
    parts = partition(part, arch)
    problem = build_problem(part, arch, parts, recipe.pipeline)
    plan = get_solver(_PRICED_WITH).solve(problem, {}, time_limit_s=None, seed=recipe.seed).plan
    if plan is None:
        return None
    estimate = Estimator.of(part, arch, parts).estimate([plan], recipe.pipeline, options)
    return float(estimate.latency_ns[0]) + (_write_ns(arch, rows_written(parts, plan)) or 0.0)


def rows_written(parts: Partition, plan: Plan) -> int:
    """Rows of cells that a program's crossbars hold weights in, of all replicas."""
    chosen = zip(parts.options, plan.option, plan.replication, strict=True)
    return sum(
        replicas * sum((group.row_stop - group.row_start) * group.crossbars for group in options[option].groups)
        for options, option, replicas in chosen
    )


def _write_ns(arch: Arch, rows: int) -> float | None:
    """Time of writing so many rows before a program can run; None: the chip's description does not say."""
    return arch.row_write_ns * -(-rows // arch.rows_written_at_once) or None


def _compile_one(recipe: Recipe, part: Graph, folder: Path, form: str, save: Collection[str]) -> dict[str, Any]:
    """Compile one segment from its own ONNX file, as any other network; its entry in the index."""
    folder.mkdir()
    file = folder / f"{part.name}.onnx"
    file.write_bytes(graph_to_onnx(part))
    built = build(replace(recipe, model=file.name, weights=None), source=file)
    report = write(built, folder, form=form, save=save)
    (folder / RECORD).unlink()  # the record of the whole folder has these files
    return _entry(built, report, part, folder.name)


def _entry(built: Built, report: Report, graph: Graph, folder: str) -> dict[str, Any]:
    arch = built.recipe.arch
    inputs = {n.name: n.channels * n.height * n.width for n in graph.nodes if isinstance(n.operation, Input)}
    outputs = {output.name: int(np.prod(graph.shape_of(output.view))) for output in graph.outputs}
    rows = rows_written(built.compiled.partition, built.compiled.plan)
    return {
        "folder": folder,
        "network": built.recipe.model,
        "layers": [graph.nodes[node].name for node in graph.weighted()],
        "inputs_bytes": {name: size * arch.element_bytes for name, size in inputs.items()},
        "outputs_bytes": {name: size * arch.element_bytes for name, size in outputs.items()},
        "crossbars_written": report.crossbars_used,
        "rows_written": rows,
        "write_ns": _write_ns(arch, rows),
        "write_pj": arch.row_write_pj * rows or None,
        "images_per_round": report.images_per_round,
        "latency_ns": report.latency_ns,
        "energy_pj": report.energy_pj,
    }


def _index(
    recipe: Recipe, network: LoadedNetwork, entries: Sequence[dict[str, Any]], price_ns: float
) -> dict[str, Any]:
    """One visit of every segment with one round of images, added up."""
    return {
        "model": recipe.model,
        "weights": recipe.weights,
        "network_sha256": digest(network.graph),
        "arch": recipe.arch.name,
        "solver": recipe.solver,
        "pipeline": str(recipe.pipeline),
        "seed": recipe.seed,
        **{name: _sum(entries, name) for name in ("latency_ns", "write_ns", "energy_pj", "write_pj", "rows_written")},
        "cuts_price_ns": price_ns,
        "segments": list(entries),
    }


def _sum(entries: Sequence[dict[str, Any]], name: str) -> float | None:
    """Of all segments; None if one of them is not known."""
    values = [entry[name] for entry in entries]
    return None if None in values else sum(values)
