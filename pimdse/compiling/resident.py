"""Several networks on one chip, side by side: cores shared out, each compiled for its own, one program for the chip."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from pimcomp.compile import compile_side_by_side
from pimcomp.emit.report import Report
from pimcomp.errors import CapacityError, ConfigError, UnsupportedOp
from pimcomp.estimate import Estimator
from pimcomp.foundation.own_files import COMPILE, check_free
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.model_index import network_name
from pimcomp.frontend.side_by_side import joined_network, own_labels
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.report import Figures
from pimcomp.plan.cores_needed import cores_needed
from pimcomp.plan.levers import group_sizes
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.regions import Aim, region, regions, share
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.plan.writing import rows_written, write_ns
from pimcomp.timeline.timing import time_parts
from pimcomp.timeline.work import stream_of
from pimdse.compiling.building import Built, Observe, Recipe, build, file_label, outcome_data, write
from pimdse.display.output import json_object
from pimdse.folder.compiled import NETWORKS, network_digest
from solvers.exact.exact import Exact
from solvers.heuristics.stream import stream_plans

WORST = "worst"
ROUNDS = 3  # shares that are tried by their programs, at most


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Residents:
    """Networks side by side on a chip. built: all as one; parts: each for its region, in the order of the cores.

    figures: each network's while all run.
    """

    labels: tuple[str, ...]
    built: Built
    parts: tuple[Built, ...]
    figures: tuple[Figures, ...]

    @property
    def times_ns(self) -> tuple[float, ...]:
        """What the pipeline is for, of each network."""
        return tuple(_time_ns(found, self.built.recipe.pipeline) for found in self.figures)


def aim_of(text: str, networks: int) -> Aim:
    """`worst`, or a weight for each network. Raises ConfigError."""
    if text == WORST:
        return Aim()
    try:
        weights = [float(word) for word in text.split(",")]
    except ValueError:
        weights = []
    if len(weights) != networks or not all(0 < weight < 1e9 for weight in weights):
        expected = f"expected {WORST}, or {networks} numbers above 0 with commas between them, one for each network"
        raise ConfigError("--combine", f"{expected}; found {text!r}")
    return Aim(weights)


def labels_of(models: Sequence[str]) -> tuple[str, ...]:
    """What networks are called side by side: their names, each once."""
    return own_labels([file_label(network_name(model)) for model in models])


def compile_networks(
    recipe: Recipe, folder: Path, observe: Observe = lambda stage, result: None
) -> tuple[Residents, tuple[Built, ...]]:
    """Compile `recipe.models` side by side, and each alone for the whole chip: what they would take in turn.

    Cores are shared out by estimates; those of the programs that come out correct them, up to `ROUNDS` times, and the
    best programs are taken. folder: where `write_networks` will write them.

    Raises what `build` raises; CapacityError with the cores that each network needs if they do not fit together.
    """
    check_free(folder, (NETWORKS,), COMPILE)
    arch, aim = recipe.arch, aim_of(recipe.combine, len(recipe.models))
    networks = [_load(model, recipe) for model in recipe.models]
    observe("load", networks)
    labels = labels_of(recipe.models)
    estimates = [_Estimated(network, recipe) for network in networks]
    least = _least_cores(labels, estimates, arch)
    tried: set[tuple[int, ...]] = set()
    best: Residents | None = None
    for number in range(1, ROUNDS + 1):
        shares = share(least, arch.total_cores, [each.time_ns for each in estimates], aim)
        if shares in tried:
            break
        tried.add(shares)
        observe(f"shares {number}", shares)
        chips = regions(arch, shares)
        parts = [
            build(replace(recipe, model=model, arch=chip), source=network)
            for model, chip, network in zip(recipe.models, chips, networks, strict=True)
        ]
        found = joined(recipe, labels, parts)
        observe(f"programs {number}", found.times_ns)
        if best is None or aim.of(found.times_ns) < aim.of(best.times_ns):
            best = found
        for each, cores, time_ns in zip(estimates, shares, found.times_ns, strict=True):
            each.correct(cores, time_ns)
    assert best is not None, "there is a first round"
    alone = []
    for label, model, network in zip(labels, recipe.models, networks, strict=True):
        alone.append(build(replace(recipe, model=model), source=network))
        observe(f"{label} alone", alone[-1])
    return best, tuple(alone)


def joined(recipe: Recipe, labels: Sequence[str], parts: Sequence[Built]) -> Residents:
    """The program of the whole chip, and what each network takes in it."""
    arch = recipe.arch
    compiled = compile_side_by_side(arch, labels, [part.compiled for part in parts])
    origin = replace(compiled.provenance, model=recipe.model, notes=recipe.notes)
    compiled = replace(compiled, provenance=origin)
    network = joined_network(labels, [part.network for part in parts])
    ends = [*accumulate(part.recipe.arch.total_cores for part in parts)]
    cores = [slice(end - part.recipe.arch.total_cores, end) for end, part in zip(ends, parts, strict=True)]
    timings = time_parts(stream_of(compiled.program, arch), arch, cores)
    figures = tuple(
        Figures(
            timing=timing,
            energy=part.compiled.energy,
            images_per_round=part.compiled.images_per_round,
            output_round_delay=part.compiled.output_round_delay,
        )
        for timing, part in zip(timings, parts, strict=True)
    )
    built = Built(recipe=recipe, network=network, compiled=compiled, stages_s=())
    return Residents(labels=tuple(labels), built=built, parts=tuple(parts), figures=figures)


def write_networks(
    found: Residents, alone: Sequence[dict[str, Any]], folder: Path, *, form: str, save: Collection[str]
) -> tuple[dict[str, Any], Report]:
    """Write the folder of the whole chip's program, with the index beside it; the index and the report.

    alone: what is said of each network by itself (`alone_data`).
    """
    content = _index(found, alone)
    beside = {NETWORKS: (json_object(NETWORKS, content) + "\n").encode()}
    return content, write(found.built, folder, form=form, save=save, beside=beside)


def alone_data(built: Built) -> dict[str, Any]:
    """What a network takes that has the whole chip for itself."""
    compiled = built.compiled
    return {
        "latency_ns": compiled.latency_ns,
        "period_ns": compiled.period_ns,
        "crossbars_used": int(compiled.program.group_crossbars.sum()),
        "rows_written": rows_written(compiled.partition, compiled.plan),
    }


def _index(found: Residents, alone: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Every network's part of the chip and of its time, and all of them in turn."""
    recipe = found.built.recipe
    aim, arch = aim_of(recipe.combine, len(found.labels)), recipe.arch
    entries, first = [], 0
    for label, part, figures, by_itself in zip(found.labels, found.parts, found.figures, alone, strict=True):
        compiled = part.compiled
        entries.append(
            {
                "label": label,
                "model": part.recipe.model,
                "network_sha256": network_digest(part.network),
                "first_core": first,
                "cores": compiled.arch.total_cores,
                "crossbars_used": int(compiled.program.group_crossbars.sum()),
                "latency_ns": figures.latency_ns,
                "period_ns": figures.period_ns,
                "output_round_delay": figures.output_round_delay,
                "outcome": outcome_data(compiled),
                "alone": dict(by_itself),
            }
        )
        first += compiled.arch.total_cores
    name = "latency_ns" if recipe.pipeline is Pipeline.ELEMENT else "period_ns"
    rows = sum(entry["rows_written"] for entry in alone)
    turn_ns = sum(entry[name] for entry in alone)  # every network waits for the others' turns
    time_ns, writing_ns = aim.of(found.times_ns), write_ns(arch, rows)
    filling_ns = sum(entry["latency_ns"] - entry[name] for entry in alone)  # its first image takes so much longer
    shared = writing_ns is not None and turn_ns < time_ns
    in_turn = {
        "time_ns": turn_ns,
        "rows_written": rows,
        "write_ns": writing_ns,
        "images": int((writing_ns + filling_ns) / (time_ns - turn_ns)) + 1 if shared else None,
    }
    return {
        "weights": recipe.weights,
        "arch": arch.name,
        "pipeline": str(recipe.pipeline),
        "combine": recipe.combine,
        "time": name,
        "time_ns": time_ns,
        "in_turn": in_turn,
        "gain": turn_ns / time_ns,
        "networks": entries,
    }


def _time_ns(figures: Figures, pipeline: Pipeline) -> float:
    return figures.latency_ns if pipeline is Pipeline.ELEMENT else figures.period_ns


def _load(model: str, recipe: Recipe) -> LoadedNetwork:
    try:
        return load_network(model, weights=recipe.weights)
    except UnsupportedOp as error:
        advice = "side by side nothing is left to the host: with --segments they take turns, and it is"
        raise UnsupportedOp(model, error.offenders, advice) from None


class _Estimated:
    """A network's time by the number of cores, estimated for the best plan of `exact` and `stream`, with which searches
    begin.
    """

    def __init__(self, network: LoadedNetwork, recipe: Recipe) -> None:
        self.recipe = recipe
        self.graph = rewrite(network.graph, recipe.arch, recipe.options, recipe.pipeline)
        self.parts = partition(self.graph, recipe.arch)
        self._scale, self._known = 1.0, dict[int, float]()

    def time_ns(self, cores: int) -> float:
        """Infinite where it does not fit."""
        if cores not in self._known:
            self._known[cores] = self._estimate_ns(region(self.recipe.arch, 0, cores))
        return self._scale * self._known[cores]

    def correct(self, cores: int, time_ns: float) -> None:
        """Scale all estimates so that this one is what its program takes."""
        self._scale *= time_ns / self.time_ns(cores)

    def _estimate_ns(self, chip: Arch) -> float:
        pipeline = self.recipe.pipeline
        problem = build_problem(self.graph, chip, self.parts, pipeline)
        exact = Exact().solve(problem, {}, time_limit_s=None, seed=self.recipe.seed).plan
        plans = [*stream_plans(problem), *([exact] if exact is not None else [])]
        if not plans:
            return np.inf
        estimate = Estimator.of(self.graph, chip, self.parts).estimate(plans, pipeline, self.recipe.options)
        return float(estimate.objective_ns(pipeline).min())


def _least_cores(labels: Sequence[str], networks: Sequence[_Estimated], arch: Arch) -> list[int]:
    """Cores that each network needs. Raises CapacityError if the chip has less than all of them."""
    least = [max(1, cores_needed(group_sizes(each.graph, arch), arch.crossbars_per_core)) for each in networks]
    if sum(least) <= arch.total_cores:
        return least
    each = ", ".join(f"{label} {cores}" for label, cores in zip(labels, least, strict=True))
    levers = [f"chips: {-(-sum(least) // arch.cores)}"] if arch.noc_table is None else []
    levers += [f"cores: {-(-sum(least) // arch.chips)}"] if arch.noc_table is None else []
    levers.append("--segments, with which they take turns")
    where = f"{' + '.join(labels)} on {arch.name}"
    raise CapacityError(f"cores for networks side by side ({each})", sum(least), arch.total_cores, levers, where)
