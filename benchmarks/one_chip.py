"""Every network that needs several chips on one of them, in segments: compiled, timed, executed against ONNX Runtime.

    python -m benchmarks.one_chip                    # all that docs/matrix.md has on several chips; hours
    python -m benchmarks.one_chip --models vgg16,resnet50 --chips isscc21_16_1 --again
    python -m benchmarks.one_chip --shares --models vgg16,resnet50      # a table of docs/segments.md

Solver `exact`, one image per visit. The page is the record: a cell that is there is not computed again, so the same
command goes on. Segments that differ in names and values of weights alone have programs that differ in these alone: of
every such kind one is compiled, its figures count for all, and it is executed against ONNX Runtime. Of every network
and pipeline one cell, on the macro that needs fewest chips, is compiled as a whole, and all programs are executed in
order.
--shares also times every segment, says what the time is made of, and writes a row per cell.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.matrix import CHIPS, PIPELINES
from benchmarks.sections import read_section, rows_of, table, write_section
from pimcomp.errors import InvariantError, PimdseError
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.proof.executed import VerifyReport
from pimdse.compiling.building import Recipe, make_recipe
from pimdse.compiling.segmented import compile_segments, in_parts, write_one
from pimdse.folder.proof import prove, prove_segments
from solvers.segments import Prices, cut_cheaply, kind_of

ROOT = Path(__file__).parents[1]
SECTION, SHARES = "one chip", "one macro"
MACROS = CHIPS[4:]
Key = tuple[str, str, str]  # network, chip, pipeline
SHARES_HEADER = (
    "network", "chip", "pipeline", "segments", "rows written", "programs", "writing", "MVM", "vector and copies",
    "memory and network", "pimsim-nn", "verified",
)  # fmt: skip


def needing_several(page: str) -> dict[Key, int]:
    """The cells of docs/matrix.md with more than one chip, network by network, and how many."""
    found = {}
    for pipeline in PIPELINES:
        header, _, *rows = rows_of(page.partition(f"\n## {pipeline}\n")[2].partition("\n## ")[0])
        for name, *cells in rows:
            for chip, text in zip(header[1:], cells, strict=True):
                if chips := re.search(r" x(\d+)", text):
                    found[name, chip, pipeline] = int(chips[1])
    order = sorted(found, key=lambda key: (key[0], PIPELINES.index(key[2]), CHIPS.index(key[1])))
    return {key: found[key] for key in order}


@cache
def network_of(model: str) -> LoadedNetwork:
    """As `pimdse compile` loads it here."""
    return load_network(model, weights=recipe_of((model, CHIPS[0], PIPELINES[0])).weights)


def recipe_of(key: Key) -> Recipe:
    """The same for the tables of this file."""
    model, chip, pipeline = key
    return make_recipe(
        model=model, weights=None if model.startswith("digits_") else "random:0", arch=chip, solver="exact",
        pipeline=pipeline, time_limit_s=None, seed=0, options=None,
    )  # fmt: skip


def refuse_wrong(report: VerifyReport) -> None:
    """Raises InvariantError if something else was computed than by ONNX Runtime."""
    if not report.passed:
        raise InvariantError(report.reason)


def shares(folder: Path, writing_ns: float) -> list[str]:
    """What programs and writing are made of, in per cent of both; and what the simulator says of the programs, if the
    environment's PIMSIM_NN names it."""
    command = [sys.executable, "-m", "pimdse", "--json", "simulate", str(folder)]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    parts = found["critical_path_ns"]
    mvm, vector = parts["mvm"], parts["vector"] + parts["copy"]
    total = sum(parts.values()) + writing_ns
    rest = sum(parts.values()) - mvm - vector
    of_both = [f"{100 * ns / total:.3g} %" for ns in (writing_ns, mvm, vector, rest)]
    if "theirs" not in found:
        return [*of_both, "-"]
    off = max(abs(part["relative_difference"]["latency_ns"]) for part in found["segments"])
    return [*of_both, f"{time_text(found['theirs']['latency_ns'])} ({round(100 * off, 4):g} %)"]


def time_text(ns: float) -> str:
    """As "1.07 s"."""
    return f"{ns / 1e9:.3g} s" if ns >= 1e9 else f"{ns / 1e6:.3g} ms"


def whole(key: Key, folder: Path) -> tuple[dict[str, Any], str]:
    """The index of a cell's folder and, of any output, the largest error as a share of its range."""
    found = compile_segments(recipe_of(key), folder)
    report = prove_segments(folder, [network_of(key[0])], images=1)
    refuse_wrong(report)
    return found, f"{max(output.max_error / output.range for output in report.outputs):.1e}"


def by_kinds(key: Key, folder: Path) -> list[dict[str, Any]]:
    """What the index says of the segments, but for names: one of every kind is compiled and executed."""
    recipe, known, entries = recipe_of(key), dict[tuple[str, int], dict[str, Any]](), []
    for part, budget in in_parts(
        cut_cheaply(network_of(key[0]).graph, Prices(recipe.arch, recipe.pipeline, recipe.options))
    ):
        kind = kind_of(part), budget
        if kind not in known:
            file = folder / f"{len(known)}" / f"{len(known)}.onnx"
            known[kind] = write_one(recipe, part, budget, file)
            refuse_wrong(prove(file.parent, load_network(file), images=1))
        entries.append(known[kind])
    return entries


def cell(key: Key, *, all_in_order: bool) -> str:
    """One cell of docs/matrix.md."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "out"
        try:
            if all_in_order:
                entries, mark = whole(key, folder)[0]["segments"], " ✓"
            else:
                folder.mkdir()
                entries, mark = by_kinds(key, folder), " ◦"
        except PimdseError as error:
            return f"✗ {error}"[:200].replace("|", "/")
    written = [entry["write_ns"] for entry in entries]
    writing = "" if None in written else f" + {time_text(sum(written))}"
    return f"{time_text(sum(entry['latency_ns'] for entry in entries))}{writing}, {len(entries)}{mark}"


def shares_row(key: Key) -> list[str]:
    """One row of docs/segments.md."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "out"
        found, error = whole(key, folder)
        writing, *others = shares(folder, found["write_ns"] or 0.0)
    programs, written = time_text(found["latency_ns"]), f"{time_text(found['write_ns'] or 0.0)}, {writing}"
    return [*key, f"{len(found['segments'])}", f"{found['rows_written']:,}", programs, written, *others, error]


def body(cells: dict[Key, str], missing: int) -> str:
    """The section of docs/matrix.md."""
    lines = [
        "## One chip, in segments",
        "",
        "Networks of the tables above that need several chips, on one of them, as programs that follow each other",
        "([segments.md](segments.md)): time of one image in the programs + of writing crossbars for it, and the number",
        "of segments. Solver `exact`, one image per visit. ✓: all programs were executed in order, and every output",
        "equals ONNX Runtime's. ◦: of every kind of segment one was compiled, timed and executed, and every output of",
        "it equals ONNX Runtime's; segments of a kind differ in names and values of weights alone. No mark: one of",
        "every kind was compiled and timed, not executed. Written by `python -m benchmarks.one_chip`.",
        f"Empty: one chip is enough, or not run yet ({missing} cells).",
    ]
    for pipeline in PIPELINES:
        names = sorted({key[0] for key in cells if key[2] == pipeline})
        rows = [[name, *(cells.get((name, chip, pipeline), "") for chip in CHIPS)] for name in names]
        lines += ["", f"### {pipeline}, one chip", "", table(("network", *CHIPS), rows)]
    return "\n".join(lines)


def known_cells(page: Path) -> dict[Key, str]:
    """What the page has."""
    text, found = read_section(page, SECTION), {}
    for pipeline in PIPELINES:
        rows = rows_of(text.partition(f"### {pipeline}, one chip\n")[2].partition("\n### ")[0])
        for row in rows[2:]:
            found |= {(row[0], chip, pipeline): cell for chip, cell in zip(CHIPS, row[1:]) if cell and cell != "."}
    return found


def shown_shares(page: Path) -> dict[Key, str]:
    """The cells whose rows docs/segments.md has."""
    found = {}
    for model, chip, pipeline, segments, _, programs, writing, *_, verified in rows_of(read_section(page, SHARES))[2:]:
        executed = " ✓" if verified != "-" else ""
        found[model, chip, pipeline] = f"{programs} + {writing.partition(',')[0]}, {segments}{executed}"
    return found


def write_shares(keys: Sequence[Key], page: Path) -> None:
    """Rows that docs/segments.md does not have yet."""
    rows = rows_of(read_section(page, SHARES))[2:]
    for key in keys:
        if key not in {tuple(row[:3]) for row in rows}:
            rows.append(shares_row(key))
            rows.sort(key=lambda row: keys.index((row[0], row[1], row[2])) if tuple(row[:3]) in keys else -1)
            write_section(page, SHARES, table(SHARES_HEADER, rows), "Networks larger than the chip")
            print(" | ".join(rows[-1]), flush=True)


def main() -> int:
    """Compute what is missing; 1 if a program computes something wrong or there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="", help="names separated by commas; default: all")
    parser.add_argument("--chips", default=",".join(CHIPS))
    parser.add_argument("--pipelines", default=",".join(PIPELINES))
    parser.add_argument("--again", action="store_true", help="also cells that the page has")
    parser.add_argument("--shares", action="store_true", help="write the rows of docs/segments.md")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    page = given.docs / "matrix.md"
    every = needing_several(page.read_text(encoding="utf-8"))
    macros = sorted((key for key in every if key[1] in MACROS), key=lambda key: every[key], reverse=True)
    fewest = {(key[0], key[2]): key for key in macros}
    models = given.models.split(",") if given.models else [key[0] for key in every]
    keys = [
        k for k in every if k[0] in models and k[1] in given.chips.split(",") and k[2] in given.pipelines.split(",")
    ]
    keys.sort(key=lambda key: models.index(key[0]))
    if given.shares:
        write_shares(keys, given.docs / "segments.md")
        return 0
    cells = known_cells(page) | shown_shares(given.docs / "segments.md")
    for number, key in enumerate(keys, start=1):
        if key in cells and not given.again:
            continue
        cells[key] = cell(key, all_in_order=fewest[key[0], key[2]] == key)
        write_section(page, SECTION, body(cells, len(set(every) - cells.keys())), "Every network on every chip")
        print(f"{number}/{len(keys)} {' '.join(key)}: {cells[key]}", flush=True)
    write_section(page, SECTION, body(cells, len(set(every) - cells.keys())), "Every network on every chip")
    return int(any(text.startswith("✗") for text in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
