"""Makes pimdse/foundation/kernels.json: `make kernels`. Every command runs in a fresh process: its list is what it asks
for, compiled or kept.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from numba.core import event

ROOT = Path(__file__).parents[2]
SWEEP = """
name: small
chip: {cores: 16, crossbars_per_core: 64}
crossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}, adc: {count: 8}}
core: {rob_size: 1, period_ns: 1.0, vector_width: 16, vector_latency_ns: 4}
numbers: {weight_bits: 8, activation_bits: 8}
local_memory: {bytes: 262144, width_bytes: 16}
global_memory: {width_bytes: 16}
noc: {interconnect: mesh, mesh_rows: 4, flit_bytes: 8}
sweep:
  model: digits_mlp
  trials: 4
  jobs: 1
  fidelity: cost
  solvers: [stream, lns]
  space: {cores: [4, 9]}
"""
# Each command with what it is shown at, the usual first.
COMMANDS = {
    "compile": (
        "compile squeezenet1_1 --solver balance --out squeezenet",
        "compile digits_resnet8 --out element",
        "compile digits_resnet8 --pipeline batch --out batch",
        "compile digits_resnet8 --arch isaac --out isaac",
    ),
    "verify": ("verify squeezenet --images 1", "verify element", "verify element --integer"),
    "simulate": ("simulate squeezenet", "simulate isaac"),
    "trace": ("trace element",),
    "sweep": ("sweep small.yaml --out swept",),
}


class Asked(event.Listener):
    """Entries of the kernels that Python asks for, in that order."""

    def __init__(self) -> None:
        self.entries: list[object] = []

    def on_start(self, event: Any) -> None:
        """A kernel is needed for the first time."""
        from pimdse.foundation.kernels_ahead import entry_of

        self.entries.append(entry_of(event.data["kernel"], event.data["arguments"]))

    def on_end(self, event: Any) -> None:
        """It is there."""


def compiled_by(words: list[str]) -> list[object]:
    """Run a command in this process: the entries of what it asked for."""
    from pimdse.cli import run

    listener = Asked()
    with event.install_listener("pimdse:kernel", listener):
        status = run(["--quiet", *words])
    assert status == 0, words
    return listener.entries


def main() -> None:
    """Write the list."""
    found: dict[str, list[list[object]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "small.yaml").write_text(SWEEP, encoding="utf-8")
        for command, uses in COMMANDS.items():
            code = "import json\nfrom tests.pimdse.kernel_list import compiled_by\n"
            code += f"found = [compiled_by(use.split()) for use in {uses!r}]\nprint('\\n' + json.dumps(found))"
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            found[command] = json.loads(done.stdout.splitlines()[-1])
            print(f"{command}: {sum(map(len, found[command]))} kernels", flush=True)
    (ROOT / "pimdse" / "foundation" / "kernels.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
