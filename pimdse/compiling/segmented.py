"""A network larger than the chip: cut into segments, each compiled as a network of its own, all in one folder."""

import dataclasses
from collections.abc import Collection, Sequence
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
from pimcomp.ir.graph import Graph, Input
from pimcomp.ir.plan import Plan
from pimcomp.plan.levers import fits
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewrite import rewrite
from pimcomp.plan.segments import cheapest_cuts, cut, cut_candidates, segment
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
    positions, price_ns = _cheapest(network.graph, recipe)
    observe("cuts", positions)
    parts = cut(network.graph, positions)
    with staged(folder, COMPILE, whole=True, last=INDEX) as staging:
        entries = []
        for k, part in enumerate(parts):
            entries.append(_compile_one(recipe, part, staging / f"{k:02d}", form, save))
            observe(f"segment {k + 1} of {len(parts)}", entries[-1])
        content = _index(recipe, network, entries, price_ns)
        (staging / INDEX).write_text(json_object(INDEX, content) + "\n", encoding="utf-8")
    return content


def with_lever(error: CapacityError, recipe: Recipe) -> CapacityError:
    """The refusal of a network whose layers do fit the chip one by one, naming what would help."""
    if not error.resource.startswith(("crossbars", "cores")):
        return error
    graph = load_network(recipe.model, weights=recipe.weights).graph
    if any(not fits(part, recipe.arch) for part in cut(graph, cut_candidates(graph))):
        return error
    where = f"{graph.name} on {recipe.arch.name}"
    return CapacityError(error.resource, error.demand, error.supply, (*error.levers, LEVER), where)


def _cheapest(graph: Graph, recipe: Recipe) -> tuple[tuple[int, ...], float]:
    """The cuts and their price: per segment, of one round, the latency that is estimated for the plan of `exact`, and
    the time of writing that plan's crossbars."""
    candidates = cut_candidates(graph)
    shortest = set(pairwise(candidates))

    def price_ns(first: int, stop: int) -> float | None:
        try:
            return _price_ns(segment(graph, first, stop), recipe)
        except CapacityError:
            if (first, stop) in shortest:  # no cuts help
                raise
            return None

    found = cheapest_cuts(candidates, price_ns)
    assert found is not None, graph.name  # with every candidate cut, all fit
    return found


def _price_ns(part: Graph, recipe: Recipe) -> float:
    arch, options = recipe.arch, recipe.options
    part = rewrite(part, arch, options)
    parts = partition(part, arch)
    problem = build_problem(part, arch, parts, recipe.pipeline)
    outcome = get_solver(_PRICED_WITH).solve(problem, {}, time_limit_s=None, seed=recipe.seed)
    if outcome.plan is None:
        needed = sum(min(option.crossbars for option in layer.options) for layer in problem.layers)
        layers = ", ".join(layer.name for layer in problem.layers)
        where = f"{layers} on {arch.name}, a segment of its own"
        raise CapacityError("crossbars", needed, arch.crossbars, where=where)
    estimate = Estimator.of(part, arch, parts).estimate([outcome.plan], recipe.pipeline, options)
    return float(estimate.latency_ns[0]) + (_write_ns(arch, rows_written(parts, outcome.plan)) or 0.0)


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
    built = build(dataclasses.replace(recipe, model=file.name, weights=None), source=file)
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
