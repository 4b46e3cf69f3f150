"""Random chains of operators between an input and the layer that reads it: right, or refused by the layer that cannot
read what it gets; nearly all are right.
"""

import pytest

from tests.frontend.chains import chain
from tests.frontend.judged import judge, random_feeds


def right(numbers: range) -> float:
    """The share that is right; the others name their last layer."""
    count = 0
    for number in numbers:
        model = chain(number)
        found = judge(model, random_feeds(model, number))
        count += found.kind == "right"
        last = model.graph.node[-1].name
        assert found.kind == "right" or (found.kind, found.named) == ("refused", (last,)), (number, found)
    return count / len(numbers)


def test_chains() -> None:
    assert right(range(60)) > 0.95


def test_of_what_is_picked_a_reader_may_pick_less() -> None:
    assert right(range(1492, 1493)) == 1.0


def test_of_what_is_computed_of_constants_shapes_are_known() -> None:
    """Pads put together by nodes, in a file with a batch of 2, and a maximum along an axis of channels and columns."""
    for number in (70051, 70656, 71569):
        assert right(range(number, number + 1)) == 1.0


def test_more_axes_than_channels_rows_and_columns() -> None:
    """Of what a slice leaves of columns, a convolution reads channels, rows and columns made of the other axes."""
    assert right(range(1235988, 1235989)) == 1.0


@pytest.mark.slow
def test_many_chains() -> None:
    assert right(range(1000, 1600)) > 0.98
