"""Executes the emitted files in the chip's integers and says how well they follow the network in real numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pimcomp.emit.decode import nodes_of
from pimcomp.errors import InvariantError, ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.image_shape import image_shape
from pimcomp.proof.cells import cells_of
from pimcomp.proof.executed import (
    Emitted,
    fault_report,
    host_epilogue,
    named_output,
    read_emitted,
)
from pimcomp.proof.feeds import count_images, feed_inputs, images_needed, observed_outputs, plan_feed, random_inputs
from pimcomp.proof.in_segments import maps_read, reference_outputs
from pimcomp.proof.interpret.integer_run import execute_integer
from pimcomp.proof.interpret.run import prepare
from pimcomp.proof.quantize import group_weight_bits, quantize, write_integer
from pimcomp.proof.reference import ByImage, run_on_host, run_reference

ACCURACY_POINTS = 1.0
"""With labels: how many percentage points of top-1 accuracy integers may lose (the project's acceptance limit)."""
CORRELATION = 0.9
"""Without labels: the least correlation of the outputs with those in real numbers. Unrelated outputs have about 0,
eight-bit integers with power-of-two scales 0.97 and more on the shipped networks.
"""
_CALIBRATION_IMAGES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerReport:
    """The verdict. images: how many were compared. agreement: share of images whose largest output is the same.

    correlation: of all output elements with the reference; where those are all one number, 1 - the error as a share of
    it. sqnr_db: the reference's power over that of the error, at most 200. accuracy, reference_accuracy: shares of
    right answers, None without labels. reason: empty if passed; node, core, index: where a fault is, when there is one.
    """

    passed: bool
    images: int
    agreement: float
    correlation: float
    sqnr_db: float = 0.0
    accuracy: float | None = None
    reference_accuracy: float | None = None
    reason: str = ""
    node: str = ""
    core: int = -1
    index: int = -1


def verify_integer(
    program: Path | Sequence[tuple[Path, LoadedNetwork | bytes]],
    network: LoadedNetwork,
    *,
    arch: Arch | None = None,
    images: int | Mapping[str, FloatArray] = 8,
    seed: int = 0,
    labels: IntArray | None = None,
    calibration: Mapping[str, FloatArray] | None = None,
    save: bool = False,
) -> IntegerReport:
    """Quantise the emitted program, execute it in integers and compare the first output with ONNX Runtime; of several
    networks as one that of each, of which the worst is reported.

    Where the host computes segments, the first output of the last program: what a host chooses is no measure.

    program: its folder; or those of a network's segments, in order, each with its own network, or with its ONNX model
    where the host computes it. Every segment computes on what those before it did, with scales of its own.
    arch: the chip, whose cells and converters decide what an MVM gives (`cells_of`); None: exact products.

    images, calibration: per network input float32[images, *shape without the batch], or how many seeded random ones;
    those of the calibration, which chooses the scales, are of another seed. labels: int[images], the right classes.
    save: write integer.npz into the folder.

    Passes with labels if top-1 accuracy is at most ACCURACY_POINTS below the reference's, without if the outputs
    correlate at least as CORRELATION says. Raises ModelError for files or inputs that do not belong together.
    """
    parts = [(program, network)] if isinstance(program, Path) else program
    graph = network.graph
    emitted = {folder: read_emitted(folder) for folder, part in parts if isinstance(part, LoadedNetwork)}
    least = max(images_needed(each.memory) for each in emitted.values())
    given = random_inputs(graph, max(images, least), seed) if isinstance(images, int) else images
    known = random_inputs(graph, max(_CALIBRATION_IMAGES, least), seed + 1) if calibration is None else calibration
    count = count_images(given)
    if labels is not None and len(labels) != count:
        raise ModelError(f"{len(labels)} labels for {count} images")
    maps: dict[str, ByImage] = {**given}
    known_maps: dict[str, ByImage] = {**known}
    for number, (folder, part) in enumerate(parts):
        if isinstance(part, bytes):
            maps |= run_on_host(part, maps, name=str(folder))[0]
            known_maps |= run_on_host(part, known_maps, name=str(folder))[0]
            continue
        own, own_known = (maps_read(folder, part, values) for values in (maps, known_maps))
        done = _execute(folder, emitted[folder], part, arch, own_known, own, save=save)
        if isinstance(done, IntegerReport):
            return done if len(parts) == 1 else replace(done, reason=f"segment {folder.name}: {done.reason}")
        maps |= done
        if number < len(parts) - 1:
            known_maps |= run_reference(part.onnx_bytes(), own_known, name=part.graph.name)
    outputs = graph.outputs or [p for _, p in parts if isinstance(p, LoadedNetwork)][-1].graph.outputs
    names = [prefix + part.graph.outputs[0].name for prefix, part in network.parts] or [outputs[0].name]
    reference = reference_outputs(network, given, names)
    reports = []
    for name in names:
        if name not in maps or name not in reference:
            raise ModelError(f"{graph.name}: no segment computes the output {name}")
        found, expected = (np.reshape(np.asarray(values), (count, -1)) for values in (maps[name], reference[name]))
        judged = _judge(found, expected, labels)
        reports.append(
            replace(judged, reason=f"{name}: {judged.reason}" if judged.reason and network.parts else judged.reason)
        )
    report = min(reports, key=lambda r: (r.passed, r.correlation))
    if report.passed or arch is None or not arch.clips:
        return report
    have, need = arch.adc_resolution, arch.adc_bits_needed
    remedy = f"; its converters clip, {have} bits where {need} are needed: crossbar.adc.bits: auto, or fewer rows"
    return replace(report, reason=report.reason + remedy)


def _execute(
    out_dir: Path,
    emitted: Emitted,
    network: LoadedNetwork,
    arch: Arch | None,
    known: Mapping[str, FloatArray],
    given: Mapping[str, FloatArray],
    *,
    save: bool,
) -> dict[str, FloatArray] | IntegerReport:
    """A program's outputs in real numbers, per image of `given` and shaped as one; the report of a fault."""
    memory = emitted.memory
    nodes = nodes_of(emitted.points, emitted.decoded, out_dir / "checkpoints.npz")
    known_feed = plan_feed(memory, count_images(known))
    feed = plan_feed(memory, count_images(given))
    try:
        prepared = prepare(emitted.decoded, memory, rounds=feed.rounds, local_memory_bytes=emitted.local_memory_bytes)
        program = quantize(prepared, nodes, feed_inputs(memory, known_feed, known))
        if arch is not None:
            held = cells_of(arch, program.weights, program.bits, group_weight_bits(prepared))
            program = replace(program, weights=program.weights._replace(cells=held))
        done = execute_integer(prepared, program, feed_inputs(memory, feed, given))
    except InvariantError as error:
        fault = fault_report(error, emitted.points, emitted.decoded)
        return IntegerReport(
            passed=False, images=0, agreement=0.0, correlation=0.0,
            reason=fault.reason, node=fault.node, core=fault.core, index=fault.index,
        )  # fmt: skip
    if save:
        write_integer(program, prepared, out_dir / "integer.npz")
    observed, found = observed_outputs(memory, feed, done), {}
    for output in network.graph.outputs:
        values = host_epilogue(output, named_output(observed, output))
        by_image = np.empty((count_images(given), *image_shape(output.onnx_shape)), np.float32)
        by_image[feed.observed.ravel()] = values.reshape(len(values), *by_image.shape[1:])
        found[output.name] = by_image
    return found


def _judge(found: FloatArray, expected: FloatArray, labels: IntArray | None) -> IntegerReport:
    """Compare outputs float32[images, elements]."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    top, reference_top = found.argmax(axis=1), expected.argmax(axis=1)
    spread = found.std() * expected.std()
    if np.ptp(expected) > 0:
        covariance = np.mean((found - found.mean()) * (expected - expected.mean()))
        correlation = float(covariance / spread) if spread > 0 else 0.0
    else:  # one number, as of a single image with one output: it has to be that number instead
        correlation = max(0.0, 1 - float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0)))
    accuracy, reference_accuracy, reason = None, None, ""
    if labels is not None:
        accuracy, reference_accuracy = float((top == labels).mean()), float((reference_top == labels).mean())
        if 100 * (reference_accuracy - accuracy) > ACCURACY_POINTS:
            reason = (
                f"top-1 accuracy {100 * accuracy:.2f} %, in real numbers {100 * reference_accuracy:.2f} %: "
                f"more than {ACCURACY_POINTS:g} point lower"
            )
    elif not correlation >= CORRELATION:
        reason = f"the outputs correlate with those in real numbers by {correlation:.3f}, expected {CORRELATION:g}"
    power, noise = float((expected**2).sum()), float(((found - expected) ** 2).sum())
    return IntegerReport(
        passed=not reason,
        sqnr_db=float(10 * np.log10(power / max(noise, 1e-20 * power))) if power else 0.0,
        images=len(found),
        agreement=float((top == reference_top).mean()),
        correlation=correlation,
        accuracy=accuracy,
        reference_accuracy=reference_accuracy,
        reason=reason,
    )
