"""report.json: the figures of one compile; plan.json: the decision behind them."""

from dataclasses import asdict, dataclass

import numpy as np
import orjson

from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled
from pimcomp.isa.listing import emitted_start

_STYLE = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One compile in figures (docs/file-formats.md has the table). Times and energies are predictions of the timeline,
    per image; what is counted per round of images_per_round images says so in its name.

    crossbars: what the chip has; crossbars_used: what the plan occupies. area_is_modelled: the description has no area.
    adc_clips: adc_bits are fewer than needed, and modelled. bound_ns, gap: proven lower bound of the latency of any
    program, and 1 - bound_ns / latency_ns; bound_period_ns, gap_period: the same for the period (plan/bounds.py).
    order_bound_ns, order_bound_period_ns: of any order of this program's own actions (schedule/ordering/durations.py).
    solver_objective_ns, solver_bound_ns: the solver's own objective at the plan and its lower bound in the solver's
    model; None where nothing is claimed. energy_not_counted: contributors without figures in the chip's description.
    instructions_per_round: emitted ones, of which scalar are sldi and setbw. local_peak_bytes: of the fullest core.
    spilled_bytes_per_round: to and from global memory because local memory is too small. precision: bits of layers that
    have others than the chip, as precision files have them.
    """

    model: str
    weights: str
    arch: str
    solver: str
    pipeline: str
    seed: int
    status: str
    time_limited: bool
    images_per_round: int
    output_round_delay: int
    latency_ns: float
    period_ns: float
    throughput_per_s: float
    energy_pj: float
    energy_by_pj: dict[str, float]
    energy_not_counted: tuple[str, ...]
    avg_power_mw: float
    cores: int
    cores_used: int
    crossbars: int
    crossbars_used: int
    area_mm2: float
    area_is_modelled: bool
    adc_bits: int
    adc_bits_needed: int
    adc_clips: bool
    instructions_per_round: int
    scalar_instructions_per_round: int
    local_peak_bytes: int
    spilled_bytes_per_round: int
    bound_ns: float
    gap: float
    bound_period_ns: float
    gap_period: float
    order_bound_ns: float
    order_bound_period_ns: float
    solver_objective_ns: float | None
    solver_bound_ns: float | None
    precision: dict[str, dict[str, int]]
    notes: tuple[str, ...]


def make_report(compiled: Compiled) -> Report:
    """The figures of a compile."""
    program, arch, outcome = compiled.program, compiled.arch, compiled.outcome
    origin = compiled.provenance
    emitted = int(emitted_start(program)[-1])
    least = compiled.bounds
    return Report(
        model=origin.model,
        weights=origin.weights,
        arch=arch.name,
        solver=origin.solver,
        pipeline=origin.pipeline,
        seed=origin.seed,
        status=outcome.status.value,
        time_limited=outcome.time_limited,
        images_per_round=compiled.images_per_round,
        output_round_delay=compiled.output_round_delay,
        latency_ns=float(compiled.latency_ns),
        period_ns=float(compiled.period_ns),
        throughput_per_s=float(compiled.throughput_per_s),
        energy_pj=float(compiled.energy_pj),
        energy_by_pj=compiled.energy_by_pj,
        energy_not_counted=compiled.energy_not_counted,
        avg_power_mw=float(compiled.avg_power_mw),
        cores=arch.total_cores,
        cores_used=int(np.count_nonzero(np.diff(program.core_start))),
        crossbars=arch.crossbars,
        crossbars_used=int(program.group_crossbars.sum()),
        area_mm2=arch.area_mm2,
        area_is_modelled=arch.area_is_modelled,
        adc_bits=arch.adc_resolution,
        adc_bits_needed=arch.adc_bits_needed,
        adc_clips=arch.clips,
        instructions_per_round=emitted,
        scalar_instructions_per_round=emitted - program.instructions,
        local_peak_bytes=int(program.local_peak_bytes.max(initial=0)),
        spilled_bytes_per_round=program.spilled_bytes,
        bound_ns=float(least.latency_ns),
        gap=_gap(least.latency_ns, compiled.latency_ns),
        bound_period_ns=float(least.period_ns),
        gap_period=_gap(least.period_ns, compiled.period_ns),
        order_bound_ns=compiled.order_bounds.latency_ns,
        order_bound_period_ns=compiled.order_bounds.period_ns,
        solver_objective_ns=outcome.objective_ns,
        solver_bound_ns=outcome.bound_ns,
        precision={name: own.given for name, own in origin.precision},
        notes=(*compiled.graph.notes, *outcome.notes, *origin.notes),
    )


def _gap(bound_ns: float, figure_ns: float) -> float:
    return 1.0 - float(bound_ns) / figure_ns if figure_ns else 0.0


def report_json(report: Report) -> bytes:
    """The text of report.json."""
    return orjson.dumps({"schema": "pimdse.report.json/1", **asdict(report)}, option=_STYLE)


def plan_json(compiled: Compiled) -> bytes:
    """The text of plan.json: per weighted layer the unfolding, the replication and the core of every array group.

    cores[r][a]: core of array group a of replica r. `option` is the index among the layer's unfoldings.
    """
    plan, problem = compiled.plan, compiled.problem
    layers = [
        {
            "name": layer.name,
            "option": option,
            "block": layer.options[option].unfolding.block,
            "replication": replication,
            "crossbars": replication * layer.options[option].crossbars,
            "cores": cores.tolist(),
        }
        for layer, option, replication, cores in zip(
            problem.layers, plan.option, plan.replication, plan.core_of, strict=True
        )
    ]
    content = {
        "schema": "pimdse.plan.json/1",
        "model": compiled.provenance.model,
        "pipeline": compiled.provenance.pipeline,
        "layers": layers,
    }
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
