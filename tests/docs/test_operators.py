"""docs/operators.md is what the code says, and what the code says is so: by ONNX's tests and random networks."""

import numpy as np
import pytest

from pimcomp.frontend import load_network
from pimcomp.frontend.lower.lower import LOWERINGS, why_not
from pimcomp.ir.graph import (
    Conv,
    Crop,
    Eltwise,
    Fixed,
    Input,
    Lrn,
    Normalise,
    Pick,
    Pool,
    Product,
    Softmax,
    Standalone,
    Turn,
)
from tests.docs.operator_table import COMPUTED, FORMS, PAGE, operators, place, with_table
from tests.frontend.judged import judge, random_feeds
from tests.frontend.single_operators import draw

# Which operations each place has besides those that every graph may have: copies, and factors and shifts per channel.
WORK = {
    "crossbars": (Conv,),
    "vector unit": (Conv, Pool, Eltwise, Standalone, Lrn, Normalise),
    "vector unit; host, last": (Standalone, Softmax),
    "copies, sums": (Pick, Conv, Eltwise),
    "layout": (Conv, Eltwise),
    "host, last": (Standalone,),
}
EVERYWHERE = (Input, Fixed, Crop, Pick, Conv, Eltwise)
PRODUCTS = (Product, Turn)  # a MatMul is on crossbars where it can be


def test_the_page_is_what_the_code_says() -> None:
    """`make docs` writes it."""
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page


def test_every_operator_that_is_refused_has_a_reason() -> None:
    assert [name for name in operators() if name not in COMPUTED and why_not(name).endswith("computes it")] == []
    assert set(FORMS) <= COMPUTED


@pytest.mark.parametrize("operator", [name for name in LOWERINGS if name != "Shape"])
def test_it_is_computed_where_the_page_says(operator: str) -> None:
    """The first random network that is right: it has operations of that place alone."""
    for number in range(20):
        model = draw(number, operator)
        if [node.name for node in model.graph.node] == ["suspect"] and not np.any(
            judge(model, random_feeds(model, number)).kind != "right"
        ):
            found = {type(node.operation) for node in load_network(model).graph.nodes}
            assert found - {*PRODUCTS} <= {*EVERYWHERE, *WORK[place(operator)]}
            if place(operator) == "crossbars":
                assert Conv in found or operator == "MatMul"
            break
    else:
        pytest.fail("none of 20 is right")
