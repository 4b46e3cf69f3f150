"""Tests depend on nothing but the code: none asserts how long something took."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "thread_time"}


def readings(tree: ast.AST) -> set[str]:
    """Names that hold what a clock said, the clocks themselves included."""
    found, before = set(CLOCKS), 0
    while len(found) != before:
        before = len(found)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and mentions(node.value, found):
                found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def mentions(node: ast.AST, names: set[str]) -> bool:
    """Whether one of the names occurs, alone or behind a dot."""
    return any(
        (isinstance(part, ast.Name) and part.id in names) or (isinstance(part, ast.Attribute) and part.attr in names)
        for part in ast.walk(node)
    )


def test_no_test_asserts_a_duration() -> None:
    """A slow or busy machine fails no test; durations are measured in benchmarks/."""
    offenders = []
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if not any(clock in text for clock in CLOCKS):
            continue
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                clocks = readings(function)
                asserts = [node for node in ast.walk(function) if isinstance(node, ast.Assert)]
                offenders += [f"{path.name}:{node.lineno}" for node in asserts if mentions(node.test, clocks)]
    assert offenders == []
