"""The size and shape of the house: code lines, files, rooms, parameters, and which modules have tests.

The bounds stand in tests/house.toml, with what is meant by each. `python -m tests.test_house` prints today's numbers.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.test_layers import PACKAGES, ROOT, SOURCES

BOUNDS = tomllib.loads((ROOT / "tests" / "house.toml").read_text(encoding="utf-8"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
MOST_PARAMETERS, MOST_PARAMETERS_OF_A_KERNEL = 8, 10
# Options of a command are parameters.
COMMANDS = ROOT / "pimdse" / "commands"
UNTYPED = "type: ignore[no-untyped-def]"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_lines(path: Path) -> int:
    """Lines that are not blank, comment or docstring."""
    text = path.read_text(encoding="utf-8").splitlines()
    lines = {number for number, line in enumerate(text, 1) if line.strip() and not line.lstrip().startswith("#")}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            found = node.body[0]
            lines -= set(range(found.lineno, (found.end_lineno or found.lineno) + 1))
    return len(lines)


def room(path: Path) -> str:
    """`pimcomp/schedule`, or a package as a whole; `pimcomp` for the modules at its top."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "pimcomp" and len(parts) > 2 else parts[0]


def lines_by_room() -> Counter[str]:
    counts: Counter[str] = Counter()
    for path in SOURCES:
        counts[room(path)] += code_lines(path)
    return counts


def long_parameter_lists() -> tuple[list[str], list[str]]:
    """(functions, kernels) with more parameters than they should have."""
    functions, kernels = [], []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef):
                continue
            arguments = node.args
            names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            said = f"{place(path)}:{node.name} {count}"
            if any("kernel" in ast.unparse(decorator) for decorator in node.decorator_list):
                kernels += [said] * (count > MOST_PARAMETERS_OF_A_KERNEL)
            elif path.parent != COMMANDS:
                functions += [said] * (count > MOST_PARAMETERS)
    return functions, kernels


def arrows() -> set[tuple[str, str]]:
    """Which room imports from which: those of the compiler one by one, every other package as a whole."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
                ends = path.relative_to(ROOT).with_suffix("").parts, tuple(str(node.module).split("."))
                rooms = ["/".join(end[: 1 + (end[0] == "pimcomp")]) for end in ends]
                found.add((rooms[0], rooms[1]))
    # The face of the library names what stands above it.
    return {(one, other) for one, other in found if one not in (other, "pimcomp/__init__")}


def untyped_ignores() -> int:
    return sum(path.read_text(encoding="utf-8").count(UNTYPED) for path in SOURCES)


def own_test(path: Path) -> Path:
    """Where the tests of a module stand: tests mirror the tree, without `pimcomp`."""
    parts = path.relative_to(ROOT).parts
    inside = parts[1:] if parts[0] == "pimcomp" else parts
    return ROOT.joinpath("tests", *inside[:-1], f"test_{inside[-1]}")


def covered() -> dict[str, str]:
    """Module -> its test: a file at the mirrored place, or one that says `Covers: a, b.` at the end of its docstring.

    Names there are files of the folder that the test's folder mirrors; `/pimcomp/ir/plan` is another's.
    """
    found = {place(path): place(own_test(path)) for path in SOURCES if own_test(path).is_file()}
    for test in TESTS:
        text = ast.get_docstring(tree(test)) or ""
        inside = test.parent.relative_to(ROOT / "tests").parts
        folder = "/".join(inside if inside[:1] and inside[0] in PACKAGES else ("pimcomp", *inside))
        for name in re.split(r",\s+", text.partition("\nCovers: ")[2].rstrip(".")):
            file = f"{name[1:] if name.startswith('/') else f'{folder}/{name}'}.py"
            if (ROOT / file).is_file():  # else it has been moved or merged since
                found.setdefault(file, place(test))
    return found


def test_every_room_keeps_within_its_lines() -> None:
    bounds = BOUNDS["code_lines"]
    found = lines_by_room()
    assert {name: n for name, n in found.items() if n > bounds.get(name, 0)} == {}
    assert found.total() <= BOUNDS["total_code_lines"]


def test_no_folder_has_more_files_than_a_reader_can_hold() -> None:
    found = Counter(place(path.parent) for path in SOURCES)
    bounds = BOUNDS["files"]
    assert {name: n for name, n in found.items() if n > bounds.get(name, BOUNDS["files_per_folder"])} == {}


def test_the_compiler_has_few_rooms() -> None:
    rooms = {path.relative_to(ROOT).parts[1] for path in SOURCES if path.is_relative_to(ROOT / "pimcomp")}
    assert len(rooms - {"__init__.py"}) <= BOUNDS["rooms"]
    assert len(arrows()) <= BOUNDS["arrows"]


def test_no_file_outgrows_its_concept() -> None:
    lengths = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    bounds = BOUNDS["lines"]
    assert {name: n for name, n in lengths.items() if n > bounds.get(name, BOUNDS["lines_per_file"])} == {}


def test_parameter_lists_are_short() -> None:
    functions, kernels = long_parameter_lists()
    assert len(functions) <= BOUNDS["functions_with_many_parameters"], functions
    assert len(kernels) <= BOUNDS["kernels_with_many_parameters"], kernels


def test_kernels_get_their_types() -> None:
    assert untyped_ignores() <= BOUNDS["untyped_ignores"]


def test_modules_have_tests() -> None:
    found = covered()
    assert len(found) >= BOUNDS["modules_with_tests"]


def test_no_test_ends_before_it_has_asserted() -> None:
    silent = []
    for path in TESTS:
        for function in tree(path).body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                said = [n.lineno for n in ast.walk(function) if isinstance(n, ast.expr | ast.stmt) and asserts(n)]
                ends = [node.lineno for node in own_statements(function) if isinstance(node, ast.Return)]
                silent += [f"{place(path)}:{line}" for line in ends if line < min(said, default=line + 1)]
    assert silent == []


def asserts(node: ast.AST) -> bool:
    """An assertion, or a call that makes one or says that there is nothing to assert."""
    if isinstance(node, ast.Call):
        return bool(re.search(r"assert|check|raises|skip|assume", ast.unparse(node.func)))
    return isinstance(node, ast.Assert)


def own_statements(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    """Statements of a function, without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.expr):
            waiting += ast.iter_child_nodes(node)


# "name: ...", "name, other: ..." or "name (unit): ..." at the beginning of a line or behind a full stop.
_FIELDS = re.compile(r"(?:^|\.\s+|\n)((?:[a-z_][a-z0-9_]*(?:, | and |/))*[a-z_][a-z0-9_]*)(?: \([^)]*\))?:\s")


def test_docstrings_describe_fields_that_exist() -> None:
    unknown = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            fields = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
            members = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            said = _FIELDS.findall((ast.get_docstring(node) or "").replace("`", ""))
            names = {name for group in said for name in re.split(r", | and |/", group)} - fields - members
            if fields and names:
                unknown.append(f"{place(path)}:{node.name}: {sorted(names)}")
    assert unknown == []


def main() -> None:
    """Today's numbers, as tests/house.toml has them."""
    counts, (functions, kernels), found = lines_by_room(), long_parameter_lists(), covered()
    print(f"total_code_lines = {counts.total()}")
    print(f"arrows = {len(arrows())}")
    print(f"untyped_ignores = {untyped_ignores()}")
    print(f"functions_with_many_parameters = {len(functions)}", *functions, sep="\n  # ")
    print(f"kernels_with_many_parameters = {len(kernels)}", *kernels, sep="\n  # ")
    print(f"modules_with_tests = {len(found)}  # of {len(SOURCES)}")
    print("[code_lines]", *(f'"{name}" = {n}' for name, n in sorted(counts.items())), sep="\n")
    tests = sum(code_lines(path) for path in (ROOT / "tests").rglob("*.py"))
    print(f"# tests {tests}, tests per line of code {tests / counts.total():.2f}")
    bare = [place(p) for p in SOURCES if place(p) not in found and p.name != "__init__.py"]
    print("# without a test of their own:", *bare, sep="\n#   ")


if __name__ == "__main__":
    main()
