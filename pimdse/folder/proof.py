"""Runs the proof of a compiled folder and says what came out."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from pimcomp.foundation.own_files import COMPILE, write_file
from pimcomp.frontend import LoadedNetwork
from pimcomp.frontend.side_by_side import joined_graph, prefix_of
from pimcomp.ir.graph import FloatArray
from pimcomp.proof.executed import VerifyReport, verify_program
from pimcomp.proof.executed_in_integers import IntegerReport, verify_integer
from pimcomp.proof.in_segments import in_turn, verify_segments
from pimcomp.proof.trained import find_test_set
from pimdse.display.output import Output, json_object, plain
from pimdse.display.units import time_text
from pimdse.folder.input_images import read_inputs
from pimdse.folder.program import chip_of_folder
from pimdse.folder.segments import is_segments_folder, read_segments

RECORD = "verified.json"


def prove(
    folder: Path, network: LoadedNetwork, *, images: int = 4, seed: int = 0, input_file: Path | None = None
) -> VerifyReport:
    """Execute the folder's program and compare it with onnxruntime, on random images or those of a file."""
    inputs = read_inputs(input_file, network.graph) if input_file is not None else None
    return verify_program(folder, network, images=images, seed=seed, inputs=inputs)


def prove_segments(
    folder: Path,
    networks: Sequence[LoadedNetwork],
    *,
    images: int = 4,
    seed: int = 0,
    input_file: Path | None = None,
) -> VerifyReport:
    """Execute the programs of a folder of segments in order, likewise; networks that take turns one after the other."""
    index, reports = read_segments(folder), dict[str, VerifyReport]()
    for turn, network in zip(index.turns, networks, strict=True):
        inputs = _inputs_of_turn(input_file, turn["label"], network) if input_file is not None else None
        reports[turn["label"]] = verify_segments(index.networks(turn), network, images=images, seed=seed, inputs=inputs)
    return reports[""] if "" in reports else in_turn(reports)


def _inputs_of_turn(file: Path, label: str, network: LoadedNetwork) -> dict[str, FloatArray]:
    """Of a network that takes turns: what is called LABEL/INPUT in the file."""
    if not label:
        return read_inputs(file, network.graph)
    prefix = prefix_of(label)
    found = read_inputs(file, joined_graph({prefix: network.graph}))
    return {name.removeprefix(prefix): array for name, array in found.items()}


def prove_integer(
    folder: Path,
    networks: Sequence[LoadedNetwork],
    *,
    model: str | None,
    weights: str | None = None,
    images: int = 4,
    seed: int = 0,
    input_file: Path | None = None,
    save: bool = False,
) -> IntegerReport:
    """Execute the folder's program, or its segments, in the chip's integers and compare with onnxruntime; of networks
    that take turns the report of the worst.

    A shipped trained network (`model` and `weights` say which it is, in turns the index) meets its test set and labels
    and is calibrated with images of its own; any other, or one with an `input_file`, is compared without labels. save:
    write integer.npz beside every program.
    """
    index, reports = read_segments(folder) if is_segments_folder(folder) else None, list[IntegerReport]()
    for turn, network in zip(index.turns if index else [{"label": ""}], networks, strict=True):
        known = None if network.parts else find_test_set(model or turn["model"], network, weights=weights)
        own = _inputs_of_turn(input_file, turn["label"], network) if input_file is not None else None
        found = verify_integer(
            index.networks(turn) if index else folder,
            network,
            arch=chip_of_folder(index.programs[0] if index else folder),
            images=own or (known.images if known else images),
            seed=seed,
            labels=known.labels if known and own is None else None,
            calibration=known.calibration if known else None,
            save=save,
        )
        named = f"{turn['label']}: {found.reason}" if found.reason and turn["label"] else found.reason
        reports.append(dataclasses.replace(found, reason=named))
    return min(reports, key=lambda report: (report.passed, report.correlation))


def verdict_data(report: VerifyReport | IntegerReport, what: str) -> dict[str, object]:
    """A verdict for machines; one that is not passed has an `error`, as everything that ends with another status."""
    numbers = "float" if isinstance(report, VerifyReport) else "integer"
    data = {"what": what, "numbers": numbers, **_record(report)}
    if report.passed:
        return data
    place = {name: data[name] for name in ("node", "core", "index") if data[name] is not None}
    return {**data, "error": {"kind": "Mismatch", "message": report.reason, **place}}


def _record(report: VerifyReport | IntegerReport) -> dict[str, object]:
    """Its fields; None for a place that is not known."""
    unknown = {name: None for name in ("node", "core", "index") if getattr(report, name) in ("", -1)}
    return {**dataclasses.asdict(report), **unknown}


def show_verdict(output: Output, report: VerifyReport | IntegerReport, what: str) -> None:
    """Show the verdict; raises typer.Exit(1) for a mismatch."""
    output.show(verdict_data(report, what), lambda console: render_verdict(console, report, what))
    if not report.passed:
        raise typer.Exit(1)


def render_verdict(console: Console, report: VerifyReport | IntegerReport, what: str) -> None:
    """The verdict for people."""
    if not report.passed:
        plain(
            console,
            f"mismatch: {what}: {'in integers: ' if isinstance(report, IntegerReport) else ''}{report.reason}",
            "red",
        )
        return
    if isinstance(report, VerifyReport):
        what_equals = "every segment" if report.chosen else "every output"
        found = (
            f", {what_equals} equals onnxruntime; largest error {report.share:.2g} of the output's range "
            f"(allowed {report.tolerance:g})"
        )
    else:
        found = f" in the chip's integers; {_agreement(report)}"
    plain(console, f"verified: {what}: {report.images} images{found}", "green")
    for name, worst in report.networks.items() if isinstance(report, VerifyReport) else ():
        plain(console, f"  {name}: largest error {worst.max_error / worst.range:.2g} of the range of {worst.name}")
    if isinstance(report, VerifyReport) and report.chosen:
        names = ", ".join(report.chosen)
        plain(console, f"note: {names}: the host chooses otherwise among values equal within the tolerance", "yellow")
    if isinstance(report, VerifyReport) and report.host_ns:
        plain(
            console, f"host: {time_text(report.host_ns)} per image by ONNX Runtime on this machine, in no other figure"
        )


def _agreement(report: IntegerReport) -> str:
    follows = f"same largest output for {100 * report.agreement:.2f} %, correlation {report.correlation:.4f}"
    if report.accuracy is None or report.reference_accuracy is None:
        return f"compared with onnxruntime: {follows}"
    return (
        f"top-1 accuracy {100 * report.accuracy:.2f} %, onnxruntime in real numbers "
        f"{100 * report.reference_accuracy:.2f} % (allowed: 1 point lower); {follows}"
    )


def write_record(folder: Path, report: VerifyReport) -> None:
    """Leave the verdict in the folder: verified.json."""
    text = json_object(RECORD, _record(report)) + "\n"
    write_file(folder / RECORD, text.encode(), COMPILE)
