"""Random networks of every operator and attribute of the schemas are right, or refused for a reason that is true.

tests/frontend/reasons.py says what must be so in the file for a reason to be the truth.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import defs

from pimcomp.frontend.lower.constant_fold import fold, tensor_values
from pimcomp.frontend.lower.lower import LOWERINGS
from pimcomp.frontend.lower.onnx_node import BadShape, Constant, Unsupported, of_proto, opset_of
from pimcomp.frontend.onnx.read import OPSETS
from tests.frontend.judged import expected, judge, random_feeds
from tests.frontend.reasons import told
from tests.frontend.single_operators import DRAWN, RULES, definitions, draw

IN_A_SLOW_RUN = 3000
DRAWS_OF_ALL_ATTRIBUTES = 120


def faults(numbers: range) -> list[str]:
    """What is wrong with the networks of these numbers; the operators take turns."""
    operators = sorted(RULES)
    wrong = []
    for number in numbers:
        operator = operators[number % len(operators)]
        model = draw(number, operator)
        feeds = random_feeds(model, number)
        if said := told(model, feeds, judge(model, feeds)):
            wrong.append(f"draw({number}, {operator!r}): {said}")
    return wrong


def test_one_of_every_operator_is_right_or_refused_for_a_true_reason() -> None:
    assert faults(range(2 * len(RULES))) == []


def test_constants_are_folded_to_what_onnx_runtime_computes() -> None:
    operators = [name for name in sorted(RULES) if name not in ("CastLike", "Shape")]
    counts, wrong = Counter[bool](), []
    for number in range(2 * len(operators)):
        model = draw(number, operators[number % len(operators)])
        feeds = random_feeds(model, number)
        try:
            found = _folded(model, feeds)
        except (Unsupported, BadShape):
            counts[False] += 1
            continue
        counts[True] += 1
        for name, values in expected(model, feeds).items():
            if not np.allclose(found[name], values, rtol=1e-3, atol=1e-4, equal_nan=True):
                wrong.append(f"draw({number}, {operators[number % len(operators)]!r}): {name}")
    assert wrong == []
    assert counts[True] > 5 * counts[False]


def _folded(model: onnx.ModelProto, feeds: Mapping[str, Constant]) -> dict[str, Constant]:
    values: dict[str, Constant] = {t.name: tensor_values(t) for t in model.graph.initializer} | dict(feeds)
    for proto in model.graph.node:
        operands = [values[name] if name else None for name in proto.input]
        values.update(zip(proto.output, fold(of_proto(proto, opset_of(model), operands))))
    return {value.name: values[value.name] for value in model.graph.output}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_thousands_are_right_or_refused_for_a_true_reason(seed: int) -> None:
    first = seed * 100_000
    assert faults(range(first, first + IN_A_SLOW_RUN)) == []


def test_every_attribute_of_the_schemas_is_drawn() -> None:
    DRAWN.clear()
    for operator in RULES:
        for number in range(DRAWS_OF_ALL_ATTRIBUTES):
            draw(number, operator)
    read = {max(OPSETS.start, version) for name in LOWERINGS for version in definitions(name)}
    given = {
        (name, attribute)
        for name in LOWERINGS
        for version in read
        if version >= definitions(name)[0]
        for attribute in defs.get_schema(name, min(version, OPSETS.stop - 1)).attributes
    }
    assert given - set(DRAWN) == set(), "attributes without a rule in single_operators.py"
