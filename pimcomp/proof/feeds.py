"""Which image enters which round of which lane, and what comes out of them in the order of the images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pimcomp.emit.decode import MemoryImage
from pimcomp.errors import ModelError
from pimcomp.ir.graph import FloatArray, Graph, Input
from pimcomp.ir.image_shape import image_shape
from pimcomp.ir.program import LongArray


def random_inputs(graph: Graph, images: int, seed: int) -> dict[str, FloatArray]:
    """Seeded standard normal images, float32[images, *shape without the batch], per network input."""
    rng = np.random.default_rng(seed)
    return {
        node.name: rng.standard_normal((images, *image_shape(node.operation.onnx_shape)), np.float32)
        for node in graph.nodes
        if isinstance(node.operation, Input)
    }


def count_images(inputs: Mapping[str, FloatArray]) -> int:
    """How many images all inputs hold.

    Raises ModelError if there are none, or another number in one input than in another.
    """
    counts = {name: len(array) if np.ndim(array) else 0 for name, array in inputs.items()}
    if not counts or not min(counts.values()):
        raise ModelError(f"no images: expected at least one for every input, found {counts or 'no inputs'}")
    if len(set(counts.values())) > 1:
        raise ModelError(
            f"{', '.join(f'{count} images for {name}' for name, count in counts.items())}: expected as many"
        )
    return counts.popitem()[1]


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """image: int64[lanes, rounds, images per round]: the image that enters there. The last `delay` rounds of a lane
    only push the others through.
    """

    image: LongArray
    delay: int

    @property
    def rounds(self) -> int:
        """Rounds of every lane."""
        return int(self.image.shape[1])

    @property
    def observed(self) -> LongArray:
        """int64[lanes, rounds - delay, images per round]: the images whose outputs appear, by round of entry."""
        return self.image[:, : self.rounds - self.delay]


def plan_feed(memory: MemoryImage, images: int) -> Feed:
    """delay + 2 rounds per lane, as many lanes as it takes for all images to be observed."""
    delay, per_round = memory.output_round_delay, memory.images_per_round
    observed = np.arange(-(-images // (2 * per_round)) * 2 * per_round).reshape(-1, 2, per_round)
    # Behind them other images, so that a late round cannot pass by chance with what an early one left.
    pushing = observed[:, :1] + 1 + np.arange(1, delay + 1)[:, None] * 2 * per_round
    return Feed(np.concatenate([observed, pushing.astype(np.int64)], axis=1) % images, delay)


def images_needed(memory: MemoryImage) -> int:
    """Distinct images that delay + 2 rounds take."""
    return (memory.output_round_delay + 2) * memory.images_per_round


def feed_inputs(
    memory: MemoryImage, feed: Feed, inputs: Mapping[str, FloatArray], lanes: slice = slice(None)
) -> dict[str, FloatArray]:
    """Per tensor float32[lanes, rounds, *shape of its addresses].

    Raises ModelError if the program and the network have different inputs.
    """
    chosen = feed.image[lanes]
    out = {}
    for name, addresses in memory.inputs.items():
        array = inputs.get(name) if name else next(iter(inputs.values()))
        if array is None or array[0].size * memory.images_per_round != addresses.size:
            what = f"the program has an input {name or '(without a name)'} of {addresses.shape}, the network does not"
            raise ModelError(f"memory.npz: {what}")
        out[name] = np.asarray(array, np.float32)[chosen].reshape(*chosen.shape[:2], *addresses.shape)
    return out


def observed_outputs(memory: MemoryImage, feed: Feed, outputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Outputs [lanes, rounds, *addresses] by image: float32[observed, elements], in the order of feed.observed."""
    per_round, rounds = memory.images_per_round, feed.rounds - feed.delay
    shown = {name: array[:, memory.output_delays[name] :][:, :rounds] for name, array in outputs.items()}
    return {name: array.reshape(feed.observed.size, array[0, 0].size // per_round) for name, array in shown.items()}
