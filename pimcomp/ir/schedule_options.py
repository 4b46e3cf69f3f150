"""Choices of the scheduler that are not part of a Plan; every field is a compile option with a default that wins."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """What the scheduler may do.

    images_per_round: images that enter in one round of a batch program.
    orders: orders that are tried for a program, with other slack and look-ahead or rounds that overlap more; the one
    that should take least time is kept.
    window_columns: columns that one core should pool (or convolve on its vector unit) in a row at most; the others' are
    shared out.
    merge_siblings: convolutions that read the same map become one.
    stack_rows: batch: neighbouring output rows of the layer that reads an image share MVMs where that takes less time.
    vector_depthwise: depthwise layers go to the vector unit where it is faster than crossbars.

    No options, because one value is best for all that we know (benchmarks and tests make subclasses with others):

    SEGMENT_BLOCKS: window blocks a row segment should have where the number of replicas leaves a choice.
    TASK_BLOCKS: window blocks per task: shorter tasks let transfers in sooner, longer ones make fewer messages wait.
    GATHERERS: cores that gather what all cores of a head need, its keys and turned values (vit_tiny on pimcomp_default:
    8.1 ms, 10.1 where they stay where they are made).
    TOKENS: pixels of a map of one row that a site computes before it hands them on (2 blocks of vit_tiny: 1.70 ms, 1.79
    with twice or half as many, 1.80 with whole rows, which need much local memory, too).
    LOADERS: cores that load the network input, one row each in turn (one memory server makes more of them useless).
    SLACK_NS: how long a transfer may make one end wait for the other before other work is preferred.
    LOOKAHEAD: tasks (as a fraction of all) that may run ahead of the oldest unfinished one; shrinks when memory is
    short.
    """

    SEGMENT_BLOCKS: ClassVar[int] = 1
    TASK_BLOCKS: ClassVar[int] = 1
    GATHERERS: ClassVar[int] = 8
    TOKENS: ClassVar[int] = 4
    LOADERS: ClassVar[int] = 12
    SLACK_NS: ClassVar[float] = 500.0
    LOOKAHEAD: ClassVar[float] = 1.0

    images_per_round: int = 1
    orders: int = 8
    window_columns: int = 1
    merge_siblings: bool = True
    stack_rows: bool = True
    vector_depthwise: bool = True
