"""A network larger than the chip, or with nodes for the host: segments, each compiled as a network of its own or left
to ONNX Runtime, all in one folder. Several networks that take turns on a chip: the segments of each, in order.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pimcomp.emit.report import Report
from pimcomp.errors import CapacityError, ConfigError, UnsupportedOp
from pimcomp.foundation.own_files import COMPILE, RECORD, check_free, staged
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.load_network import load_whole
from pimcomp.frontend.loaded_network import HostPart
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Graph, Input
from pimcomp.plan.levers import fits
from pimcomp.plan.segments import cut, cut_candidates
from pimcomp.plan.split_layers import split_layers
from pimcomp.plan.writing import lifetime_images, rows_written, write_ns, write_pj
from pimcomp.proof.reference import output_types
from pimdse.compiling.building import MAX_COUNT, Built, Observe, Recipe, build, write
from pimdse.compiling.resident import labels_of
from pimdse.display.output import json_object
from pimdse.folder.compiled import INDEX, network_digest
from solvers import get_solver
from solvers.segments import OnChips, Prices, Segments, Within, cut_cheaply, on_chips, staying, visit_ns

LEVER = "--segments, which cuts it into programs that follow each other"


def images_per_visit(word: str, arch: Arch, *, segments: bool) -> int | None:
    """How many images share the writing of a segment's crossbars; None: as many as pay. Raises ConfigError."""
    option = "--per-visit"
    if word != "auto" and not (word.isascii() and word.isdigit() and 1 <= int(word) <= MAX_COUNT):
        raise ConfigError(option, f"expected a number from 1 to {MAX_COUNT}, or auto, found {word!r}")
    if word == "auto" and not arch.global_memory_bytes:
        raise ConfigError(
            option, f"auto needs a size of the memory: {arch.name} has no global_memory.bytes; or give a number"
        )
    if word != "1" and not segments:
        raise ConfigError(option, "only with --segments: weights of a single program stay")
    return None if word == "auto" else int(word)


def compile_whole(
    recipe: Recipe,
    folder: Path,
    observe: Observe = lambda stage, result: None,
    *,
    form: str = "gz",
    save: Collection[str] = (),
    host: bool = True,
) -> tuple[Built, Report] | dict[str, Any]:
    """Compile a network as one program, or as few as nodes for the host allow if it has such: then the index of these.

    Raises what `build` and `write` raise; without `host`, UnsupportedOp.
    """
    try:
        built = build(recipe, observe)
        started = time.perf_counter()
        report = write(built, folder, form=form, save=save)
    except UnsupportedOp:
        if not host:
            raise
        if recipe.precision:
            raise ConfigError("--precision", "it names layers of a whole network: not of segments") from None
        return compile_segments(recipe, folder, observe, form=form, save=save, cutting=False)
    observe("write", report)
    return replace(built, stages_s=(*built.stages_s, ("write", time.perf_counter() - started))), report


def compile_segments(
    recipe: Recipe,
    folder: Path,
    observe: Observe = lambda stage, result: None,
    *,
    form: str = "gz",
    save: Collection[str] = (),
    cutting: bool = True,
    host: bool = True,
    images_per_visit: int | None = 1,
) -> dict[str, Any]:
    """Compile every segment and write all of them; the content of the index. Of `recipe.models` those of each in turn.

    cutting: cut what the chip computes where it is cheapest; without, a network that `load_network` refuses becomes as
    few programs as the host allows. host: leave nodes without instructions to the host. images_per_visit: so many
    share what writing a segment's crossbars takes; None: as many as pay (solvers/segments.py).

    Raises what `build` and `write` raise; CapacityError names a layer that does not fit the chip by itself.
    """
    check_free(folder, (INDEX,), COMPILE)
    models = recipe.models or (recipe.model,)
    networks, divided = zip(*(_stages(model, recipe, cutting, host) for model in models), strict=True)
    observe("load", networks)
    graphs = [stage.graph for stages in divided for stage in stages if isinstance(stage, LoadedNetwork)]
    prices = Prices(recipe.arch, recipe.pipeline, recipe.options)
    found = cuts_of(prices, graphs, images_per_visit) if cutting else []
    most = recipe.arch.crossbars_per_core
    several = not cutting and len(graphs) > 1
    budgets = staying(graphs, recipe.arch, recipe.pipeline, recipe.options) if several else None

    def parts_of(stage: LoadedNetwork | HostPart) -> list[tuple[Graph | HostPart, int]]:
        """And how many crossbars of a core each program may use."""
        if isinstance(stage, HostPart):
            return [(stage, 0)]
        number = next(k for k, graph in enumerate(graphs) if graph is stage.graph)
        return [*in_parts(found[number])] if cutting else [(stage.graph, budgets[number] if budgets else most)]

    parts = [[part for stage in stages for part in parts_of(stage)] for stages in divided]
    observe("cuts", found)
    price_ns = sum(each.visit_ns for each in found) if cutting else None
    images = found[0].images_per_visit if found else images_per_visit or 1
    labels = labels_of(recipe.models)
    with staged(folder, COMPILE, whole=True, last=INDEX) as staging:
        entries: list[list[dict[str, Any]]] = [[] for _ in networks]
        for k, network in enumerate(networks):
            name = labels[k] if labels else network.graph.name
            for number, (part, budget) in enumerate(parts[k]):
                own = f"{number:0{max(2, len(str(len(parts[k]) - 1)))}d}"
                file = staging / (f"{name}-{own}" if labels else own) / f"{name}-{own}.onnx"
                entries[k].append(write_one(recipe, part, budget, file, form=form, save=save))
                observe(f"segment {sum(map(len, entries))} of {sum(map(len, parts))}", entries[k][-1])
        content = _index(recipe, networks, entries, price_ns, images)
        others = [on_chips(each.graph, prices) for each in found] if not labels else []
        content["on_chips"] = _on_chips(recipe.arch, others)
        (staging / INDEX).write_text(json_object(INDEX, content) + "\n", encoding="utf-8")
    return content


def cuts_of(prices: Prices, graphs: Sequence[Graph], images_per_visit: int | None = 1) -> list[Segments]:
    """The cheapest segments of each; None: of the images per visit that pay in all of them."""
    if images_per_visit is None:
        images_per_visit = min((cut_cheaply(graph, prices, None).images_per_visit for graph in graphs), default=1)
    return [cut_cheaply(graph, prices, images_per_visit) for graph in graphs]


def in_parts(segments: Segments) -> Iterator[tuple[Graph, int]]:
    """Every segment's graph, and how many crossbars of a core its program may use."""
    budgets = (price.crossbars_per_core for price in segments.prices)
    return zip(cut(segments.graph, segments.positions), budgets, strict=True)


def _stages(
    model: str, recipe: Recipe, cutting: bool, host: bool
) -> tuple[LoadedNetwork, Sequence[LoadedNetwork | HostPart]]:
    """A network, and what the chip and the host compute of it in turn. Raises UnsupportedOp."""
    if cutting:  # else the host is needed: as one program the network has been refused
        try:
            network = load_network(model, weights=recipe.weights)
        except UnsupportedOp:
            if not host:
                raise
        else:
            return network, [network]
    from pimcomp.frontend.divide import divide

    network = load_whole(model, weights=recipe.weights)
    return network, divide(network, output_types)


def with_lever(error: CapacityError, recipe: Recipe, graph: Graph | None = None) -> CapacityError:
    """The refusal of a network, or of what the chip computes of it in one go, that segments would help, naming them."""
    if LEVER in error.levers or not error.resource.startswith(("crossbars", "cores")):
        return error
    graph = load_network(recipe.model, weights=recipe.weights).graph if graph is None else graph
    graph = split_layers(graph, recipe.arch, recipe.options, lambda part: 1.0)  # any blocks that fit will do
    if any(not fits(part, recipe.arch) for part in cut(graph, cut_candidates(graph))):
        return error
    where = f"{graph.name} on {recipe.arch.name}"
    return CapacityError(error.resource, error.demand, error.supply, (*error.levers, LEVER), where)


def write_one(
    recipe: Recipe, part: Graph | HostPart, budget: int, file: Path, *, form: str = "gz", save: Collection[str] = ()
) -> dict[str, Any]:
    """Compile one segment from its own ONNX file, as any other network, or leave that file to the host.

    Gives its entry in the index.
    """
    folder = file.parent
    folder.mkdir()
    if isinstance(part, HostPart):
        file.write_bytes(part.onnx_bytes())
        return {
            "folder": folder.name,
            "network": file.name,
            "host": [{"node": node, "op": op} for node, op in part.nodes],
            "inputs_bytes": dict(part.inputs),
            "outputs_bytes": dict(part.outputs),
        }
    part = replace(part, name=file.stem)
    file.write_bytes(graph_to_onnx(part))
    solver = Within(get_solver(recipe.solver), budget) if budget < recipe.arch.crossbars_per_core else None
    try:
        built = build(replace(recipe, model=file.name, weights=None), solver=solver, source=file)
    except CapacityError as error:
        raise with_lever(error, recipe, part) from None
    report = write(built, folder, form=form, save=save)
    (folder / RECORD).unlink()  # the record of the whole folder has these files
    return _entry(built, report, part, folder.name)


def _entry(built: Built, report: Report, graph: Graph, folder: str) -> dict[str, Any]:
    arch, program = built.recipe.arch, built.compiled.program
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
        "crossbars_of_a_core": int(np.diff(np.append(0, program.group_crossbars.cumsum())[program.group_start]).max()),
        "rows_written": rows,
        "write_ns": write_ns(arch, rows),
        "write_pj": write_pj(arch, rows),
        "images_per_round": report.images_per_round,
        "latency_ns": report.latency_ns,
        "period_ns": report.period_ns,
        "energy_pj": report.energy_pj,
    }


def _index(
    recipe: Recipe,
    networks: Sequence[LoadedNetwork],
    entries: Sequence[Sequence[dict[str, Any]]],
    price_ns: float | None,
    images: int,
) -> dict[str, Any]:
    """Sums over the programs: one round each, and one visit of so many images; what the host takes is not in them.

    entries: of the segments of each network.
    """
    in_order = [entry for own in entries for entry in own]
    programs = _programs(in_order)
    sums = _sums(programs)
    stay = sum(entry["crossbars_of_a_core"] for entry in programs) <= recipe.arch.crossbars_per_core
    rows = [] if stay else [entry["rows_written"] for entry in programs]
    computing_ns = sum(
        visit_ns(entry["latency_ns"], entry["period_ns"], entry["images_per_round"], images) for entry in programs
    )
    if recipe.models:
        each = zip(labels_of(recipe.models), recipe.models, networks, entries, strict=True)
        origin: dict[str, Any] = {
            "networks": [
                {
                    "label": label,
                    "model": model,
                    "network_sha256": network_digest(network),
                    "folders": [entry["folder"] for entry in own],
                    **_sums(_programs(own)),
                }
                for label, model, network, own in each
            ]
        }
    else:
        origin = {"network_sha256": network_digest(networks[0])}
    return {
        "model": recipe.model,
        "weights": recipe.weights,
        **origin,
        "arch": recipe.arch.name,
        "solver": recipe.solver,
        "pipeline": str(recipe.pipeline),
        "seed": recipe.seed,
        **sums,
        "images_per_visit": images,
        "visit_ns": computing_ns,
        "image_ns": _per_image(computing_ns, 0.0 if stay else sums["write_ns"], images),
        "image_pj": _per_image((sums["energy_pj"] or 0.0) * images, 0.0 if stay else sums["write_pj"], images),
        "weights_stay": stay,
        "lifetime_images": lifetime_images(recipe.arch, rows, images),
        "cuts_price_ns": price_ns,
        "segments": in_order,
    }


def _on_chips(arch: Arch, found: Sequence[OnChips]) -> dict[str, Any] | None:
    """The estimate of so many chips side by side, a part on each, instead of one; None where one is enough."""
    parts = [price for each in found for price in each.prices]
    if len(parts) < 2:
        return None
    crossing_bytes = sum(each.crossing_bytes for each in found)
    link_ns = arch.offchip_ns * arch.flits(crossing_bytes)
    return {
        "chips": len(parts),
        "crossing_bytes": crossing_bytes,
        "link_ns": link_ns,
        "latency_ns": sum(part.latency_ns for part in parts) + link_ns,
        "period_ns": max(part.period_ns for part in parts),
        "energy_pj": sum(part.energy_pj for part in parts) + arch.offchip_energy_pj * arch.flits(crossing_bytes),
    }


def _per_image(computing: float, writing: float | None, images: int) -> float | None:
    """Both for a visit of so many images, as a share of one; None if writing is not known."""
    return None if writing is None else (computing + writing) / images


def _programs(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the chip."""
    return [entry for entry in entries if "host" not in entry]


def _sums(programs: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """One round of each program, and all that is written for them."""
    return {name: _sum(programs, name) for name in ("latency_ns", "write_ns", "energy_pj", "write_pj", "rows_written")}


def _sum(entries: Sequence[dict[str, Any]], name: str) -> float | None:
    """Of all segments; None if one of them is not known."""
    values = [entry[name] for entry in entries]
    return None if None in values else sum(values)
