"""Networks side by side on one chip, beside what each takes alone on the whole chip; writes docs/several-networks.md.

    python -m benchmarks.residents                   # the table, row after row; a quarter of an hour
    python -m benchmarks.residents --rows 2,3        # these rows anew, the others stay

Every row is compiled by `pimdse compile` with the default solver, and its program is executed against ONNX Runtime.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.sections import read_section, rows_of, table, write_section

ROOT = Path(__file__).parents[1]
CHIP, SECTION = "pimcomp_default", "residents"
ROWS = (  # networks, pipeline
    ("squeezenet1_1 mobilenet_v2", "batch"),
    ("squeezenet1_1 mobilenet_v2", "element"),
    ("squeezenet1_1 resnet18", "batch"),
    ("digits_resnet8 digits_vgg8 digits_lenet5", "batch"),
    ("digits_resnet8 digits_vgg8", "batch"),
    ("alexnet caffenet", "batch"),
)  # fmt: skip
HEADER = (
    "networks", "pipeline", "cores", "side by side", "alone, in turn", "of the sum", "of the scaled sum",
    "of the largest scaled", "better", "verified",
)  # fmt: skip


def said(*words: str) -> dict[str, Any]:
    """What `pimdse --json` says. Raises CalledProcessError for a status other than 0."""
    done = subprocess.run(
        [sys.executable, "-m", "pimdse", "--json", *words], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(networks: str, pipeline: str) -> tuple[str, ...]:
    """One row."""
    with tempfile.TemporaryDirectory() as temporary:
        out = str(Path(temporary) / "out")
        seeded = () if networks.startswith("digits_") else ("--weights", "random:0")
        found = said("compile", *networks.split(), "--arch", CHIP, "--pipeline", pipeline, *seeded, "--out", out)
        judged = said("verify", out)
    each, time_ns, gain = found["networks"], found["time_ns"], found["gain"]
    total = sum(entry["cores"] for entry in each)
    alone_ns = [entry["alone"][found["time"]] for entry in each]
    scaled_ns = [ns * total / entry["cores"] for ns, entry in zip(alone_ns, each, strict=True)]
    return (
        networks.replace(" ", ", "), pipeline, " + ".join(str(entry["cores"]) for entry in each),
        f"{time_ns / 1e6:.3g}", f"{' + '.join(f'{ns / 1e6:.3g}' for ns in alone_ns)} = {sum(alone_ns) / 1e6:.3g}",
        *(f"{time_ns / ns:.2f}" for ns in (sum(alone_ns), sum(scaled_ns), max(scaled_ns))),
        f"side by side, {gain:.2f}x" if gain >= 1 else f"in turn, up to {1 / gain:.2f}x",
        f"{judged['max_error'] / judged['range']:.1e}",
    )  # fmt: skip


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(str(number) for number in range(1, len(ROWS) + 1)))
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "several-networks.md")
    given = parser.parse_args()
    for number in map(int, given.rows.split(",")):
        networks, pipeline = ROWS[number - 1]
        found = row(networks, pipeline)
        rows = {(cells[0], cells[1]): cells for cells in rows_of(read_section(given.page, SECTION))[2:]}
        rows[found[0], found[1]] = [*found]
        order = [(networks.replace(" ", ", "), pipeline) for networks, pipeline in ROWS]
        body = table(HEADER, [rows[key] for key in order if key in rows])
        write_section(given.page, SECTION, body, "Several networks on one chip")
        print(" | ".join(found), flush=True)


if __name__ == "__main__":
    main()
