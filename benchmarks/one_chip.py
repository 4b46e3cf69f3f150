"""Every network that needs several chips on one of them, in segments: compiled, timed, executed against ONNX Runtime.

    python -m benchmarks.one_chip                    # all that docs/matrix.md has on several chips; hours
    python -m benchmarks.one_chip --models vgg16,resnet50 --chips isscc21_16_1 --every 1
    python -m benchmarks.one_chip --shares --models vgg16,resnet50 --every 1      # a table of docs/segments.md

Solver `exact`, one image per visit. The page is the record: a cell that is there is not computed again, so the same
command goes on. Programs of up to VERIFY_UP_TO instructions together are executed, of the others every VERIFY_EACH-th
in the order of the table. --shares also times every segment, says what the time is made of, and writes a row per cell.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.matrix import CELL_TIMEOUT_S, CHIPS, PIPELINES, VERIFY_EACH
from benchmarks.sections import read_section, rows_of, table, write_section

ROOT = Path(__file__).parents[1]
SECTION, SHARES = "one chip", "one macro"
VERIFY_UP_TO = 1_000_000
Key = tuple[str, str, str]  # network, chip, pipeline
SHARES_HEADER = (
    "network", "chip", "pipeline", "segments", "rows written", "programs", "writing", "MVM", "vector and copies",
    "memory and network", "verified",
)  # fmt: skip


def needing_several(page: str) -> list[Key]:
    """The cells of docs/matrix.md with more than one chip, network by network."""
    found = []
    for pipeline in PIPELINES:
        header, _, *rows = rows_of(page.partition(f"\n## {pipeline}\n")[2].partition("\n## ")[0])
        found += [
            (r[0], chip, pipeline) for r in rows for chip, cell in zip(header[1:], r[1:]) if re.search(r" x\d", cell)
        ]
    return sorted(found, key=lambda key: (key[0], PIPELINES.index(key[2]), CHIPS.index(key[1])))


def pimdse(*words: str) -> dict[str, Any]:
    """What a command says. Raises ChildProcessError with its last line."""
    command = [sys.executable, "-m", "pimdse", "--json", *words]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CELL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ChildProcessError(f"{words[0]}: no end within {CELL_TIMEOUT_S} s") from None
    if done.returncode:
        raise ChildProcessError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compiled(key: Key, folder: Path) -> dict[str, Any]:
    """The index of the segments, with the programs' instructions."""
    model, chip, pipeline = key
    weights = () if model.startswith("digits_") else ("--weights", "random:0")
    words = ("--arch", chip, "--solver", "exact", "--pipeline", pipeline, "--segments", "--out", str(folder))
    content = pimdse("compile", model, *weights, *words)
    reports = [json.loads(file.read_bytes()) for file in folder.glob("*/report.json")]
    return content | {"instructions": sum(report["instructions_per_round"] for report in reports)}


def largest_error(folder: Path) -> str:
    """Of any output, as a share of its range."""
    outputs = pimdse("verify", str(folder), "--images", "1")["outputs"]
    return f"{max(output['max_error'] / output['range'] for output in outputs):.1e}"


def shares(folder: Path, writing_ns: float) -> list[str]:
    """What programs and writing are made of, in per cent of both."""
    parts = pimdse("simulate", str(folder))["critical_path_ns"]
    mvm, vector = parts["mvm"], parts["vector"] + parts["copy"]
    total = sum(parts.values()) + writing_ns
    rest = sum(parts.values()) - mvm - vector
    return [f"{100 * ns / total:.3g} %" for ns in (writing_ns, mvm, vector, rest)]


def time_text(ns: float) -> str:
    """As "1.07 s"."""
    return f"{ns / 1e9:.3g} s" if ns >= 1e9 else f"{ns / 1e6:.3g} ms"


def cell(key: Key, *, verify: bool) -> str:
    """One cell of docs/matrix.md."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "out"
        try:
            found = compiled(key, folder)
            executed = verify or found["instructions"] <= VERIFY_UP_TO
            if executed:
                largest_error(folder)
        except ChildProcessError as error:
            return f"✗ {error}"[:200].replace("|", "/")
    writing = f" + {time_text(found['write_ns'])}" if found["write_ns"] is not None else ""
    return f"{time_text(found['latency_ns'])}{writing}, {len(found['segments'])}{' ✓' if executed else ''}"


def shares_row(key: Key, *, verify: bool) -> list[str]:
    """One row of docs/segments.md."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "out"
        found = compiled(key, folder)
        writing, *others = shares(folder, found["write_ns"] or 0.0)
        error = largest_error(folder) if verify else "-"
    programs, written = time_text(found["latency_ns"]), f"{time_text(found['write_ns'] or 0.0)}, {writing}"
    return [*key, f"{len(found['segments'])}", f"{found['rows_written']:,}", programs, written, *others, error]


def body(cells: dict[Key, str], missing: int) -> str:
    """The section of docs/matrix.md."""
    lines = [
        "## One chip, in segments",
        "",
        "Networks of the tables above that need several chips, on one of them, as programs that follow each other",
        "([segments.md](segments.md)): time of one image in the programs + of writing crossbars for it, and the number",
        "of segments. Solver `exact`, one image per visit; ✓ as above. Written by `python -m benchmarks.one_chip`.",
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


def write_shares(keys: Sequence[Key], page: Path, every: int) -> None:
    """Rows that docs/segments.md does not have yet."""
    rows = rows_of(read_section(page, SHARES))[2:]
    for number, key in enumerate(keys, start=1):
        if key not in {tuple(row[:3]) for row in rows}:
            rows.append(shares_row(key, verify=number % every == 0))
            rows.sort(key=lambda row: keys.index((row[0], row[1], row[2])) if tuple(row[:3]) in keys else -1)
            write_section(page, SHARES, table(SHARES_HEADER, rows), "Networks larger than the chip")
            print(" | ".join(rows[-1]), flush=True)


def main() -> int:
    """Compute what is missing; 1 if a program computes something wrong or there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="", help="names separated by commas; default: all")
    parser.add_argument("--chips", default=",".join(CHIPS))
    parser.add_argument("--pipelines", default=",".join(PIPELINES))
    parser.add_argument("--every", type=int, default=VERIFY_EACH, metavar="N", help="execute every N-th large one")
    parser.add_argument("--shares", action="store_true", help="write the rows of docs/segments.md")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    page = given.docs / "matrix.md"
    every = needing_several(page.read_text(encoding="utf-8"))
    models = given.models.split(",") if given.models else [key[0] for key in every]
    keys = [
        k for k in every if k[0] in models and k[1] in given.chips.split(",") and k[2] in given.pipelines.split(",")
    ]
    keys.sort(key=lambda key: models.index(key[0]))
    if given.shares:
        write_shares(keys, given.docs / "segments.md", given.every)
        return 0
    cells = known_cells(page) | shown_shares(given.docs / "segments.md")
    for number, key in enumerate(keys, start=1):
        if key in cells:
            continue
        cells[key] = cell(key, verify=number % given.every == 0)
        write_section(page, SECTION, body(cells, len(set(every) - cells.keys())), "Every network on every chip")
        print(f"{number}/{len(keys)} {' '.join(key)}: {cells[key]}", flush=True)
    write_section(page, SECTION, body(cells, len(set(every) - cells.keys())), "Every network on every chip")
    return int(any(text.startswith("✗") for text in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
