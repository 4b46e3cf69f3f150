"""Proves that the emitted files compute what ONNX Runtime computes: executes them and compares every output."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from pimcomp.emit.decode import Decoded, EmittedCheckpoints, MemoryImage, decode_program, read_checkpoints, read_memory
from pimcomp.errors import InvariantError, ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.side_by_side import joined_graph
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import FloatArray, Graph, Output
from pimcomp.ir.image_shape import image_shape
from pimcomp.plan.rewriting.heads import cut_as
from pimcomp.plan.rewriting.rewrite import regrouped
from pimcomp.plan.rewriting.stack_rows import rows_stacked, stack_rows
from pimcomp.proof.feeds import (
    Feed,
    count_images,
    feed_inputs,
    images_needed,
    observed_outputs,
    plan_feed,
    random_inputs,
)
from pimcomp.proof.first_wrong import Wrong, check_points, first_wrong
from pimcomp.proof.interpret.faults import ExecutionError
from pimcomp.proof.interpret.run import DEFAULT_LOCAL_BYTES, Prepared, execute, prepare
from pimcomp.proof.reference import intermediate_maps, network_outputs
from pimcomp.proof.rounding import Rounding, far_below, rounding

TOLERANCE = 1e-4  # of an output's range (the project's acceptance limit)
_NODE_TOLERANCE = 1e-3  # of a map's range, when looking for the first wrong one: rounding must not be blamed


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReport:
    """One network output: the largest error over all images, and the range of its reference values, at least so large
    that what float32 rounds is within the tolerance.
    """

    name: str
    max_error: float
    range: float
    tolerance: float
    passed: bool


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The verdict. max_error, range, tolerance: of the worst output. images: how many were compared.

    maps: of how many graph nodes the intermediate results were compared, too (of one lane). host_ns: what ONNX Runtime
    took here per image for segments of the host. chosen: outputs that differ because the host chooses among almost
    equal values; then every segment is judged on the maps that ONNX Runtime computes. networks: of several as one, each
    one's worst output. reason: empty if passed. wrong: the first wrong element, if one could be found; node, core,
    index: where it or the fault is, when known.
    """

    passed: bool
    images: int
    max_error: float
    range: float
    tolerance: float
    outputs: tuple[OutputReport, ...]
    maps: int = 0
    host_ns: float = 0.0
    chosen: tuple[str, ...] = ()
    networks: dict[str, OutputReport] = field(default_factory=dict)
    reason: str = ""
    wrong: Wrong | None = None
    node: str = ""
    core: int = -1
    index: int = -1

    @property
    def share(self) -> float:
        """The largest error as a share of the output's range; not a number if nothing was compared."""
        return self.max_error / self.range


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Emitted:
    """The files of one compile, read back."""

    decoded: Decoded
    memory: MemoryImage
    points: EmittedCheckpoints
    local_memory_bytes: int


def read_emitted(out_dir: Path) -> Emitted:
    """Read program.gz, memory.npz, checkpoints.npz and, for the size of local memory, config.json.

    Raises ModelError if one is missing or damaged.
    """
    return Emitted(
        decode_program(out_dir / "program.gz"),
        read_memory(out_dir / "memory.npz"),
        read_checkpoints(out_dir / "checkpoints.npz"),
        _local_memory_bytes(out_dir / "config.json"),
    )


def verify_program(
    out_dir: Path,
    network: LoadedNetwork,
    *,
    images: int = 4,
    seed: int = 0,
    inputs: Mapping[str, FloatArray] | None = None,
) -> VerifyReport:
    """Execute the emitted program; compare every output of every image, and intermediate maps, with ONNX Runtime.

    inputs: per network input float32[images, *shape without the batch]; default: `images` seeded random ones, or as
    many as the pipeline's delay + 2 rounds take. Every program runs at least two rounds with different images.

    Raises ModelError for files or inputs that do not belong together. What the program does wrong is in the report.
    """
    emitted = read_emitted(out_dir)
    count = max(images, images_needed(emitted.memory))
    given = random_inputs(network.graph, count, seed) if inputs is None else inputs
    try:
        return compare(emitted, network, given)
    except ModelError as error:
        raise ModelError(f"{out_dir}: {error}") from error


def compare(emitted: Emitted, network: LoadedNetwork, inputs: Mapping[str, FloatArray]) -> VerifyReport:
    """As verify_program, for files that were read already."""
    return compare_outputs(emitted, network, inputs)[0]


def compare_outputs(
    emitted: Emitted, network: LoadedNetwork, inputs: Mapping[str, FloatArray]
) -> tuple[VerifyReport, dict[str, FloatArray]]:
    """The verdict, and what the program computed: per output float32[images, elements]; nothing if it did not end."""
    memory = emitted.memory
    count = count_images(inputs)
    feed = plan_feed(memory, count)
    try:
        prepared = prepare(emitted.decoded, memory, rounds=feed.rounds, local_memory_bytes=emitted.local_memory_bytes)
        done = execute(prepared, feed_inputs(memory, feed, inputs))
    except InvariantError as error:
        for name, array in network_outputs(network, inputs).items():
            if not np.isfinite(array).all():
                raise ModelError(
                    f"output {name}: onnxruntime computes infinity or NaN there: the network's numbers exceed float32, "
                    "and there is nothing to compare with"
                ) from error
        return fault_report(error, emitted.points, emitted.decoded), {}
    reference = network_outputs(network, inputs)
    found = observed_outputs(memory, feed, done.outputs)
    pairs = []
    for output in network.graph.outputs:
        expected = expected_output(reference, output)[feed.observed.ravel()]
        pairs.append((output, expected, host_epilogue(output, named_output(found, output))))
    suspects = [(o, e, a) for o, e, a in pairs if not judge_output(o.name, e, a, 0.0).passed]
    observed = _worst_image(*suspects[0][1:]) if suspects else 0
    inside = _look_inside(prepared, emitted, network, inputs, feed, observed)
    reports = [judge_output(o.name, e, a, inside.floor(o)) for o, e, a in pairs]
    worst = _worst(reports)
    wrong, right = inside.wrong, all(r.passed for r in reports)
    as_imported = all(inside.explains(o, named_output(found, o)[observed]) for o in network.graph.outputs)
    report = VerifyReport(
        passed=right and wrong is None,
        images=count,
        max_error=worst.max_error,
        range=worst.range,
        tolerance=TOLERANCE,
        outputs=tuple(reports),
        maps=len(np.unique(emitted.points.node)),
        networks={
            prefix[:-1]: _worst([r for r in reports if r.name.startswith(prefix)]) for prefix, _ in network.parts
        },
        reason="" if right and wrong is None else _reason(worst, wrong, as_imported),
        wrong=wrong,
        node=wrong.node if wrong else "",
        core=wrong.core if wrong else -1,
        index=wrong.index if wrong else -1,
    )
    _, first = np.unique(feed.observed, return_index=True)  # by image: some are observed twice
    return report, {output.name: actual[first] for output, _, actual in pairs}


def host_epilogue(output: Output, values: FloatArray) -> FloatArray:
    """What the host still has to do with a program's output: nothing, softmax or its log. float32[images, elements]."""
    if output.epilogue is None:
        return values
    if output.epilogue not in ("softmax", "log_softmax"):
        raise InvariantError(f"output {output.name}: unknown epilogue {output.epilogue}")
    shape = (len(values), *output.onnx_shape)
    axis = output.epilogue_axis if output.epilogue_axis < 0 else output.epilogue_axis - len(output.onnx_shape)
    logits = values.reshape(shape).astype(np.float64)
    below = logits - logits.max(axis=axis, keepdims=True)
    logarithms = below - np.log(np.exp(below).sum(axis=axis, keepdims=True))
    if output.epilogue == "log_softmax":
        return np.asarray(logarithms.reshape(values.shape), np.float32)
    return np.asarray(np.exp(logarithms).reshape(values.shape), np.float32)


def expected_output(reference: Mapping[str, FloatArray], output: Output) -> FloatArray:
    """What onnxruntime computes, float32[images, elements].

    Raises ModelError if it has another shape than the network's operators define.
    """
    found = reference[output.name]
    if found[0].size != math.prod(output.onnx_shape):
        raise ModelError(
            f"output {output.name}: onnxruntime computes the shape {list(found.shape[1:])}, by the definition of the "
            f"operators it is {list(image_shape(output.onnx_shape))}: there is nothing to compare with (onnxruntime "
            "leaves the dilation out of SAME padding in pools, for example: export the model with explicit pads)"
        )
    return found.reshape(len(found), -1)


def judge_output(name: str, expected: FloatArray, actual: FloatArray, floor: float) -> OutputReport:
    """The report of one output, both float32[images, elements]. floor: an error that rounding explains.

    What a mask put far below is no part of the range, and counts by its own. Infinity and NaN have to be the same.
    """
    endless = ~np.isfinite(expected)
    same = endless & ((actual == expected) | (np.isnan(actual) & np.isnan(expected)))
    expected, actual = np.where(endless, 0, expected), np.where(endless, np.where(same, 0, np.nan), actual)
    error, masked = np.abs(actual.astype(np.float64) - expected), far_below(expected)
    kept = expected[~masked]
    span = float(np.ptp(kept)) or float(np.abs(kept).max()) or 1.0
    span = max(span, floor / TOLERANCE)
    error[masked] *= min(span / float(np.ptp(expected) or 1.0), 1.0)  # a share of their own range
    largest = float(error.max())
    passed = bool(largest <= TOLERANCE * span)  # NaN fails
    return OutputReport(name=name, max_error=largest, range=span, tolerance=TOLERANCE, passed=passed)


def _worst(reports: Sequence[OutputReport]) -> OutputReport:
    return max(reports, key=lambda report: report.max_error / report.range)


def _worst_image(expected: FloatArray, actual: FloatArray) -> int:
    return int(np.argmax(np.abs(actual.astype(np.float64) - expected).max(axis=1)))


def named_output(found: Mapping[str, FloatArray], output: Output) -> FloatArray:
    """The program's output of that name, or its only one without a name: float32[images, elements].

    Raises ModelError if it has neither, or one of another size.
    """
    array = found.get(output.name, found.get(""))
    if array is None:
        raise ModelError(f"memory.npz: the program has no output {output.name}; it has {sorted(found)}")
    expected = math.prod(output.onnx_shape)
    if array.shape[1] != expected:
        name = output.name
        raise ModelError(f"memory.npz: output {name}: expected {expected} elements per image, found {array.shape[1]}")
    return array


@dataclass(frozen=True, slots=True, eq=False)
class _Inside:
    """One lane looked into: the intermediate maps of its images, which of them is the worst, what rounding explains in
    each node's map, and the first wrong element.
    """

    graph: Graph
    maps: Mapping[int, FloatArray]
    image: int
    rounding: Rounding
    wrong: Wrong | None

    def floor(self, output: Output) -> float:
        """The error of an output that rounding explains."""
        compiled = next(o for o in self.graph.outputs if o.name == output.name)
        return max(float(self.rounding.floors[source]) for source in compiled.view.nodes)

    def explains(self, output: Output, values: FloatArray) -> bool:
        """Whether these elements, before the epilogue, are what the maps say."""
        compiled = next(o for o in self.graph.outputs if o.name == output.name)
        pairs = zip(compiled.view.sources.tolist(), compiled.view.channels.tolist(), strict=True)
        chosen = np.stack([self.maps[source][self.image, channel] for source, channel in pairs])
        expected = (chosen.transpose(1, 2, 0) if compiled.layout == "NHWC" else chosen).reshape(1, -1)
        return judge_output(output.name, expected, values[None], self.floor(output)).passed


def _look_inside(
    prepared: Prepared,
    emitted: Emitted,
    network: LoadedNetwork,
    inputs: Mapping[str, FloatArray],
    feed: Feed,
    observed: int,
) -> _Inside:
    """Run the lane of the worst image again and compare every intermediate map the checkpoints show."""
    lane, entered = (int(i) for i in np.unravel_index(observed, feed.observed.shape)[:2])
    image_of = feed.image[lane]
    used, position = np.unique(image_of, return_inverse=True)
    graph = _as_compiled(network, emitted.points.node_names)
    check_points(emitted.points, graph, emitted.memory.images_per_round)
    maps = intermediate_maps(graph, {name: np.asarray(a)[used] for name, a in inputs.items()})
    rounded = rounding(graph, maps)
    wrong = first_wrong(
        prepared,
        emitted.points,
        feed_inputs(emitted.memory, feed, inputs, slice(lane, lane + 1)),
        maps,
        rounded,
        position.reshape(image_of.shape),
        turn=entered + feed.delay,
        tolerance=_NODE_TOLERANCE,
    )
    image = int(np.searchsorted(used, feed.observed.ravel()[observed]))
    return _Inside(graph, maps, image, rounded, wrong)


def _as_compiled(network: LoadedNetwork, names: Sequence[str]) -> Graph:
    """The graph whose nodes the checkpoints number: as loaded, or with siblings merged; layers cut, rows stacked.

    Raises ModelError if the program was compiled from another network.
    """
    for merge in (False, True):
        parts = {prefix: regrouped(part.graph, merge=merge) for prefix, part in network.parts}
        candidate = joined_graph(parts) if parts else regrouped(network.graph, merge=merge)
        candidate = stack_rows(cut_as(candidate, names), rows_stacked(names))
        if [node.name for node in candidate.nodes] == list(names):
            return candidate
    name = network.graph.name
    raise ModelError(f"checkpoints.npz: its nodes are not those of {name}: the program is of another network")


def _reason(worst: OutputReport, wrong: Wrong | None, as_imported: bool) -> str:
    error = f"error {worst.max_error:.3g} of a range of {worst.range:.3g}, allowed {worst.tolerance:g} of it"
    if worst.passed:
        return f"the outputs are right, but not by right means: {wrong}"
    if wrong is None and as_imported:
        return (
            f"output {worst.name}: {error}; the program computes the network as pimdse read it, every intermediate map "
            "included: onnxruntime understands the file in another way"
        )
    if wrong is None:
        return f"output {worst.name}: {error}; every intermediate map is right: the output is put together wrongly"
    return f"output {worst.name}: {error}; first wrong: {wrong}"


def fault_report(error: InvariantError, points: EmittedCheckpoints, decoded: Decoded) -> VerifyReport:
    """The report of a program that could not be executed to its end."""
    node, core, index = "", -1, -1
    if isinstance(error, ExecutionError):
        core, index = error.core, error.index
        at = int(decoded.core_start[core] + index)
        number = int(points.instruction_node[at]) if at < len(points.instruction_node) else -1
        node = points.node_names[number] if 0 <= number < len(points.node_names) else ""
    return VerifyReport(
        passed=False,
        images=0,
        max_error=float("nan"),
        range=float("nan"),
        tolerance=TOLERANCE,
        outputs=(),
        reason=f"{error} (node {node})" if node else str(error),
        node=node,
        core=core,
        index=index,
    )


def _local_memory_bytes(config: Path) -> int:
    """The chip's local memory as the simulator's configuration states it."""
    try:
        chip = orjson.loads(config.read_bytes())["chip_config"]
        return int(chip["core_config"]["local_memory_config"]["memory_size"])
    except FileNotFoundError:
        return DEFAULT_LOCAL_BYTES
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{config}: core_config.local_memory_config.memory_size: expected a number of bytes"
        ) from error
