"""PIMCOMP-NN's node_list format: the keys that mean something here, and which values they may have.

A file is untrusted: every value is checked before use, and names with control characters are refused, for terminals'
sake. Other keys may hold anything.
"""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from pimcomp.errors import ConfigError

MAX_EXTENT = 1 << 24  # of one dimension, stride or channel count: far above any network, far below overflow
MAX_TEXT = 1024  # characters of a name
UNBOUNDED = 1e7  # the format writes this for "no bound" of a clip
ABSENT = -1  # a count or index that is not in the file

Model = TypeVar("Model", bound=BaseModel)


def _expects(words: str) -> WrapValidator:
    """Whatever is wrong with a value, the message says what was expected."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("expected", "{words}", {"words": words}) from None

    return WrapValidator(check)


def _integer(low: int, high: int = MAX_EXTENT) -> tuple[Any, WrapValidator]:
    return Field(ge=low, le=high), _expects(f"an integer from {low} to {high}")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


Flag = Annotated[int, *_integer(0, 1)]
Whole = Annotated[int, *_integer(0)]
Extent = Annotated[int, *_integer(1)]
ActType = Annotated[int, *_integer(0, 2)]
Number = Annotated[float, _expects("a number")]
Text = Annotated[str, _expects("a string")]
Name = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT),
    AfterValidator(_printable),
    _expects(f"1 to {MAX_TEXT} printable characters"),
]


class Part(BaseModel):
    """An object of the file. Nothing is converted; a field without a default has to be there."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Entry(Part):
    """One entry of node_list, with its `number` in the list and its `place` for messages. Further keys are kept.

    output_dim is [1, C, H, W] or [1, N].
    """

    model_config = ConfigDict(extra="allow")

    number: int
    place: str
    name: Name
    operation: Name
    provider_index: list[Whole]
    output_dim: list[Extent]
    index: Whole = ABSENT
    new_node_index: Whole = ABSENT
    provider_num: Whole = ABSENT
    output_dim_num: Whole = ABSENT
    provider: list[Text] | None = None
    consumer_index: list[Whole] | None = None
    input_dim: list[Extent] | None = None
    param: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """How messages name the node."""
        return f"{self.place} ({self.name}, {self.operation})"

    @property
    def dims(self) -> tuple[int, ...]:
        """output_dim: (1, C, H, W) or (1, N)."""
        return tuple(self.output_dim)

    def param_of(self, model: type[Model]) -> Model:
        """`param` as an operation has it. Raises ConfigError."""
        return checked(model, self.param, f"{self.place}.param")

    def fused(self, model: type[Model]) -> Model:
        """Further keys of the entry. Raises ConfigError."""
        return checked(model, self.model_extra, self.place)

    def wrong(self, key: str, message: str) -> ConfigError:
        """The error of a value in `param` that contradicts others."""
        return ConfigError(f"{self.place}.param.{key}", message)


class ReshapeInfo(Part):
    """Which fully connected layer reads a flattened map, and the shape before and after."""

    name: Name
    input_dim: list[Extent]
    output_dim: list[Extent]


class Document(Part):
    """A whole file."""

    node_list: list[Entry]
    reshape_info: dict[str, Any] = {}


class WindowParam(Part):
    """The part of `param` that convolution and pooling share."""

    kernel_h: Extent
    kernel_w: Extent
    stride_h: Extent
    stride_w: Extent
    pad_h0: Whole = 0
    pad_w0: Whole = 0
    pad_h1: Whole = 0
    pad_w1: Whole = 0
    dilation_h: Extent = 1
    dilation_w: Extent = 1


class ConvParam(WindowParam):
    """`param` of OP_CONV."""

    input_channel: Extent
    output_channel: Extent
    group: Extent = 1
    with_bias: Flag = 0


class PoolParam(WindowParam):
    """`param` of OP_POOL; count_include_pad is our extension of the format."""

    pool_method: Flag
    whole_map: Flag = Field(0, alias="global")
    count_include_pad: Flag = 0


class FcParam(Part):
    """`param` of OP_FC."""

    num_input: Extent
    num_output: Extent
    with_bias: Flag = 0


class LrnParam(Part):
    """`param` of OP_LRN: our extension, PIMCOMP-NN writes none."""

    size: Extent
    alpha: Number
    beta: Number
    bias: Number


class ClipParam(Part):
    """`param` of OP_CLIP."""

    min: Number = -UNBOUNDED
    max: Number = UNBOUNDED


class ShuffleParam(Part):
    """`param` of OP_SHUFFLE."""

    split_factor: Extent
    input_channel: Extent = ABSENT


class EltwiseParam(Part):
    """`param` of OP_ELTWISE."""

    eletype: Whole


class Fused(Part):
    """What an OP_CONV or OP_FC entry says of operations that were fused into it."""

    with_bn: Flag = 0
    with_act: Flag = 0
    with_clip: Flag = 0


class FusedActivation(Part):
    """Read where with_act is 1."""

    act_type: ActType


class FusedClip(Part):
    """Read where with_clip is 1."""

    clip_min: Number
    clip_max: Number


def checked(model: type[Model], values: object, where: str) -> Model:
    """`values`, found at `where` of a file, as a `model`.

    Raises ConfigError naming the first wrong field, what was expected and what was found.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    found, kind = first["input"], first["type"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    if kind == "missing":
        raise ConfigError(
            f"{where}{path}", f"missing; the object has {shorten(sorted(found.keys() - {'number', 'place'}))}"
        )
    expected = {"expected": first["msg"], "list_type": "a list"}.get(kind, "an object")
    raise ConfigError(f"{where}{path}", f"expected {expected}, found {type(found).__name__} {shorten(found)}")


def shorten(value: object) -> str:
    """A value for a message: escaped, and not longer than a line."""
    text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
