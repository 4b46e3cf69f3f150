"""Proves that the programs of a network's segments, and what the host computes, give what ONNX Runtime does."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pimcomp.emit.decode import read_memory
from pimcomp.errors import ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.onnx.export import with_outputs
from pimcomp.frontend.side_by_side import prefix_of
from pimcomp.ir.graph import FloatArray, Input
from pimcomp.ir.image_shape import image_shape
from pimcomp.proof.executed import (
    OutputReport,
    VerifyReport,
    compare_outputs,
    expected_output,
    judge_output,
    read_emitted,
)
from pimcomp.proof.feeds import images_needed, random_inputs
from pimcomp.proof.reference import ByImage, network_outputs, refuse_missing, run_on_host


def verify_segments(
    segments: Sequence[tuple[Path, LoadedNetwork | bytes]],
    network: LoadedNetwork,
    *,
    images: int = 4,
    seed: int = 0,
    inputs: Mapping[str, FloatArray] | None = None,
) -> VerifyReport:
    """Execute the programs one after the other, each on what those before it computed, as `verify_program` does.

    segments: folder and network of each; of those for the host the ONNX model, which ONNX Runtime computes. Every
    program's outputs and intermediate maps are compared with ONNX Runtime on the segment, given the same inputs; at the
    end the outputs of `network`, and what passes between chip and host, with ONNX Runtime on the whole of it.

    Raises ModelError for files or inputs that do not belong together.
    """
    programs = [folder for folder, part in segments if isinstance(part, LoadedNetwork)]
    count = max(images, *(images_needed(read_memory(folder / "memory.npz")) for folder in programs))
    given = random_inputs(network.graph, count, seed) if inputs is None else inputs
    report, maps = _in_order(segments, given, {})
    if not report.passed:
        return report
    expected = reference_outputs(network, given, [*maps])
    if missing := sorted(expected.keys() - maps.keys()):
        raise ModelError(f"{network.graph.name}: no segment computes the output {', '.join(missing)}")
    reports = tuple(_judge(name, values, maps[name]) for name, values in expected.items())
    whole = _by_worst(report, reports)
    if not whole.passed:
        worst = _worst(reports)
        error = f"error {worst.max_error:.3g} of a range of {worst.range:.3g}, allowed {worst.tolerance:g} of it"
        reason = f"every segment is right by itself, but of all in order output {worst.name}: {error}"
        whole = replace(whole, reason=reason)
    if whole.passed or len(programs) == len(segments):
        return whole
    # What the host chooses among almost equal values, it may choose otherwise: is every segment right on the whole
    # network's own maps?
    alone, _ = _in_order(segments, given, expected)
    chosen = tuple(judged.name for judged in reports if not judged.passed)
    return replace(alone, chosen=chosen, host_ns=report.host_ns) if alone.passed else whole


def in_turn(reports: Mapping[str, VerifyReport]) -> VerifyReport:
    """The verdict of networks that take turns, by label: that of the worst, with the outputs of all."""
    label, worst = max(reports.items(), key=lambda named: (not named[1].passed, named[1].share))
    every = [(prefix_of(label), report) for label, report in reports.items()]
    return replace(
        worst,
        images=min(report.images for _, report in every),
        outputs=tuple(replace(o, name=prefix + o.name) for prefix, report in every for o in report.outputs),
        maps=sum(report.maps for _, report in every),
        host_ns=sum(report.host_ns for _, report in every),
        chosen=tuple(prefix + name for prefix, report in every for name in report.chosen),
        networks={prefix[:-1]: _worst(report.outputs) for prefix, report in every if report.outputs},
        reason=f"{label}: {worst.reason}" if worst.reason else "",
    )


def _in_order(
    segments: Sequence[tuple[Path, LoadedNetwork | bytes]],
    given: Mapping[str, FloatArray],
    known: Mapping[str, ByImage],
) -> tuple[VerifyReport, dict[str, ByImage]]:
    """Every segment in order: the verdict, and all maps by name, per name an array per image.

    known: maps that every segment has to compute, and that those behind it then read.
    """
    maps: dict[str, ByImage] = {**given}
    reports: list[VerifyReport] = []
    judged: list[OutputReport] = []
    host_ns = 0.0
    for folder, part in segments:
        if isinstance(part, bytes):
            found, seconds = run_on_host(part, maps, name=str(folder))
            computed: Mapping[str, ByImage] = found
            host_ns += 1e9 * seconds
        else:
            report, computed = _one(folder, part, maps)
            reports.append(report)
            if not report.passed:
                return replace(report, reason=f"segment {folder.name}: {report.reason}"), maps
        judged += [_judge(name, known[name], computed[name]) for name in computed if name in known]
        maps |= {name: known.get(name, values) for name, values in computed.items()}
    whole = replace(_by_worst(reports[-1], judged), maps=sum(report.maps for report in reports), host_ns=host_ns)
    return whole, maps


def _worst(judged: Sequence[OutputReport]) -> OutputReport:
    return max(judged, key=lambda r: (not r.passed, r.max_error / r.range))


def _by_worst(report: VerifyReport, judged: Sequence[OutputReport]) -> VerifyReport:
    """The report with these outputs, and the verdict of the worst of them, or of its own where there are none."""
    worst = _worst(judged or report.outputs)
    return replace(report, passed=worst.passed, max_error=worst.max_error, range=worst.range, outputs=tuple(judged))


def reference_outputs(
    network: LoadedNetwork, given: Mapping[str, FloatArray], further: Sequence[str] = ()
) -> Mapping[str, ByImage]:
    """What ONNX Runtime computes of the whole network: per output, and per further tensor, an array per image."""
    if not network.graph.outputs:
        model = with_outputs(network.onnx_bytes(), further) if further else network.onnx_bytes()
        return run_on_host(model, given, name=network.graph.name)[0]
    found = network_outputs(network, given)
    return {output.name: expected_output(found, output) for output in network.graph.outputs}


def _judge(name: str, expected: ByImage, found: ByImage) -> OutputReport:
    """The report of one output. Integers have to be the same, and how many elements there are."""
    wanted, computed = (np.concatenate([np.ravel(array) for array in arrays]) for arrays in (expected, found))
    if wanted.size and wanted.dtype.kind == "f" and [np.size(a) for a in expected] == [np.size(a) for a in found]:
        return judge_output(name, wanted[None], computed[None], 0.0)
    same = np.array_equal(wanted, computed)
    return OutputReport(name=name, max_error=0.0 if same else np.inf, range=1.0, tolerance=0.0, passed=same)


def maps_read(folder: Path, part: LoadedNetwork, maps: Mapping[str, ByImage]) -> dict[str, FloatArray]:
    """What a segment's program reads of all images: per input float32[images, *shape of one image].

    maps: per name an array per image. Raises ModelError if one is missing, of another size or not finite.
    """
    wanted = {n.name: image_shape(n.operation.onnx_shape) for n in part.graph.nodes if isinstance(n.operation, Input)}
    refuse_missing(wanted, maps, name=str(folder))
    for name, shape in wanted.items():
        if any(array.size != math.prod(shape) for array in maps[name]):
            others = sorted({array.shape for array in maps[name]})
            raise ModelError(f"{folder}: {name}: expected maps of {list(shape)}, found {', '.join(map(str, others))}")
    found = {
        name: np.stack([np.asarray(array, np.float32).reshape(shape) for array in maps[name]])
        for name, shape in wanted.items()
    }
    if strange := [name for name, values in found.items() if not np.isfinite(values).all()]:
        raise ModelError(f"{folder}: reads infinite numbers or NaN in {', '.join(strange)}: expected finite ones")
    return found


def _one(folder: Path, part: LoadedNetwork, maps: Mapping[str, ByImage]) -> tuple[VerifyReport, dict[str, FloatArray]]:
    """One segment's verdict and outputs, each float32[images, *shape of one image]."""
    given = maps_read(folder, part, maps)
    try:
        report, computed = compare_outputs(read_emitted(folder), part, given)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from error
    shapes = {output.name: image_shape(output.onnx_shape) for output in part.graph.outputs}
    return report, {name: array.reshape(len(array), *shapes[name]) for name, array in computed.items()}
