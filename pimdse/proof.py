"""Runs the proof of a compiled folder and says what came out."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pimdse.output import Output, plain

if TYPE_CHECKING:
    from pimcomp.frontend import LoadedNetwork
    from pimcomp.verify_program import VerifyReport


def prove(
    folder: Path, network: "LoadedNetwork", *, images: int = 4, seed: int = 0, input_file: Path | None = None
) -> "VerifyReport":
    """Execute the folder's program and compare it with onnxruntime, on random images or those of a file."""
    from pimcomp.verify_program import verify_program
    from pimdse.input_images import read_inputs

    inputs = read_inputs(input_file, network.graph) if input_file is not None else None
    return verify_program(folder, network, images=images, seed=seed, inputs=inputs)


def show_verdict(output: Output, report: "VerifyReport", what: str) -> None:
    """Show the verdict; raises typer.Exit(1) for a mismatch."""
    data = {"what": what, **dataclasses.asdict(report)}
    if not report.passed:
        output.show(data, lambda console: plain(console, f"mismatch: {what}: {report.reason}", "red"))
        raise typer.Exit(1)
    share = report.max_error / report.range
    text = (
        f"verified: {what}: {report.images} images, every output equals onnxruntime; largest error "
        f"{share:.2g} of the output's range (allowed {report.tolerance:g})"
    )
    output.show(data, lambda console: plain(console, text, "green"))
