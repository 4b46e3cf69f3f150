"""Proves that the programs of a network's segments, executed in order, compute what ONNX Runtime computes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pimcomp.emit.decode import read_memory
from pimcomp.errors import ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.ir.graph import FloatArray, Input, image_shape
from pimcomp.proof.executed import VerifyReport, compare_outputs, expected_output, judge_output, read_emitted
from pimcomp.proof.feeds import images_needed, random_inputs
from pimcomp.proof.reference import run_reference


def verify_segments(
    segments: Sequence[tuple[Path, LoadedNetwork]],
    network: LoadedNetwork,
    *,
    images: int = 4,
    seed: int = 0,
    inputs: Mapping[str, FloatArray] | None = None,
) -> VerifyReport:
    """Execute the programs one after the other, each on what those before it computed, as `verify_program` does.

    segments: folder and network of each. Every segment's outputs and intermediate maps are compared with ONNX Runtime
    on the segment, given the same inputs; at the end the outputs of `network` with ONNX Runtime on the whole of it.

    Raises ModelError for files or inputs that do not belong together.
    """
    count = max(images, *(images_needed(read_memory(folder / "memory.npz")) for folder, _ in segments))
    given = random_inputs(network.graph, count, seed) if inputs is None else inputs
    maps, compared = dict(given), 0
    for folder, part in segments:
        report, computed = _one(folder, part, maps)
        if not report.passed:
            return replace(report, reason=f"segment {folder.name}: {report.reason}")
        maps |= computed
        compared += report.maps
    reference = run_reference(network.onnx_bytes(), given, name=network.graph.name)
    reports = []
    for output in network.graph.outputs:
        if output.name not in maps:
            raise ModelError(f"{network.graph.name}: no segment computes the output {output.name}")
        expected = expected_output(reference, output)
        reports.append(judge_output(output.name, expected, maps[output.name].reshape(expected.shape), 0.0))
    worst = max(reports, key=lambda r: r.max_error / r.range)
    error = f"error {worst.max_error:.3g} of a range of {worst.range:.3g}, allowed {worst.tolerance:g} of it"
    reason = f"every segment is right by itself, but of all in order output {worst.name}: {error}"
    return replace(
        report,
        passed=worst.passed,
        max_error=worst.max_error,
        range=worst.range,
        outputs=tuple(reports),
        maps=compared,
        reason="" if worst.passed else reason,
    )


def _one(
    folder: Path, part: LoadedNetwork, maps: Mapping[str, FloatArray]
) -> tuple[VerifyReport, dict[str, FloatArray]]:
    """One segment's verdict and outputs, each float32[images, *shape of one image]."""
    wanted = [node.name for node in part.graph.nodes if isinstance(node.operation, Input)]
    if missing := sorted(set(wanted) - maps.keys()):
        raise ModelError(f"{folder}: reads {', '.join(missing)}, which no segment before it computes")
    try:
        report, computed = compare_outputs(read_emitted(folder), part, {name: maps[name] for name in wanted})
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from error
    shapes = {output.name: image_shape(output.onnx_shape) for output in part.graph.outputs}
    return report, {name: array.reshape(len(array), *shapes[name]) for name, array in computed.items()}
