"""A network on a chip that is too small for it: figures of its segments, one image per visit, writing included."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pimcomp.compile import compile_network
from pimcomp.emit.outputs import emit
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Solver
from pimcomp.ir.report import Bounds
from pimcomp.plan.segments import cut
from pimcomp.plan.writing import rows_written, write_ns, write_pj
from pimcomp.proof.in_segments import verify_segments
from solvers.segments import Prices, Within, cut_cheaply
from spaces.chip import options_of
from spaces.metrics import Metrics, metrics_on
from spaces.proof import Proof
from spaces.space import Point, Sweep


class Segment(NamedTuple):
    """One program, and the network that it computes."""

    compiled: Compiled
    network: LoadedNetwork


def estimated(graph: Graph, arch: Arch, point: Point, bound: Bounds) -> Metrics:
    """Figures of the cheapest cuts without a program. Raises CapacityError for what no cuts help."""
    prices = cut_cheaply(graph, Prices(arch, point.pipeline, options_of(point.parameters))).prices
    return _metrics(
        arch,
        bound,
        latency_ns=sum(price.latency_ns for price in prices),
        reload_ns=sum(price.write_ns for price in prices),
        energy_pj=sum(price.energy_pj + price.write_pj for price in prices),
        crossbars_used=max(price.crossbars_used for price in prices),
        segments=len(prices),
    )


def compiled_segments(graph: Graph, arch: Arch, solver: Solver, point: Point, sweep: Sweep) -> list[Segment]:
    """The programs, each of its own ONNX file, as `pimdse pick` compiles them."""
    options, found = options_of(point.parameters), []
    cuts = cut_cheaply(graph, Prices(arch, point.pipeline, options))
    with tempfile.TemporaryDirectory() as scratch:
        for k, (part, price) in enumerate(zip(cut(cuts.graph, cuts.positions), cuts.prices, strict=True)):
            file = Path(scratch) / f"{k}.onnx"
            file.write_bytes(graph_to_onnx(part))
            network = load_network(str(file))
            budget = price.crossbars_per_core
            compiled = compile_network(
                network.graph,
                arch,
                solver if budget == arch.crossbars_per_core else Within(solver, budget),
                pipeline=point.pipeline,
                time_limit_s=sweep.time_limit_s,
                seed=sweep.seed,
                options=options,
            )
            found.append(Segment(compiled, network))
    return found


def summed(segments: Sequence[Segment], arch: Arch, bound: Bounds, each: Callable[[Compiled], Metrics]) -> Metrics:
    """Figures of the programs, one after the other. each: of one."""
    parts = [each(segment.compiled) for segment in segments]
    rows = [rows_written(segment.compiled.partition, segment.compiled.plan) for segment in segments]
    sums = _metrics(
        arch,
        bound,
        latency_ns=sum(part.latency_ns for part in parts),
        reload_ns=sum(write_ns(arch, count) or 0.0 for count in rows),
        energy_pj=sum(part.energy_pj for part in parts) + sum(write_pj(arch, count) or 0.0 for count in rows),
        crossbars_used=max(part.crossbars_used for part in parts),
        segments=len(parts),
    )
    return replace(
        sums,
        time_limited=any(part.time_limited for part in parts),
        instructions_per_round=sum(part.instructions_per_round or 0 for part in parts),
        cores_used=max(part.cores_used for part in parts),
        local_peak_bytes=max(part.local_peak_bytes or 0 for part in parts),
    )


def execute_segments(segments: Sequence[Segment], network: LoadedNetwork, label: str) -> Proof:
    """Execute the programs in order and compare with ONNX Runtime."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [(Path(scratch) / f"{k}", segment) for k, segment in enumerate(segments)]
        for folder, segment in folders:
            emit(segment.compiled, folder)
        report = verify_segments([(folder, segment.network) for folder, segment in folders], network, images=1)
    error = report.share if math.isfinite(report.share) else None
    return Proof(network=label, passed=report.passed, images=report.images, error=error, reason=report.reason)


def _metrics(
    arch: Arch,
    bound: Bounds,
    *,
    latency_ns: float,
    reload_ns: float,
    energy_pj: float,
    crossbars_used: int,
    segments: int,
) -> Metrics:
    """One image at a time, each through all segments. bound: of the whole network, without its partition: what it
    counts, programs of segments do as well."""
    image_ns = latency_ns + reload_ns
    found = metrics_on(arch, bound, latency_ns=image_ns, period_ns=image_ns, energy_pj=energy_pj, used=crossbars_used)
    return replace(found, solver_status="feasible", segments=segments, reload_ns=reload_ns)
