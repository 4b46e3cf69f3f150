"""An instant judge for tests of the search: a made-up chip law, importable by worker processes."""

import os
import signal
import time
from dataclasses import replace

from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from spaces.candidate import Candidate, Evaluator, Verdict, judge
from spaces.inside import Inside, LayerUse
from spaces.metrics import Metrics
from spaces.space import Choice, Fidelity, IntRange, Network, Point, Sweep

ARCH = Arch(name="fake", cores=16, crossbars_per_core=8)
NEEDED_CROSSBARS = 40


def sweep(**changes: object) -> Sweep:
    """A small space around `ARCH`."""
    settings: dict[str, object] = {
        "name": "fake",
        "file": "configs/fake.yaml",
        "arch": ARCH,
        "networks": (Network(model="none"),),
        "parameters": (
            Choice(name="adc_count", values=(4, 8, 16, 32)),
            IntRange(name="cores", low=2, high=32, step=2),
            IntRange(name="crossbars_per_core", low=4, high=16, log=True),
        ),
        "solvers": ("balance", "uniform"),
        "pipelines": (Pipeline.ELEMENT, Pipeline.BATCH),
        "objectives": ("latency_ns", "crossbars"),
        "trials": 16,
        "enumerate": 0,
        "jobs": 1,
    }
    return Sweep(**{**settings, **changes})  # type: ignore[arg-type]


def metrics(point: Point) -> Metrics:
    """The law: faster with more crossbars and ADCs, slower for `uniform`, a shorter period in `batch`."""
    p = dict(point.parameters)
    crossbars = int(p["cores"]) * int(p["crossbars_per_core"])
    slow = 1.3 if point.solver == "uniform" else 1.0
    latency = 1e7 * slow / crossbars * (1 + 4 / int(p["adc_count"])) + 1000 * int(p["cores"])
    period = latency / (4 if point.pipeline is Pipeline.BATCH else 1)
    return Metrics(
        latency_ns=latency,
        period_ns=period,
        throughput_per_s=1e9 / period,
        energy_pj=1e6 + 100 * crossbars,
        avg_power_mw=(1e6 + 100 * crossbars) / latency,
        crossbars=crossbars,
        crossbars_used=NEEDED_CROSSBARS,
        area_mm2=1.0,
        edp_pj_ns=(1e6 + 100 * crossbars) * latency,
        solver_status="feasible",
        bound_ns=latency / 3,
        bound_period_ns=period / 3,
        gap=2 / 3,
    )


def inside(cores: int) -> Inside:
    """Three layers on some of the cores."""
    layers = tuple(
        LayerUse(
            name=f"/features/features.{k}/conv", unfolding="block 1", replication=2, firings=9, crossbars=4, cores=2
        )
        for k in range(3)
    )
    return Inside(
        network="none", mesh=(2, cores // 2), chips=1, crossbars_per_core=4, layers=layers,
        core_crossbars=tuple(c % 5 for c in range(cores)), core_busy=(0.5,) * cores,
        core_layer=tuple(c % 3 if c % 5 else -1 for c in range(cores)), lossless=True,
        area_mm2={"adc": 2.0, "cells": 1.0}, energy_pj={"adc": 9e6, "noc": 1e6},
        accuracy_by={"converters": "9 bits of 9 needed by 128 rows at a time"},
    )  # fmt: skip


def make(sweep: Sweep) -> Evaluator:
    """The judge. Its estimates are half of the timeline's figures, a little more for `batch`."""

    def evaluate(point: Point, fidelity: Fidelity) -> Candidate:
        figures = metrics(point)
        if fidelity is Fidelity.COST:
            share = 0.55 if point.pipeline is Pipeline.BATCH else 0.5
            figures = replace(figures, latency_ns=share * figures.latency_ns, period_ns=share * figures.period_ns)
        if figures.crossbars < NEEDED_CROSSBARS:
            return Candidate(
                point=point,
                verdict=Verdict.INFEASIBLE,
                fidelity=fidelity,
                crossbars=figures.crossbars,
                resource="crossbars",
                reason=f"{figures.crossbars} crossbars, needs {NEEDED_CROSSBARS}: more cores",
                excess=NEEDED_CROSSBARS / figures.crossbars - 1,
            )
        found = Candidate(
            point=point, verdict=Verdict.FEASIBLE, fidelity=fidelity, crossbars=figures.crossbars, metrics=figures,
            inside=(inside(int(dict(point.parameters)["cores"])),) if fidelity is Fidelity.TIMELINE else (),
        )  # fmt: skip
        return judge(found, sweep.limits)

    return Evaluator(evaluate=evaluate)


def make_slow(sweep: Sweep) -> Evaluator:
    """The same, some milliseconds per point."""
    fast = make(sweep)

    def evaluate(point: Point, fidelity: Fidelity) -> Candidate:
        time.sleep(0.02 if sweep.complete else 0.05)
        return fast.evaluate(point, fidelity)

    return Evaluator(evaluate=evaluate)


def make_deadly(sweep: Sweep) -> Evaluator:
    """The same, but compiling for 4 ADCs kills the process as the kernel does when memory runs out."""
    fast = make(sweep)

    def evaluate(point: Point, fidelity: Fidelity) -> Candidate:
        if dict(point.parameters)["adc_count"] == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return fast.evaluate(point, fidelity)

    return Evaluator(evaluate=evaluate)
