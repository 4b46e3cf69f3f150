"""Networks in the clothes that files give them are right: inputs, constants, quantizing pairs, links, a fixed batch."""

from pathlib import Path

import pytest

from pimcomp.frontend import load_network
from tests.frontend.dressed import Dressed, linked
from tests.frontend.judged import Outcome, compare, expected, judge
from tests.seeds import seeds


@pytest.mark.parametrize("seed", seeds(12, 100))
def test_a_network_is_right_whatever_it_is_dressed_in(seed: int, tmp_path: Path) -> None:
    dressed = Dressed(seed)
    model = dressed.model()
    want = expected(model, dressed.feeds)
    assert judge(model, dressed.feeds, want, dressed.tolerance) == Outcome("right"), dressed.used
    graph = load_network(linked(model, tmp_path, seed)).graph
    assert compare(graph, dressed.feeds, want, dressed.tolerance) == Outcome("right")
