"""ONNX's own tests of single operators, which the onnx package carries, through the front end.

Their operands are all inputs of the network. A compiled network has weights, so a case is tried in two forms: with
every operand of real numbers an input, and with the first one alone; the others, and those of integers, are constants.
It is right if one form is, wrong if either is, and otherwise refused for what the second form is refused for.
"""

import importlib
import tomllib
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case import node as node_tests
from onnx.backend.test.case.test_case import TestCase

from tests.frontend.judged import Outcome, judge
from tests.frontend.reasons import SUSPECT, told

EXPANDED = "_expanded"  # cases of several operators that define one, by the end of their names
TOLERANCE = 2e-3  # theirs is 1e-3 of every value, and some results are bfloat16
COUNTS = Path(__file__).with_name("onnx_node_tests.toml")
REALS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
# Why a case says nothing about feature maps of real numbers, by what its file holds.
OUTSIDE = ("no operand of real numbers", "a result that is no tensor of real numbers", "another domain", "no operand")


@dataclass(frozen=True, slots=True)
class Case:
    """One of ONNX's tests: its operator, the outcome, and which of `OUTSIDE` it is, if any."""

    name: str
    operator: str
    outcome: Outcome
    outside: str = ""
    fault: str = ""  # what is wrong with the outcome


def collected(modules: Sequence[str] = ()) -> list[TestCase]:
    """The cases of some modules of onnx.backend.test.case.node; of all, which takes 10 s, if none is named."""
    if not modules:
        with warnings.catch_warnings():  # of what ONNX computes for its own files: casts that overflow on purpose
            warnings.simplefilter("ignore", RuntimeWarning)
            return list(node_tests.collect_testcases())
    for name in modules:
        importlib.import_module(f"{node_tests.__name__}.{name}")
    cases = node_tests._NodeTestCases
    return [case for case in cases if case.model and case.model.graph.node[0].op_type.lower() in modules]


def judged(case: TestCase) -> Case:
    """What becomes of one case."""
    model, sets = case.model, case.data_sets
    assert model is not None
    assert sets is not None
    operator = model.graph.node[0].op_type
    outside = _outside(model)
    if outside:
        return Case(case.name, operator, Outcome("outside"), outside)
    inputs, outputs = sets[0]
    arrays = [_array(value) for value in inputs]
    want = {value.name: _array(values) for value, values in zip(model.graph.output, outputs, strict=True)}
    reals = [k for k, value in enumerate(model.graph.input) if value.type.tensor_type.elem_type in REALS]
    forms = {tuple(reals): None, (reals[0],): None}
    if EXPANDED in case.name:
        operator = EXPANDED
    for form in forms:
        given = _form(model, arrays, form)
        found = judge(*given, want, TOLERANCE)
        if found.kind == "wrong" and judge(*given).kind == "right":
            found = Outcome("as_onnx_runtime")
        if found.kind in ("right", "wrong", "as_onnx_runtime"):
            break
    fault = told(*given, found) if found.kind != "as_onnx_runtime" and operator != EXPANDED else ""
    return Case(case.name, operator, found, fault=fault)


def _array(value: Any) -> np.ndarray[Any, Any]:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def _outside(model: onnx.ModelProto) -> str:
    if model.graph.node[0].domain not in ("", "ai.onnx"):
        return OUTSIDE[2]
    if not model.graph.input:
        return OUTSIDE[3]
    if not any(value.type.tensor_type.elem_type in REALS for value in model.graph.input):
        return OUTSIDE[0]
    return "" if all(value.type.tensor_type.elem_type in REALS for value in model.graph.output) else OUTSIDE[1]


def _form(
    model: onnx.ModelProto, arrays: Sequence[np.ndarray[Any, Any]], computed: Sequence[int]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray[Any, Any]]]:
    """The model with all operands but the computed ones as constants, and what to feed it."""
    formed = onnx.ModelProto()
    formed.CopyFrom(model)
    formed.graph.node[0].name = SUSPECT
    feeds = {}
    for k, (value, array) in enumerate(zip(model.graph.input, arrays)):
        if k in computed:
            feeds[value.name] = array
        else:
            formed.graph.initializer.append(numpy_helper.from_array(array, value.name))
            formed.graph.input.remove(value)
    return formed, feeds


def counts(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """Operator -> outcome -> how many; cases outside are left out."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        if not case.outside:
            refused = case.outcome.kind in ("refused", "contradiction", "invalid")
            table[case.operator]["refused" if refused else case.outcome.kind] += 1
    return {operator: dict(sorted(found.items())) for operator, found in sorted(table.items())}


def stored() -> dict[str, dict[str, int]]:
    """The counts of the file."""
    found: dict[str, dict[str, int]] = tomllib.loads(COUNTS.read_text(encoding="utf-8"))
    return found


def written(table: Mapping[str, Mapping[str, int]]) -> str:
    """The counts as the file has them."""
    head = "# What becomes of ONNX's own tests, by operator: `python -m tests.frontend.onnx_node_tests` writes it.\n"
    rows = {name: ", ".join(f"{kind} = {n}" for kind, n in found.items()) for name, found in table.items()}
    return head + "".join(f"{name} = {{ {row} }}\n" for name, row in rows.items())


if __name__ == "__main__":
    COUNTS.write_text(written(counts([judged(case) for case in collected()])), encoding="utf-8")
