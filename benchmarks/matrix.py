"""Every network on every chip in both pipelines: compiled, timed, executed against ONNX Runtime. Makes docs/matrix.md.

    python benchmarks/matrix.py                                     # all of models/, hours; go on with the same command
    python benchmarks/matrix.py --models digits_lenet5,resnet18     # some rows
    python benchmarks/matrix.py --solver lns:budget=0.01            # one program per cell: sooner done
    python benchmarks/matrix.py --cell lenet5 isaac element         # one cell, as JSON

A cell is one process, so a crash or a lack of memory is a result and not the end. Results are kept line by line in
results/matrix/cells.jsonl; a cell that is there is not computed again, unless it was not executed and now would be.
Where a network does not fit one chip, it gets as many as the error's lever says: the fewest on which one replica of
every layer can be packed. Networks ending in _bn must give the same graph as their folded twin, and then share its
cells.

Programs of up to --verify-up-to instructions are executed, and all outputs compared; of larger ones every
VERIFY_EACH-th in the order of the table. The page marks which were.
"""

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CELLS = ROOT / "results" / "matrix" / "cells.jsonl"
CHIPS = ("isaac", "puma", "sre", "forms", "isscc20_15_4", "isscc21_16_1", "isscc22_11_4", "isscc23_16_6")
PIPELINES = ("element", "batch")
VERIFY_EACH = 8
CELL_TIMEOUT_S = 1800
CRASH = "ended with status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One network on one chip in one pipeline. error: why there is no program; max_error: None if it was not executed
    (of the output's range)."""

    model: str
    chip: str
    pipeline: str
    solver: str = "auto"
    chips: int = 1
    latency_ns: float = 0.0
    period_ns: float = 0.0  # per image
    instructions: int = 0
    crossbars: int = 0
    crossbars_used: int = 0
    max_error: float | None = None
    passed: bool | None = None
    error: str = ""

    @property
    def skipped(self) -> bool:
        """Compiled, but not executed."""
        return self.passed is None and not self.error


def compute(model: str, chip: str, pipeline: str, solver: str, verify_up_to: int, at_least: int = 1) -> Cell:
    """Compile on the fewest chips that fit, `at_least` of them, and execute the program if it is short enough."""
    import pimcomp
    from pimcomp.errors import CapacityError, PimdseError
    from pimcomp.schedule import ScheduleOptions

    weights = None if model.startswith("digits_") else "random:0"  # the shipped structures have no weights of their own
    one = pimcomp.load_arch(chip)
    options = ScheduleOptions() if solver == "auto" else ScheduleOptions(orders=1, images_per_round=2)
    cell = Cell(model=model, chip=chip, pipeline=pipeline, solver=solver, chips=at_least)
    while True:
        arch = dataclasses.replace(one, chips=cell.chips)
        try:
            program = pimcomp.compile_model(
                model, arch, pipeline=pipeline, solver=solver, weights=weights, options=options
            )
            break
        except CapacityError as error:
            levers = [re.fullmatch(r"chips: (\d+)", lever) for lever in error.levers]
            enough = [int(lever[1]) for lever in levers if lever]
            if not enough or enough[0] <= cell.chips:
                return dataclasses.replace(cell, error=str(error))
            cell = dataclasses.replace(cell, chips=enough[0])
        except PimdseError as error:
            return dataclasses.replace(cell, error=str(error))
    compiled = program.compiled
    cell = dataclasses.replace(
        cell,
        latency_ns=program.latency_ns,
        period_ns=program.period_ns,
        instructions=compiled.program.instructions,
        crossbars=arch.total_cores * arch.crossbars_per_core,
        crossbars_used=compiled.plan.crossbars_used(compiled.problem),
    )
    if compiled.program.instructions > verify_up_to:
        return cell
    report = program.verify(images=1)
    reason = "" if report.passed else report.reason
    return dataclasses.replace(cell, max_error=report.max_error / report.range, passed=report.passed, error=reason)


def known_cells() -> dict[tuple[str, str, str], Cell]:
    """What was computed before."""
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.exists() else []
    cells = [Cell(**json.loads(line)) for line in lines if line.strip()]
    done = [cell for cell in cells if not cell.error.startswith(CRASH)]  # a crash says nothing about the network
    return {(cell.model, cell.chip, cell.pipeline): cell for cell in done}


def one_cell(model: str, chip: str, pipeline: str, solver: str, verify_up_to: int, at_least: int) -> Cell:
    """`compute` in a process of its own."""
    command = [sys.executable, __file__, "--cell", model, chip, pipeline]
    command += ["--solver", solver, "--verify-up-to", str(verify_up_to), "--at-least", str(at_least)]
    failed = Cell(model=model, chip=chip, pipeline=pipeline, solver=solver)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CELL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return dataclasses.replace(failed, error=f"no end within {CELL_TIMEOUT_S} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return dataclasses.replace(failed, error=f"{CRASH} {done.returncode}: {last}")
    return Cell(**json.loads(done.stdout))


def twin_of(name: str, names: list[str]) -> str | None:
    """The folded network of one that keeps its BatchNormalization."""
    base = name.removesuffix("kept").removesuffix("_bn")
    return base if base != name and base in names else None


def same_structure(left: str, right: str) -> bool:
    """Whether two networks give the same graph, values of weights apart."""
    from pimcomp import load_network

    def described(name: str) -> list[object]:
        graph = load_network(name).graph
        return [
            (
                type(node.operation).__name__,
                getattr(node.operation, "window", None),
                getattr(node.operation, "groups", None),
                (node.channels, node.height, node.width),
                node.activation,
                [(view.sources.tobytes(), view.channels.tobytes()) for view in node.inputs],
            )
            for node in graph.nodes
        ]

    return described(left) == described(right)


def page(cells: dict[tuple[str, str, str], Cell], names: list[str], twins: dict[str, str]) -> str:
    """docs/matrix.md."""
    quick = [name for name in names if any(c.model == name and c.solver != "auto" for c in cells.values())]
    shown = [name for name in names if any((name, chip, p) in cells for chip in CHIPS for p in PIPELINES)]
    lines = [
        "# Every network on every chip",
        "",
        "Made by `make matrix` (benchmarks/matrix.py); do not edit. Time of one image: latency in the element",
        "pipeline, period per image in the batch pipeline. `xN`: on N chips, the fewest that hold the weights. ✓: the",
        "emitted program was executed and every output equals ONNX Runtime's; no mark: compiled and timed, not",
        "executed (too long; of every network at least one program per pipeline was). A dash: infeasible, the reason",
        "is below. Empty: not computed yet.",
        "",
        f"One plan was ordered once (`--solver lns:budget=0.01`) of: {', '.join(quick) or 'none'},",
        "with rounds of 2 images in the batch pipeline. Of the others the best of some 30 was taken (`auto`).",
    ]
    for pipeline in PIPELINES:
        lines += ["", f"## {pipeline}", "", "| network | " + " | ".join(CHIPS) + " |", "|---" * (len(CHIPS) + 1) + "|"]
        for name in shown:
            found = [cells.get((name, chip, pipeline)) for chip in CHIPS]
            lines.append(f"| {name} | " + " | ".join(_text(cell) for cell in found) + " |")
    failed = [cell for cell in cells.values() if cell.error]
    if failed:
        lines += ["", "## Infeasible, and what would help", ""]
        lines += [f"- {c.model}, {c.chip}, {c.pipeline}, {c.chips} chip(s): {c.error}" for c in failed]
    if twins:
        pairs = ", ".join(f"{name} = {base}" for name, base in sorted(twins.items()))
        lines += [
            "",
            "## Twins",
            "",
            f"BatchNormalization folds to the same graph, so the cells are the same: {pairs}.",
        ]
    executed = sum(cell.passed is not None for cell in cells.values())
    lines += ["", f"{len(cells)} cells, {executed} of them executed, {len(failed)} infeasible."]
    return "\n".join(lines) + "\n"


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.error:
        return "✗" if cell.passed is False else "–"
    time_ms = (cell.latency_ns if cell.pipeline == "element" else cell.period_ns) / 1e6
    return f"{time_ms:.3g} ms" + (f" x{cell.chips}" if cell.chips > 1 else "") + (" ✓" if cell.passed else "")


def write_page(path: Path, text: str) -> None:
    """Write the page; the section of benchmarks/one_chip.py stays."""
    kept = path.read_text(encoding="utf-8").partition("<!-- one chip -->") if path.exists() else ("", "", "")
    path.write_text(text + "".join(["\n", *kept[1:]] if kept[1] else []), encoding="utf-8")


def main() -> int:
    """Compute what is missing and write the page; 1 if a program computes something wrong."""
    parser = argparse.ArgumentParser(description="Every network on every chip in both pipelines.")
    parser.add_argument("--models", default="", help="names separated by commas; default: all that ship")
    parser.add_argument("--chips", default=",".join(CHIPS))
    parser.add_argument("--solver", default="auto", help="lns:budget=0.01 orders one program per cell, auto about 30")
    parser.add_argument("--verify-up-to", type=int, default=1_000_000, metavar="INSTRUCTIONS")
    parser.add_argument("--cell", nargs=3, metavar=("MODEL", "CHIP", "PIPELINE"))
    parser.add_argument("--at-least", type=int, default=1, metavar="CHIPS", help="with --cell: chips to begin with")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "matrix.md")
    options = parser.parse_args()
    if options.cell:
        model, chip, pipeline = options.cell
        cell = compute(model, chip, pipeline, options.solver, options.verify_up_to, options.at_least)
        print(json.dumps(asdict(cell)))
        return 0
    from pimcomp import list_models

    every = [entry.name for entry in list_models()]
    names = [name for name in options.models.split(",") if name] or every
    cells = known_cells()
    twins = {name: base for name in names if (base := twin_of(name, every)) and same_structure(name, base)}
    CELLS.parent.mkdir(parents=True, exist_ok=True)
    wanted = [(n, c, p) for n in names if n not in twins for c in options.chips.split(",") for p in PIPELINES]
    for number, key in enumerate(wanted, start=1):
        if key in cells and not (cells[key].skipped and cells[key].instructions <= options.verify_up_to):
            continue
        same = [cells[known].chips for known in cells if known[:2] == key[:2]]
        up_to = options.verify_up_to if number % VERIFY_EACH else 1 << 40
        cell = one_cell(*key, options.solver, up_to, max(same, default=1))
        cells[key] = cell
        with CELLS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(cell)) + "\n")
        print(f"{number}/{len(wanted)} {' '.join(key)}: {_text(cell)} {cell.error[:120]}", flush=True)
        write_page(options.page, page(cells, every, twins))
    write_page(options.page, page(cells, every, twins))
    return 1 if any(cell.passed is False for cell in cells.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
