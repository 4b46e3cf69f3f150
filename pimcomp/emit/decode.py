"""Reads emitted files back: programs in every form the simulators load, memory images and checkpoints.

Nothing of the compiler is used here but the opcode numbers: what executes a program executes the file.
"""

import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from isal import igzip, isal_zlib

from pimcomp.errors import ModelError
from pimcomp.foundation.file_kind import BOM, file_kind
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import ByteArray, LongArray
from pimcomp.isa.columns import Columns, json_columns, pim_columns
from pimcomp.isa.listing import Listing

_GZIP_MAGIC = b"\x1f\x8b"
LARGEST_COUNT = 10_001  # of images per round or rounds of delay: more would not fit into any memory
# What numpy says of archives that are damaged: its header is parsed as Python.
UNREADABLE_ARRAYS = (
    OSError, ValueError, TypeError, KeyError, EOFError, SyntaxError, OverflowError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error, tokenize.TokenError, struct.error,
)  # fmt: skip


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Decoded:
    """A program file as it stands: one entry per emitted instruction (setbw and sldi included), core after core.

    The list of core c is [core_start[c], core_start[c + 1]). A field an instruction does not have is 0, as in the
    simulators. rd, rs1, rs2 are register numbers (0..31), not values. length: JSON `len`. core: the peer of send, recv
    and sync. imm is the signed 32-bit immediate: a register that holds the low half of a global address is read as
    unsigned. The binary form has no `size` of lmv (its `length` is what is copied). array_group_map: per core the
    number of crossbars of each array group (empty for an absent core).
    """

    cores: int
    core_start: LongArray
    op: ByteArray
    rd: ByteArray
    rs1: ByteArray
    rs2: ByteArray
    imm: LongArray
    group: IntArray
    length: IntArray
    size: IntArray
    core: IntArray
    ibiw: IntArray
    obiw: IntArray
    mbiw: IntArray
    relu: IntArray
    offset_value: IntArray
    offset_select: IntArray
    event_register: IntArray
    wait_value: IntArray
    array_group_map: tuple[IntArray, ...]

    @property
    def instructions(self) -> int:
        """Emitted instructions of all cores."""
        return len(self.op)

    @property
    def listing(self) -> Listing:
        """What matters to registers."""
        return Listing(self.core_start, self.op, self.rd, self.rs1, self.rs2, self.imm)


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MemoryImage:
    """The real numbers a program works with (memory.npz).

    global_addresses / global_values: constants in global memory, by the byte address of their first byte. inputs /
    outputs: per tensor name ("" when the file does not name it) the byte address of every element, in the tensor's
    shape, with a leading axis of images_per_round when that is > 1. matrices[core, group]: float32[rows, cols];
    replicas may share one array. clip_core, clip_index, clip_value: real bound of the vrsu/vrsl at that position of
    that core's list. output_delays: rounds after which each output appears, the latest after output_round_delay.
    """

    global_addresses: LongArray
    global_values: FloatArray
    inputs: dict[str, LongArray]
    outputs: dict[str, LongArray]
    matrices: dict[tuple[int, int], FloatArray]
    clip_core: IntArray
    clip_index: LongArray
    clip_value: FloatArray
    images_per_round: int
    output_round_delay: int
    output_delays: dict[str, int]


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EmittedCheckpoints:
    """Where feature maps can be seen while a program runs (checkpoints.npz).

    Entry k: after instruction `index[k]` of the list of core `core[k]`, its local memory holds at `address[k]` the
    columns [col_start[k], col_stop[k]) of row `row[k]` of node `node[k]` for image `image[k]`, `channels[k]` elements
    each, in (column, channel) order. instruction_node: int32[emitted instructions], laid out as `Decoded`; -1: no node.
    """

    core: IntArray
    index: LongArray
    node: IntArray
    image: IntArray
    row: IntArray
    col_start: IntArray
    col_stop: IntArray
    address: LongArray
    channels: IntArray
    node_names: tuple[str, ...]
    instruction_node: IntArray


def decode_program(path: Path) -> Decoded:
    """Reads a program: one JSON file, plain or gzip, or a directory of config.json and core_<id>.json / core_<id>.pim.

    Strict where the simulators are lenient: every field known and an integer, registers in 0..31, peers on the chip.

    Raises ModelError with file, core and position in the core's list.
    """
    if path.is_dir():
        config = _json_object(_read(path / "config.json"), path / "config.json")
        lists = _directory_lists(path, _core_count(config, path / "config.json"))
    else:
        whole = _json_object(_read(path), path)
        config = whole.pop("config", None)
        if not isinstance(config, dict):
            raise ModelError(f"{path}: expected an object 'config', found {type(config).__name__}")
        lists = _single_file_lists(whole, _core_count(config, path), path)
    cores = _core_count(config, path)
    parts = list(lists)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    core_start = np.concatenate([[0], np.cumsum([len(part["op"]) for part in parts])]).astype(np.int64)
    columns["length"] = columns.pop("len")
    groups = _array_group_map(config, path, core_start)
    return Decoded(cores=cores, core_start=core_start, array_group_map=groups, **columns)


def _read(path: Path) -> bytes:
    """The file's content, unpacked if it is gzip."""
    try:
        content = path.read_bytes()
        if content[:2] != _GZIP_MAGIC:
            return content
        unpacked: bytes = igzip.decompress(content)
        return unpacked
    except (OSError, EOFError, isal_zlib.error) as error:  # type: ignore[misc]  # its stub has an instance
        raise ModelError(f"{path}: cannot be read: {error}") from error


def _json_object(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(content.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise ModelError(f"{path}: not JSON: {file_kind(content) or error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected an object, found {type(value).__name__}")
    return value


def _core_count(config: dict[str, Any], path: Path) -> int:
    count = config.get("core_cnt")
    if type(count) is not int or count < 1:
        raise ModelError(f"{path}: config.core_cnt: expected a positive integer, found {count!r}")
    return count


def _array_group_map(config: dict[str, Any], path: Path, core_start: LongArray) -> tuple[IntArray, ...]:
    entries = config.get("array_group_map")
    if not isinstance(entries, dict):
        raise ModelError(f"{path}: config.array_group_map: expected an object, found {type(entries).__name__}")
    groups = []
    for core in range(len(core_start) - 1):
        entry = entries.get(f"core{core}", [])
        if not isinstance(entry, list) or any(type(n) is not int or n < 1 for n in entry):
            raise ModelError(f"{path}: config.array_group_map.core{core}: expected positive integers, found {entry!r}")
        groups.append(np.array(entry, np.int32))
    return tuple(groups)


def _single_file_lists(whole: dict[str, Any], cores: int, path: Path) -> Iterable[Columns]:
    """The columns of every core in turn; each core's objects are dropped as soon as they are read."""
    strange = sorted(set(whole) - {f"core{core}" for core in range(cores)})
    if strange:
        raise ModelError(f"{path}: expected core0 to core{cores - 1} beside 'config', found '{strange[0]}'")
    for core in range(cores):
        yield json_columns(whole.pop(f"core{core}", []), core, cores, path)


def _directory_lists(path: Path, cores: int) -> Iterable[Columns]:
    """The columns of core_<id>.pim or, without one, of core_<id>.json, for every core."""
    for name in sorted(entry.name for entry in path.iterdir() if entry.name.startswith("core_")):
        match = re.fullmatch(r"core_([0-9]+)\.(json|pim)", name)
        if match is None or int(match[1]) >= cores:
            raise ModelError(f"{path / name}: expected core_<id>.json or core_<id>.pim with an id below {cores}")
    for core in range(cores):
        binary, text = path / f"core_{core}.pim", path / f"core_{core}.json"
        if not binary.exists() and not text.exists():
            raise ModelError(f"{path}: expected core_{core}.json or core_{core}.pim: the program has {cores} cores")
        if binary.exists():
            yield pim_columns(_read(binary), core, cores, binary)
            continue
        try:
            instructions = orjson.loads(_read(text).removeprefix(BOM))
        except orjson.JSONDecodeError as error:
            raise ModelError(f"{text}: not JSON: {error}") from error
        yield json_columns(instructions, core, cores, text)


def read_memory(path: Path) -> MemoryImage:
    """Reads memory.npz, with one array per array group or with shared matrices (`matrix_{m}` and `core{c}_groups`).

    Raises ModelError if an entry is missing or of the wrong type.
    """
    arrays = _npz(path)
    matrices: dict[tuple[int, int], FloatArray] = {}
    for key in sorted(arrays):
        if match := re.fullmatch(r"core(\d+)_group(\d+)", key):
            matrices[int(match[1]), int(match[2])] = arrays[key]
        elif match := re.fullmatch(r"core(\d+)_groups", key):
            for group, matrix in enumerate(arrays[key].tolist()):
                matrices[int(match[1]), group] = _entry(arrays, f"matrix_{matrix}", np.float32, path)
    clip_core = _entry(arrays, "clip_core", np.int32, path) if "clip_core" in arrays else np.zeros(0, np.int32)
    has_clips = len(clip_core) > 0
    addresses = _entry(arrays, "global_addresses", np.int64, path)
    values = _entry(arrays, "global_values", np.float32, path)
    if addresses.ndim != 1 or values.shape != addresses.shape:
        raise ModelError(f"{path}: {list(addresses.shape)} global addresses for {list(values.shape)} values")
    for (core, group), matrix in matrices.items():
        if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating):
            raise ModelError(f"{path}: core {core}, array group {group}: expected a matrix of floats")
    delay = _count(arrays, "output_round_delay", range(LARGEST_COUNT), path)
    outputs = _tensors(arrays, "output", path)
    return MemoryImage(
        global_addresses=addresses,
        global_values=values,
        inputs=_tensors(arrays, "input", path),
        outputs=outputs,
        matrices=matrices,
        clip_core=clip_core,
        clip_index=_entry(arrays, "clip_index", np.int64, path) if has_clips else np.zeros(0, np.int64),
        clip_value=_entry(arrays, "clip_value", np.float32, path) if has_clips else np.zeros(0, np.float32),
        images_per_round=_count(arrays, "images_per_round", range(1, LARGEST_COUNT), path),
        output_round_delay=delay,
        output_delays=_delays(arrays, list(outputs), delay, path),
    )


def _delays(arrays: dict[str, Any], names: list[str], latest: int, path: Path) -> dict[str, int]:
    """Rounds after which each output appears: the latest of them where the archive does not say."""
    if "output_delays" not in arrays:
        return dict.fromkeys(names, latest)
    found = _entry(arrays, "output_delays", np.int64, path)
    if found.shape != (len(names),) or ((found < 0) | (found > latest)).any():
        raise ModelError(
            f"{path}: output_delays: expected a number from 0 to {latest} for each of {len(names)} outputs"
        )
    return dict(zip(names, found.tolist(), strict=True))


def _count(arrays: dict[str, Any], name: str, allowed: range, path: Path) -> int:
    """A whole number of the archive; the smallest one allowed if it is absent."""
    found = arrays.get(name, np.int64(allowed.start))
    if found.shape != () or not np.issubdtype(found.dtype, np.integer) or int(found) not in allowed:
        raise ModelError(f"{path}: {name}: expected a whole number from {allowed.start} to {allowed.stop - 1}")
    return int(found)


def read_checkpoints(path: Path) -> EmittedCheckpoints:
    """Reads checkpoints.npz.

    Raises ModelError if an entry is missing or of the wrong type.
    """
    arrays = _npz(path)
    ints = {
        name: _entry(arrays, name, np.int32, path)
        for name in ("core", "node", "image", "row", "col_start", "col_stop", "channels", "instruction_node")
    }
    longs = {name: _entry(arrays, name, np.int64, path) for name in ("index", "address")}
    for name, array in (ints | longs).items():
        if array.ndim != 1 or (name != "instruction_node" and array.shape != ints["core"].shape):
            raise ModelError(f"{path}: {name}: expected one value per checkpoint, found shape {list(array.shape)}")
    names = tuple(np.atleast_1d(_entry(arrays, "node_names", np.str_, path)).ravel().tolist())
    for name in ("node", "instruction_node"):
        if (last := ints[name].max(initial=-1)) >= len(names):
            raise ModelError(f"{path}: {name}: expected nodes below {len(names)}, as node_names has, found {last}")
    return EmittedCheckpoints(**ints, **longs, node_names=names)


def nodes_of(points: EmittedCheckpoints, decoded: Decoded, path: Path) -> IntArray:
    """int32[emitted instructions]: the graph node each works for. Raises ModelError if those are another program's."""
    if len(points.instruction_node) != decoded.instructions:
        raise ModelError(
            f"{path}: instruction_node: expected {decoded.instructions} entries, one per instruction of the program, "
            f"found {len(points.instruction_node)}: they are of different compiles"
        )
    return points.instruction_node


def _tensors(arrays: dict[str, Any], side: str, path: Path) -> dict[str, LongArray]:
    """Addresses per tensor name of the inputs or of the outputs."""
    names = [""]
    if f"{side}_names" in arrays:
        names = [str(name) for name in np.atleast_1d(_entry(arrays, f"{side}_names", np.str_, path)).ravel()]
    keys = [f"{side}_addresses"] if len(names) == 1 else [f"{name}_addresses" for name in names]
    if f"{side}_keys" in arrays:
        keys = [str(key) for key in np.atleast_1d(_entry(arrays, f"{side}_keys", np.str_, path)).ravel()]
    if len(keys) != len(names):
        raise ModelError(f"{path}: {len(keys)} {side}_keys for {len(names)} {side}_names")
    return {name: _entry(arrays, key, np.int64, path) for name, key in zip(names, keys)}


def _npz(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except UNREADABLE_ARRAYS as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error


def _entry(arrays: dict[str, Any], name: str, dtype: type[np.generic], path: Path) -> Any:
    """An array of the archive, of exactly this type."""
    if name not in arrays:
        raise ModelError(f"{path}: has no array '{name}'")
    if not np.issubdtype(arrays[name].dtype, dtype):
        raise ModelError(f"{path}: {name}: expected {dtype.__name__}, found {arrays[name].dtype}")
    return arrays[name]
