"""Reasons of refusals, and what must be so in the file for each to be the truth. A reason without a rule is none."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from pimcomp.frontend.lower.lower import LOWERINGS
from tests.frontend.judged import Outcome, expected

SUSPECT = "suspect"  # the name of the operator in question
Feeds = Mapping[str, npt.NDArray[Any]]
Rule = Callable[["Suspect"], bool]


class Suspect:
    """The operator in question, as a rule sees it."""

    def __init__(self, model: onnx.ModelProto, feeds: Feeds) -> None:
        self.model, self.feeds = model, feeds
        self.node = next(node for node in model.graph.node if node.name == SUSPECT)
        self.operator = self.node.op_type
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in self.node.attribute}
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.sizes = [[d.dim_value for d in value.type.tensor_type.shape.dim] for value in model.graph.input]
        self.computed = [name for name in self.node.input if name and name not in self.weights]
        self.images = next(iter([len(array) for array in feeds.values() if array.ndim]), 1)

    def says(self, key: str, *values: object) -> bool:
        """Whether an attribute is given with one of the values."""
        return self.attributes.get(key) in values

    def constant(self, place: int) -> Any:
        """The value of a constant operand: a number if it is one, None if it is none."""
        found = self.weights.get(self.node.input[place]) if place < len(self.node.input) else None
        return found.item() if found is not None and found.size == 1 else found

    def ranks(self) -> list[int]:
        """The number of axes of every input."""
        return [feed.ndim for feed in self.feeds.values()]

    def over_the_batch(self) -> bool:
        """Whether it cuts or puts together its operands along their first axis."""
        return self.operator in ("Concat", "Split") and self.attributes.get("axis", 0) in (0, -max(self.ranks()))

    def is_read(self) -> bool:
        """Whether another operator that computes something reads it."""
        return any(self.node.output[0] in node.input and node.op_type != "Identity" for node in self.model.graph.node)

    def images_mix(self) -> bool:
        """Whether the outputs of all images are something else than those of each of them put together."""
        whole = expected(self.model, self.feeds)
        parts = [self._alone(image) for image in range(self.images)]
        return any(
            not any(
                np.array_equal(values, np.concatenate([part[name] for part in parts], axis=axis))
                for axis in range(values.ndim)
                if all(part[name].ndim == values.ndim for part in parts)
                and np.concatenate([part[name] for part in parts], axis=axis).shape == values.shape
            )
            for name, values in whole.items()
        )

    def _alone(self, image: int) -> dict[str, npt.NDArray[Any]]:
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for value in model.graph.input:
            value.type.tensor_type.shape.dim[0].dim_value = 1
        try:
            return expected(model, {name: array[image : image + 1] for name, array in self.feeds.items()})
        except Exception:  # of onnxruntime, a dozen unrelated classes: it makes no sense for one image
            return {value.name: np.zeros(0) for value in model.graph.output}

    def long_axes(self) -> int:
        """How many axes of more than one element stand from `axis` on."""
        named = {
            v.name: v
            for v in (*self.model.graph.input, *onnx.shape_inference.infer_shapes(self.model).graph.value_info)
        }
        shape = [dim.dim_value for dim in named[self.node.input[0]].type.tensor_type.shape.dim]
        return sum(size > 1 for size in shape[self.attributes.get("axis", 1) :])


# The text of a reason, and what is so if it is true.
REASONS: tuple[tuple[str, Rule], ...] = (
    ("it is defined by", lambda s: s.operator == "Attention" and "attn_mask" in s.computed),
    ("no instruction sequence computes it", lambda s: s.operator not in LOWERINGS),
    ("control flow", lambda s: s.operator in ("If", "Loop", "Scan")),
    (
        "training mode",
        lambda s: s.says("training_mode", 1) or (s.operator == "Dropout" and bool(np.any(s.constant(2)))),
    ),
    ("has \\d+ dimensions", lambda s: any(len(sizes) > 4 for sizes in s.sizes)),
    ("dimension \\d+ is 0", lambda s: any(0 in sizes for sizes in s.sizes)),
    ("expected one matrix", lambda s: s.operator in ("MatMul", "Attention") and bool(np.ndim(s.constant(1)) > 2)),
    ("repeats the batch", lambda s: s.operator in ("Expand", "Tile") and bool(np.ravel(s.constant(1))[0] > 1)),
    ("statistics per pixel", lambda s: s.says("spatial", 0)),
    ("a quotient of two feature maps", lambda s: s.operator == "Div" and len(s.computed) == 2),
    ("a constant divided by", lambda s: s.operator == "Div" and s.node.input[0] in s.weights),
    ("its mean or deviation is used", lambda s: len(s.node.output) > 1),
    ("a logarithm inside", lambda s: s.operator == "LogSoftmax" and s.is_read()),
    ("a product of a map with a vector", lambda s: s.operator == "MatMul" and min(s.ranks()) == 1),
    ("their heads do not match", lambda s: len(s.computed) == 2),
    ("over several axes", lambda s: "Softmax" in s.operator and s.long_axes() > 1),
    ("the equation", lambda s: s.operator == "Einsum"),  # of one operand, with a diagonal, or of a number
    ("no whole number from 1 to 4", lambda s: np.size(s.constant(1)) > 1 or s.constant(1) not in (1, 2, 3, 4)),
    ("noop_with_empty_axes", lambda s: s.says("noop_with_empty_axes", 1) and len(s.node.input) == 1),
    ("at most two axes", lambda s: s.says("keep_aspect_ratio_policy", b"not_smaller")),
    ("'tf_crop_and_resize'", lambda s: s.says("coordinate_transformation_mode", b"tf_crop_and_resize")),
    ("antialias", lambda s: s.says("antialias", 1)),
    (
        "differs from image to image",
        lambda s: any(s.images == np.shape(w)[0] > 1 for w in s.weights.values() if w.ndim),
    ),
    ("and another one", lambda s: len({len(feed) for feed in s.feeds.values()}) > 1),
    ("mixes the images", lambda s: s.over_the_batch() or (s.images > 1 and s.images_mix())),
    ("images along the batch", lambda s: s.operator == "Concat"),
    ("nothing is left of axis", lambda s: s.operator == "Slice"),
    ("is a constant: nothing to compile", lambda s: s.operator == "Shape"),
)


def told(model: onnx.ModelProto, feeds: Feeds, found: Outcome) -> str:
    """What is wrong with an outcome, empty if nothing."""
    if found.kind in ("right", "invalid"):
        return ""
    if found.kind == "unjudged" and Suspect(model, feeds).says("round_mode", b"up", b"down", b"nearest"):
        return ""  # onnx.reference has no CastLike that knows it, ONNX Runtime neither
    if found.kind not in ("refused", "contradiction"):
        return f"{found.kind} {found.text}"
    place = re.search(r"'(\w+)'", found.text)  # the node, or an input or output of the network
    named = found.named or ((place[1],) if place else ())
    if named not in ((SUSPECT,), *((value.name,) for value in (*model.graph.input, *model.graph.output))):
        return f"names {found.named}: {found.text}"
    rules = [rule for text, rule in REASONS if re.search(text, found.text)]
    return "" if rules and rules[0](Suspect(model, feeds)) else f"a reason that is not true, or unknown: {found.text}"
