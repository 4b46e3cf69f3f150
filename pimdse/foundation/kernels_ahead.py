"""Kernels compiled ahead: while a command compiles what it needs now, other processes compile what it will need next.

`kernels.json` beside this file lists, by command, the kernels that Python calls and their argument types in the order
in which they are needed, first those of the plainest use. Helpers take each use's kernels from the end. The list is a
help and no promise: what it lacks, or what has changed since, is compiled when it is needed. `make kernels` makes it
again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from numba.core import types
from numba.core.errors import NumbaError

from pimcomp.foundation.kernels import Kernel, is_kept, kept_number
from solvers import get_solver

LIST = Path(__file__).with_name("kernels.json")
_SOLVERS = get_solver.__module__  # inside pimdse once it is installed
_MOST_HELPERS = 3
_FILES_PER_KERNEL = 3  # that Python calls: with those it calls in turn; more are there after the use of a few commands
_types: Any = types  # what is used here is not in its types
Entry = Sequence[Any]  # module, kernel, argument types


def listed(command: str = "") -> list[Entry]:
    """The entries that helpers of a command compile, in their order, or all."""
    uses = _uses(command) if command else [use for found in _lists().values() for use in found]
    return list({json.dumps(entry): entry for use in uses for entry in use[::-1]}.values())


def usual_number(command: str) -> int:
    """How many kernels Python calls in the plainest use of a command."""
    return len(_uses(command)[0])


def _uses(command: str) -> list[list[Entry]]:
    """What is listed for a command; one that is not listed compiles."""
    lists = _lists()
    return lists.get(command, lists["compile"])


@cache
def _lists() -> dict[str, list[list[Entry]]]:
    found: dict[str, list[list[Entry]]] = json.loads(LIST.read_text(encoding="utf-8"))
    return found


@contextmanager
def helpers(command: str) -> Iterator[Callable[[], None]]:
    """Within the block, the yielded function starts the helpers of a command, once; they end with the block.

    Soon after an installation they start at once: something will have to be compiled, before this process knows what.
    """
    running: list[subprocess.Popen[bytes]] = []
    count = min(_MOST_HELPERS, cores() - 1)

    def begin() -> None:
        if not running:
            running.extend(start(command, part, count) for part in range(count))

    try:
        if count > 0 and kept_number() < _FILES_PER_KERNEL * len(listed()):
            begin()
        yield begin
    finally:
        for helper in running:
            helper.kill()
            helper.wait()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(command: str, part: int, parts: int, stdout: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """A process that compiles every `parts`-th kernel listed for a command, or of all; it writes a line after each."""
    words = [sys.executable, "-m", "pimdse.foundation.kernels_ahead", command, str(part), str(parts)]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL)


def compile_entry(entry: Entry) -> None:
    """Compile and keep one kernel, unless it is kept already. What the list has wrong is left to who needs it."""
    with suppress(ImportError, AttributeError, TypeError, NumbaError):
        function, arguments = read_entry(entry)
        if not is_kept(function, arguments):
            function.compile(arguments)


def read_entry(entry: Entry) -> tuple[Kernel, tuple[Any, ...]]:
    """The kernel and its argument types. Raises ImportError, AttributeError or TypeError for what is no longer so."""
    module, name, types_of_arguments = entry
    function: Kernel = getattr(_module(module), name)
    arguments = tuple(map(_type_of, types_of_arguments))
    signature(function.py_func).bind(*arguments)
    return function, arguments


def entry_of(kernel: Kernel, arguments: Sequence[Any]) -> Entry:
    """What the list says of a kernel that Python calls with these types."""
    return [kernel.py_func.__module__, kernel.py_func.__name__, [_text_of(kind) for kind in arguments]]


def _text_of(kind: Any) -> Any:
    """A type as JSON."""
    if isinstance(kind, _types.BaseTuple):
        of = [_text_of(part) for part in kind]
        named = isinstance(kind, _types.BaseNamedTuple)
        return {"tuple": [kind.instance_class.__module__, kind.instance_class.__qualname__] if named else [], "of": of}
    if isinstance(kind, _types.Array):
        return f"{kind.dtype} {kind.ndim} {kind.layout}{'' if kind.mutable else ' read-only'}"
    if isinstance(kind, _types.DictType):
        return {"dict": [_text_of(kind.key_type), _text_of(kind.value_type)]}
    return str(kind)


def _type_of(text: Any) -> Any:
    """The type that JSON means. Raises AttributeError for one that is none, TypeError for a tuple of other fields."""
    if isinstance(text, str):
        dtype, *array = text.split()
        kind = getattr(_types, {"bool": "boolean"}.get(dtype, dtype))
        return _types.Array(kind, int(array[0]), array[1], readonly=len(array) > 2) if array else kind
    if "dict" in text:
        return _types.DictType(*map(_type_of, text["dict"]))
    of = [_type_of(part) for part in text["of"]]
    if not text["tuple"]:
        return _types.Tuple(of)
    module, name = text["tuple"]
    named = getattr(_module(module), name)
    named(*of)  # numba takes any number of fields
    return _types.BaseTuple.from_types(of, named)


def _module(name: str) -> Any:
    return import_module(name.replace("solvers", _SOLVERS, 1))


def _help(command: str, part: int, parts: int) -> None:
    for entry in listed(command)[part::parts]:
        compile_entry(entry)
        print(flush=True)


if __name__ == "__main__":
    _help(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
