"""A network larger than the chip, or with nodes for the host: segments, each compiled as a network of its own or left
to ONNX Runtime, all in one folder."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pimcomp.emit.report import Report
from pimcomp.errors import CapacityError, UnsupportedOp
from pimcomp.estimate import Estimator
from pimcomp.foundation.own_files import COMPILE, RECORD, check_free, staged
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.load_network import load_whole
from pimcomp.frontend.loaded_network import HostPart
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
from pimcomp.proof.reference import output_types
from pimdse.compiling.building import Built, Observe, Recipe, build, write
from pimdse.display.output import json_object
from pimdse.folder.compiled import INDEX, network_digest
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
    cutting: bool = True,
    host: bool = True,
) -> dict[str, Any]:
    """Compile every segment and write all of them; the content of the index.

    cutting: cut what the chip computes where it is cheapest; without, a network that `load_network` refuses becomes as
    few programs as the host allows. host: leave nodes without instructions to the host.

    Raises what `build` and `write` raise; CapacityError names a layer that does not fit the chip by itself.
    """
    check_free(folder, (INDEX,), COMPILE)
    network, stages = _stages(recipe, cutting, host)
    observe("load", network)
    parts: list[Graph | HostPart] = []
    price_ns = 0.0
    for stage in stages:
        if isinstance(stage, HostPart) or not cutting:
            parts.append(stage if isinstance(stage, HostPart) else stage.graph)
            continue
        prices = Prices(recipe)
        graph = split_layers(stage.graph, recipe.arch, recipe.options, prices.of)
        observe("layers", graph)
        cuts = cheapest(graph, prices)
        observe("cuts", cuts.positions)
        parts += cut(graph, cuts.positions)
        price_ns += cuts.price
    digits = max(2, len(str(len(parts) - 1)))
    with staged(folder, COMPILE, whole=True, last=INDEX) as staging:
        entries = []
        for k, part in enumerate(parts):
            name = f"{network.graph.name}-{k:0{digits}d}"
            entries.append(_write_one(recipe, part, name, staging / name.rpartition("-")[2], form, save))
            observe(f"segment {k + 1} of {len(parts)}", entries[-1])
        content = _index(recipe, network, entries, price_ns if cutting else None)
        (staging / INDEX).write_text(json_object(INDEX, content) + "\n", encoding="utf-8")
    return content


def _stages(recipe: Recipe, cutting: bool, host: bool) -> tuple[LoadedNetwork, Sequence[LoadedNetwork | HostPart]]:
    """The network, and what the chip and the host compute of it in turn. Raises UnsupportedOp."""
    if cutting:  # else the host is needed: as one program the network has been refused
        try:
            network = load_network(recipe.model, weights=recipe.weights)
        except UnsupportedOp:
            if not host:
                raise
        else:
            return network, [network]
    from pimcomp.frontend.divide import divide

    network = load_whole(recipe.model, weights=recipe.weights)
    return network, divide(network, output_types)


def with_lever(error: CapacityError, recipe: Recipe, graph: Graph | None = None) -> CapacityError:
    """The refusal of a network, or of what the chip computes of it in one go, that segments would help, naming them."""
    if not error.resource.startswith(("crossbars", "cores")):
        return error
    graph = load_network(recipe.model, weights=recipe.weights).graph if graph is None else graph
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


def _write_one(
    recipe: Recipe, part: Graph | HostPart, name: str, folder: Path, form: str, save: Collection[str]
) -> dict[str, Any]:
    """Compile one segment from its own ONNX file, as any other network, or leave that file to the host.

    Gives its entry in the index.
    """
    folder.mkdir()
    file = folder / f"{name}.onnx"
    if isinstance(part, HostPart):
        file.write_bytes(part.onnx_bytes())
        return {
            "folder": folder.name,
            "network": file.name,
            "host": [{"node": node, "op": op} for node, op in part.nodes],
            "inputs_bytes": dict(part.inputs),
            "outputs_bytes": dict(part.outputs),
        }
    part = replace(part, name=name)
    file.write_bytes(graph_to_onnx(part))
    try:
        built = build(replace(recipe, model=file.name, weights=None), source=file)
    except CapacityError as error:
        raise with_lever(error, recipe, part) from None
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
    recipe: Recipe, network: LoadedNetwork, entries: Sequence[dict[str, Any]], price_ns: float | None
) -> dict[str, Any]:
    """One visit of every segment with one round of images, added up; what the host takes is not."""
    programs = [entry for entry in entries if "host" not in entry]
    return {
        "model": recipe.model,
        "weights": recipe.weights,
        "network_sha256": network_digest(network),
        "arch": recipe.arch.name,
        "solver": recipe.solver,
        "pipeline": str(recipe.pipeline),
        "seed": recipe.seed,
        **{name: _sum(programs, name) for name in ("latency_ns", "write_ns", "energy_pj", "write_pj", "rows_written")},
        "cuts_price_ns": price_ns,
        "segments": list(entries),
    }


def _sum(entries: Sequence[dict[str, Any]], name: str) -> float | None:
    """Of all segments; None if one of them is not known."""
    values = [entry[name] for entry in entries]
    return None if None in values else sum(values)
