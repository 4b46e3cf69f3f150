"""Every solver on every network in both pipelines: is there a verified plan, is there a program, and how good are they?

    python -m benchmarks.solver_matrix --keep MATRIX.jsonl [--out docs/results.md] [--networks ...] [--solvers ...]

Plans come first, programs second; the same plan of two solvers is compiled once. With --keep the command goes on where
it stopped; `--again SOLVER ...` forgets the plans of these solvers (but no program).
"""

import argparse
import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.sections import table, write_section
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.ir.plan import Outcome, Pipeline, Plan, Status
from pimdse.compiling.building import make_recipe
from pimdse.compiling.comparison import Row, planned, programmed, with_model_gaps

NETWORKS = (
    "alexnet", "caffenet", "googlenet", "mobilenet_v2", "resnet18", "resnet34", "resnet50", "shufflenet_v1_g3",
    "squeezenet1_1", "vgg16", "inception_v3", "rcnn_ilsvrc13",
)  # fmt: skip
SOLVERS = ("balance", "uniform", "W0H0", "ga", "exact", "cpsat", "ilp", "nsga2", "auto")
HEURISTICS = ("balance", "uniform", "W0H0")
SECTION = "solver matrix"
PROGRAM_FIELDS = (
    *("latency_ns", "period_ns", "bound_ns", "gap", "bound_period_ns", "gap_period"),
    *("energy_pj", "missing", "compile_s"),
)
Key = tuple[str, str, str]


@dataclass
class Kept:
    """What is known: plans by (network, pipeline, solver), programs by (network, pipeline, digest of the plan)."""

    file: Path | None
    plans: dict[Key, tuple[Row, Outcome]]
    programs: dict[Key, dict[str, object]]

    def add_plan(self, key: Key, row: Row, outcome: Outcome) -> None:
        """Remember a plan."""
        self.plans[key] = row, outcome
        self._append({"kind": "plan", "key": key, "row": dataclasses.asdict(row), "outcome": _outcome_json(outcome)})

    def add_program(self, key: Key, row: Row) -> None:
        """Remember a program's figures."""
        figures = {name: getattr(row, name) for name in PROGRAM_FIELDS}
        self.programs[key] = figures
        self._append({"kind": "program", "key": key, "figures": figures})

    def _append(self, entry: dict[str, object]) -> None:
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(entry) + "\n")


def read_kept(file: Path | None, again: Sequence[str]) -> Kept:
    """The entries of a file so far; a line torn by a crash is ignored."""
    kept = Kept(file, {}, {})
    if file is None or not file.exists():
        return kept
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        key = tuple(entry["key"])
        if entry["kind"] == "program":
            kept.programs[key] = entry["figures"]
        elif key[2] not in again:
            kept.plans[key] = Row(**entry["row"]), _outcome(entry["outcome"])
    return kept


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    found: dict[str, object] = {
        "status": str(outcome.status),
        "bound_ns": outcome.bound_ns,
        "objective_ns": outcome.objective_ns,
    }
    if outcome.plan is None:
        return found
    plan = outcome.plan
    cores = [cores.tolist() for cores in plan.core_of]
    return {**found, "plan": {"option": plan.option, "replication": plan.replication, "core_of": cores}}


def _outcome(data: dict[str, object]) -> Outcome:
    plan = None
    if isinstance(stored := data.pop("plan", None), dict):
        cores = tuple(np.array(c, dtype=np.int32).reshape(len(c), -1) for c in stored["core_of"])
        plan = Plan(option=tuple(stored["option"]), replication=tuple(stored["replication"]), core_of=cores)
    return Outcome(
        status=Status(str(data["status"])),
        plan=plan,
        bound_ns=data["bound_ns"],  # type: ignore[arg-type]
        objective_ns=data["objective_ns"],  # type: ignore[arg-type]
    )


def digest(plan: Plan) -> str:
    """Equal for equal plans."""
    cores = b"".join(c.tobytes() for c in plan.core_of)
    return hashlib.sha256(repr((plan.option, plan.replication)).encode() + cores).hexdigest()[:16]


def fill(
    kept: Kept,
    networks: Sequence[str],
    solvers: Sequence[str],
    arch: str,
    time_limit_s: float | None,
    stages: Sequence[str],
) -> None:
    """All plans, then all programs that are not known yet; one line of progress for each."""
    for stage in stages:
        for name in networks:
            network: LoadedNetwork | None = None
            for pipeline in Pipeline:
                for solver in solvers:
                    key = (name, str(pipeline), solver)
                    known = kept.plans.get(key)
                    if stage == "plan" and known is not None:
                        continue
                    if stage == "program":
                        assert known is not None
                        plan = known[1].plan
                        if plan is None or (*key[:2], digest(plan)) in kept.programs:
                            continue
                    network = network if network is not None else load_network(name, weights="random:0")
                    recipe = make_recipe(
                        model=name, weights="random:0", arch=arch, solver=solver, pipeline=str(pipeline),
                        time_limit_s=time_limit_s, seed=0, options=None,
                    )  # fmt: skip
                    if known is None:
                        row, outcome = planned(network, recipe)
                        kept.add_plan(key, row, outcome)
                    else:
                        row, outcome = programmed(network, recipe, *known), known[1]
                        assert outcome.plan is not None
                        kept.add_program((*key[:2], digest(outcome.plan)), row)
                    _say(stage, name, row)


def _say(stage: str, name: str, row: Row) -> None:
    time_ns = row.cost_ns if stage == "plan" else row.timeline_ns
    figure = row.missing if time_ns is None else f"{time_ns / 1e3:,.0f} us"
    print(f"{stage} {name} {row.pipeline} {row.solver}: {row.status} {figure}", file=sys.stderr, flush=True)


def rows_of(kept: Kept, network: str, pipeline: str, solvers: Sequence[str]) -> list[Row]:
    """The finished rows of one network and pipeline, gaps included."""
    rows = []
    for solver in solvers:
        row, outcome = kept.plans[network, pipeline, solver]
        figures = kept.programs.get((network, pipeline, digest(outcome.plan)), {}) if outcome.plan else {}
        rows.append(dataclasses.replace(row, **figures))  # type: ignore[arg-type]
    return with_model_gaps(rows)


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean; NaN of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def section(kept: Kept, networks: Sequence[str], solvers: Sequence[str], arch: str, time_limit_s: float | None) -> str:
    """The section of the page."""
    cells = {(n, p): rows_of(kept, n, p, solvers) for n in networks for p in map(str, Pipeline)}
    rows = [row for found in cells.values() for row in found]
    programs = sum(row.timeline_ns is not None for row in rows)
    proven = [row for row in rows if row.status == "infeasible"]
    limit = "within their own budgets" if time_limit_s is None else f"`--time-limit {time_limit_s:g}`"
    parts = [
        f"## Solvers\n\n{len(networks)} networks, {len(solvers)} solvers and both pipelines on `{arch}`, "
        f"{limit}: of {len(rows)} cells, {programs} have a verified plan and a verified "
        f"program with its timeline, {len(proven)} are proven infeasible, {len(rows) - programs - len(proven)} have "
        "neither. Weights random:0, seed 0, `rob_size` 1. Times are of one image.",
        _lost(cells),
    ]
    for pipeline, what in ((Pipeline.ELEMENT, "Latency"), (Pipeline.BATCH, "Period")):
        mine = {n: cells[n, str(pipeline)] for n in networks}
        parts += [
            f"### {what}, {pipeline} pipeline: the program's timeline, us",
            _times(mine, solvers),
            _standing(mine, solvers),
            f"Crossbars used, {pipeline} pipeline:",
            _grid(mine, solvers, lambda row: "" if row.crossbars_used is None else f"{row.crossbars_used:,}"),
            f"Model gap, {pipeline} pipeline: 1 - bound / cost, both in the cost model; the bound is the best proven:",
            _grid(mine, solvers, lambda row: "" if row.gap_model is None else f"{100 * row.gap_model:.1f} %"),
            f"Processor seconds of the solver, {pipeline} pipeline:",
            _grid(mine, solvers, lambda row: f"{row.solve_s:.2f}" + ("*" if row.time_limited else "")),
        ]
    parts.append("*: the wall-clock limit ended the search, so another run may give another plan.")
    parts.append("```sh\npython -m benchmarks.solver_matrix --keep MATRIX.jsonl --out docs/results.md\n```")
    return "\n\n".join(part for part in parts if part)


def _lost(cells: dict[tuple[str, str], list[Row]]) -> str:
    lost = [(n, row) for (n, _), rows in cells.items() for row in rows if row.timeline_ns is None]
    return "\n".join(f"- {n}, {row.solver}, {row.pipeline}: {row.status}; {row.missing}" for n, row in lost)


def _times(mine: dict[str, list[Row]], solvers: Sequence[str]) -> str:
    lines = []
    for name, rows in mine.items():
        times = [row.timeline_ns for row in rows if row.timeline_ns is not None]
        best = min(times, default=0.0)
        bound = max((row.timeline_bound_ns for row in rows if row.timeline_bound_ns is not None), default=math.nan)
        cells = [
            "-" if row.timeline_ns is None else f"**{row.timeline_ns / 1e3:,.0f}**" if row.timeline_ns == best
            else f"{row.timeline_ns / 1e3:,.0f}"
            for row in rows
        ]  # fmt: skip
        lines.append([name, *cells, f"{bound / 1e3:,.0f}", f"{100 * (1 - bound / best):.0f} %" if best else ""])
    return table(["network", *solvers, "bound", "gap of the best"], lines)


def _grid(mine: dict[str, list[Row]], solvers: Sequence[str], cell: Callable[[Row], str]) -> str:
    return table(["network", *solvers], [[name, *map(cell, rows)] for name, rows in mine.items()])


def _standing(mine: dict[str, list[Row]], solvers: Sequence[str]) -> str:
    """auto against the best other solver and against the best heuristic."""
    if "auto" not in solvers:
        return ""
    others: list[float] = []
    heuristics: list[float] = []
    for rows in mine.values():
        time = {row.solver: row.timeline_ns for row in rows if row.timeline_ns is not None}
        if "auto" not in time:
            continue
        for ratios, names in ((others, time.keys() - {"auto"}), (heuristics, time.keys() & set(HEURISTICS))):
            ratios.extend([min(time[s] for s in names) / time["auto"]] if names else [])
    if not others or not heuristics:
        return ""
    return (
        f"auto is {geometric_mean(others):.2f} times as fast as the best other solver of each network (geometric mean; "
        f"{min(others):.2f} to {max(others):.2f}), and {geometric_mean(heuristics):.2f} times as fast as the best of "
        f"{', '.join(HEURISTICS)}."
    )


def main() -> None:
    """Measure, print and, with --out, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help="shipped names or files")
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS))
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--time-limit", type=float, help="of each solver, in seconds; default: its own budget")
    parser.add_argument("--keep", type=Path, help="file of results so far")
    parser.add_argument("--again", nargs="+", default=[], help="solvers whose plans are made anew")
    parser.add_argument("--plans-only", action="store_true", help="stop before the programs; write nothing")
    parser.add_argument("--out", type=Path, help="page whose section on solvers is replaced")
    options = parser.parse_args()
    kept = read_kept(options.keep, options.again)
    stages = ("plan",) if options.plans_only else ("plan", "program")
    fill(kept, options.networks, options.solvers, options.arch, options.time_limit, stages)
    if options.plans_only:
        return
    body = section(kept, options.networks, options.solvers, options.arch, options.time_limit)
    print(body)
    if options.out is not None:
        write_section(options.out, SECTION, body, "Results")


if __name__ == "__main__":
    main()
