"""How numba kernels are declared, and where their machine code is kept between runs.

One file per kernel and argument types, named by a digest of all it was made from: byte code of the kernel and of every
kernel it calls, constants and tuples they mention, argument types, numba, Python, processor. What changes gets another
name, so nothing is ever stale; equal sources share files wherever they are installed, and processes that write at the
same time write the same. Of what is no longer used the folder keeps as much as there is room for (`_MOST_BYTES`).
"""

import contextlib
import enum
import fcntl
import functools
import hashlib
import logging
import os
import pickle
import stat
import sys
import tempfile
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
import numpy as np
import platformdirs
from numba.core import caching, compiler, event, serialize, sigutils
from numba.core.dispatcher import Dispatcher
from numba.core.registry import CPUDispatcher
from numba.core.types import Type

_VERSIONS = f"{sys.version} numba {numba.__version__} llvmlite {llvmlite.__version__}"
_numba: Any = numba  # what is used here is not in its types
Function = TypeVar("Function", bound=Callable[..., Any])
Whole = int | np.integer[Any]
Flag = bool | np.bool_
"""What kernels take for a whole number and for a truth value: Python's, or an element of an array."""
_NEEDED = "pimdse:kernel"  # an event of numba's: Python calls a kernel that this process has not compiled or loaded yet
_MOST_BYTES = 256 << 20  # of kept machine code: all kernels of ten versions
_log = logging.getLogger(__name__)


def kernel(function: Function) -> Function:
    """Decorator of every kernel: machine code, kept between runs; no exception on division by zero."""
    options = {"nopython": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    return cast("Function", Kernel(function, options))


class Kernel(CPUDispatcher):
    """A kernel as Python calls it. Kernels call its twin, which lacks the conversion of Python's values: for tuples of
    arrays that is most of the code.
    """

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        super().__init__(function, targetoptions=options)
        self._cache = _Cache(self)
        self._twin = _numba.jit(**options, no_cpython_wrapper=True)(function)
        self._twin._cache = _Cache(self._twin)

    def compile(self, sig: Any) -> Any:
        """As of any dispatcher, told to who watches, and by one process at a time: the others find it kept."""
        arguments, _ = sigutils.normalize_signature(sig)
        with event.trigger_event(_NEEDED, data={"kernel": self, "arguments": arguments}):
            name = _file_name(self, arguments)
            with contextlib.nullcontext() if _is_there(name) else _alone(name):
                return super().compile(sig)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """What another kernel that calls this one compiles against: the twin."""
        _, args = self._twin._compiler.fold_argument_types(args, kws)
        return self._twin.get_call_template(tuple(map(_widened, args)), {})

    def get_overload(self, sig: Any) -> Any:
        """What another kernel calls."""
        return self._twin.get_overload(sig)


def _widened(kind: Any) -> Any:
    """The one type that stands for all integers, literals included: every other would compile a kernel again."""
    kind = _numba.types.unliteral(kind)
    narrow = isinstance(kind, _numba.types.Integer) and kind.bitwidth <= 32
    return _numba.types.int64 if narrow else kind


@contextlib.contextmanager
def watching(tell: Callable[[int], None]) -> Iterator[None]:
    """While the block runs, say whenever something is compiled at which of the kernels that Python calls that is."""

    class Listener(event.Listener):
        needed = 0

        def on_start(self, event: Any) -> None:
            if event.kind == _NEEDED:
                self.needed += 1
            else:
                tell(self.needed)

        def on_end(self, event: Any) -> None:
            pass

    listener = Listener()
    with event.install_listener(_NEEDED, listener), event.install_listener("numba:compile", listener):
        yield


def is_kept(function: Kernel, arguments: tuple[Any, ...]) -> bool:
    """Whether there is machine code of a kernel for arguments of these types."""
    return _is_there(_file_name(function, arguments))


def _file_name(function: Kernel, arguments: tuple[Any, ...]) -> str:
    name: str = function._cache.name(arguments, cast("Any", function.targetctx).codegen())
    return name


def _is_there(name: str) -> bool:
    return any((folder / name).is_file() for folder in cache_folders())


def cache_folders() -> tuple[Path, ...]:
    """Where machine code is looked for, and written to the first possible: $NUMBA_CACHE_DIR or the user's cache, then a
    temporary folder.
    """
    if _numba.config.CACHE_DIR:
        return Path(_numba.config.CACHE_DIR) / "kernels", _temporary_folder()
    try:
        folder = platformdirs.user_cache_path("pimdse", False) / "kernels"
    except RuntimeError:  # no home: a container's user that no file names
        return (_temporary_folder(),)
    # older versions of platformdirs give a path that is relative to the current folder then
    return (folder, _temporary_folder()) if folder.is_absolute() else (_temporary_folder(),)


def kept_number() -> int:
    """How many files of machine code there are."""
    return sum(1 for folder in cache_folders() for _ in folder.glob("*.nbc"))


@functools.cache
def _temporary_folder() -> Path:
    """A folder that only this user can write, the same in every process where that is possible: machine code from a
    stranger would run as this user.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"pimdse-kernels-{user}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and user in ("user", found.st_uid) and not found.st_mode & 0o022:
            return folder
    return folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")


class _Cache(caching._Cache):
    """What numba asks of a cache of one kernel."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    @property
    def cache_path(self) -> str:
        return str(cache_folders()[0])

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        name = self.name(sig, target_context.codegen())
        for folder in cache_folders():
            with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
                data = pickle.loads((folder / name).read_bytes())
                _note_use(folder / name)
                return compiler.CompileResult._rebuild(target_context, *data)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        content = serialize.dumps(data._reduce())
        name = self.name(sig, data.codegen)
        for folder in cache_folders():
            try:
                _write(folder / name, content)
                _prune(folder)
                return
            except OSError as error:
                _note_once(
                    f"kernels cannot be kept in {folder} ({error.strerror}): set NUMBA_CACHE_DIR to another folder"
                )

    def enable(self) -> None:
        pass

    def disable(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def name(self, sig: Any, codegen: Any) -> str:
        """The file of a kernel with this signature."""
        arguments, _ = sigutils.normalize_signature(sig)
        made_from = [_VERSIONS, repr(codegen.magic_tuple()), *map(_type_text, arguments)]
        made_from += [str(self._dispatcher.targetoptions), *sorted(_reached(self._dispatcher))]
        digest = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:32]
        return f"{self._dispatcher.py_func.__name__}-{digest}.nbc"


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Hold the lock of a file in the cache; a process that dies lets go of it. Without locks: not alone."""
    path = cache_folders()[0] / f"{name}.lock"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context(path.open("wb"))
            stack.callback(path.unlink, missing_ok=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _note_use(path: Path) -> None:
    """When a file was used last is its time: file systems that note accesses are rare."""
    with contextlib.suppress(OSError):
        os.utime(path)


@functools.cache  # once in a process: whatever it adds itself is small
def _prune(folder: Path) -> None:
    """Remove what was not used for longest, beyond _MOST_BYTES; other processes may do so at the same time."""
    found = []
    for path in folder.glob("*.nbc*"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    excess = sum(size for _, size, _ in found) - _MOST_BYTES
    for _, size, path in sorted(found):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            path.unlink()  # a process that was about to load it compiles it again
        excess -= size


@functools.cache
def _note_once(text: str) -> None:
    _log.warning(text)


def _type_text(kind: Any) -> str:
    """A type with what its name leaves out: where a named tuple is from, and what its fields are called."""
    if not isinstance(kind, _numba.types.BaseTuple):
        return str(kind)
    text = f"({', '.join(map(_type_text, kind))})"
    if isinstance(kind, _numba.types.BaseNamedTuple):
        text += f" {kind.instance_class.__module__}.{kind.instance_class.__qualname__}{kind.fields}"
    return text


def _reached(root: Any) -> Iterator[str]:
    """A text for everything that decides the machine code of a kernel: itself and all it mentions, at any depth."""
    seen: set[int] = set()
    left = [root]
    while left:
        value = left.pop()
        if id(value) not in seen:
            seen.add(id(value))
            text, mentions = _described(value)
            left += mentions
            yield text


def _described(value: Any) -> tuple[str, tuple[Any, ...]]:
    """One value that a kernel mentions, as text that is equal in every process, and what it mentions in turn."""
    if isinstance(value, Dispatcher):
        return _function(value.py_func)
    if isinstance(value, _numba.extending._Intrinsic):
        return _function(value._defn)
    if isinstance(value, tuple):
        return f"tuple {len(value)}", value
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}", ()
    if isinstance(value, (int, float, str, np.generic, np.dtype, Type)):
        return f"{type(value).__name__} {value!r}", ()
    fields = tuple(value) if isinstance(value, enum.EnumType) else getattr(value, "_fields", ())
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)} {fields}", ()


@functools.cache
def _function(function: types.FunctionType) -> tuple[str, tuple[Any, ...]]:
    """Names and byte code with constants, but neither comments nor lines; the values behind global names."""
    codes = [function.__code__]
    for code in codes:
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    text = [f"{function.__module__}.{function.__qualname__} {function.__defaults__}"]
    for code in codes:
        constants = [sorted(c, key=repr) if isinstance(c, frozenset) else c for c in code.co_consts]
        text.append(f"{[c for c in constants if not isinstance(c, types.CodeType)]} {code.co_names} {code.co_varnames}")
        text.append(code.co_code.hex())
    names = sorted({name for code in codes for name in code.co_names})
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    for module in [value for value in values if isinstance(value, types.ModuleType)]:
        values += [getattr(module, name) for name in names if hasattr(module, name)]
    values += [cell.cell_contents for cell in function.__closure__ or ()]
    return " ".join(text), tuple(values)
