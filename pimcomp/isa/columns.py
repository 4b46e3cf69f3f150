"""One core's instruction list as columns, from JSON objects or from the binary form of the HEAPLab fork."""

import struct
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pimcomp.errors import ModelError
from pimcomp.ir.graph import IntArray
from pimcomp.isa.table import ISA, NEEDS_PEER, REGISTERS

PIM_MAGIC = b"PIMB"  # per-core binary form: magic, u32 version, u32 count, then 20-byte little-endian records
PIM_RECORD = np.dtype(
    [("op", "u1"), ("rd", "u1"), ("rs1", "u1"), ("flags", "u1"), ("a", "<i4"), ("b", "<i4"), ("c", "<i4"), ("d", "<i4")]
)
PIM_HEADER = struct.Struct("<4sII")
_OPCODES = {op.name.lower(): int(op) for op in ISA}
_INTEGER_FIELDS = (
    "rd", "rs1", "rs2", "imm", "group", "len", "size", "core", "ibiw", "obiw", "mbiw", "relu",
    "event_register", "wait_value", "offset_value",
)  # fmt: skip
_KNOWN_FIELDS = {"op", "offset", *_INTEGER_FIELDS}

Columns = dict[str, npt.NDArray[Any]]


def json_columns(instructions: object, core: int, cores: int, path: Path) -> Columns:
    """One core's list of objects as columns."""
    where = f"{path}: core {core}"
    if not isinstance(instructions, list):
        raise ModelError(f"{where}: expected a list of instructions, found {type(instructions).__name__}")
    for index, instruction in enumerate(instructions):
        if type(instruction) is not dict:
            raise ModelError(f"{where}, instruction {index}: expected an object, found {instruction!r}")
    unknown = set(chain.from_iterable(instructions)) - _KNOWN_FIELDS
    if unknown:
        index = next(k for k, instruction in enumerate(instructions) if unknown & instruction.keys())
        field = sorted(unknown & instructions[index].keys())[0]
        raise ModelError(f"{where}, instruction {index}: unknown field '{field}'")
    names = [instruction.get("op") for instruction in instructions]
    op = np.array([_OPCODES.get(name, 255) if isinstance(name, str) else 255 for name in names], np.uint8)
    if (op == 255).any():
        index = int(np.argmax(op == 255))
        raise ModelError(f"{where}, instruction {index}: unknown op {names[index]!r}")
    columns: Columns = {"op": op}
    for field in _INTEGER_FIELDS:
        columns[field] = _integers([instruction.get(field, 0) for instruction in instructions], field, where)
    columns |= _offsets(instructions, where)
    for index in np.flatnonzero(NEEDS_PEER[op]).tolist():
        if "core" not in instructions[index]:
            raise ModelError(f"{where}, instruction {index}: {names[index]} has no field 'core'")
    return _checked(columns, cores, where)


def _offsets(instructions: list[dict[str, Any]], where: str) -> Columns:
    """offset_value and offset_select of the nested `offset` objects; scalar instructions have a flat offset_value."""
    values, selects = [], []
    for index, instruction in enumerate(instructions):
        offset = instruction.get("offset")
        if offset is None:
            values.append(instruction.get("offset_value", 0))
            selects.append(0)
            continue
        if type(offset) is not dict or not offset.keys() <= {"offset_value", "offset_select"}:
            raise ModelError(
                f"{where}, instruction {index}: offset: expected offset_value and offset_select, found {offset!r}"
            )
        values.append(offset.get("offset_value", 0))
        selects.append(offset.get("offset_select", 0))
    return {
        "offset_value": _integers(values, "offset_value", where),
        "offset_select": _integers(selects, "offset_select", where),
    }


def _integers(values: list[Any], field: str, where: str) -> npt.NDArray[Any]:
    """A column of 32-bit integers (int64 for imm, uint8 for register numbers)."""
    if not set(map(type, values)) <= {int}:
        index = next(k for k, value in enumerate(values) if type(value) is not int)
        raise ModelError(f"{where}, instruction {index}: {field}: expected an integer, found {values[index]!r}")
    is_register = field in ("rd", "rs1", "rs2")
    low, high = (0, REGISTERS - 1) if is_register else (-(2**31), 2**31 - 1)
    if values and (min(values) < low or max(values) > high):
        index = next(k for k, value in enumerate(values) if not low <= value <= high)
        raise ModelError(f"{where}, instruction {index}: {field}: expected {low} to {high}, found {values[index]}")
    return np.array(values, np.int64 if field == "imm" else np.uint8 if is_register else np.int32)


def pim_columns(content: bytes, core: int, cores: int, path: Path) -> Columns:
    """One core's binary list as columns; which of a record's four numbers mean what depends on the opcode's class."""
    where = f"{path}: core {core}"
    if len(content) < PIM_HEADER.size or content[:4] != PIM_MAGIC:
        raise ModelError(f"{where}: not a binary instruction list (no '{PIM_MAGIC.decode()}' at its start)")
    _, version, count = PIM_HEADER.unpack_from(content)
    if version != 1 or len(content) != PIM_HEADER.size + count * PIM_RECORD.itemsize:
        raise ModelError(
            f"{where}: expected version 1 and {count} records of {PIM_RECORD.itemsize} bytes, "
            f"found version {version} and {len(content) - PIM_HEADER.size} bytes"
        )
    record = np.frombuffer(content, PIM_RECORD, offset=PIM_HEADER.size)
    op = record["op"]
    if not np.isin(op, list(ISA)).all():
        index = int(np.argmin(np.isin(op, list(ISA))))
        raise ModelError(f"{where}, instruction {index}: unknown op {op[index]}")

    def column(field: str) -> IntArray:
        found = np.zeros(count, np.int32)
        for place, number in enumerate("abcd"):
            has = np.isin(op, [code for code, row in ISA.items() if row.record[place] == field])
            found[has] = record[number][has]
        return found

    columns: Columns = {name: column(name) for name in (*_INTEGER_FIELDS, "offset_select")}
    columns |= {"op": op.copy(), "rd": record["rd"], "rs1": record["rs1"], "imm": columns["imm"].astype(np.int64)}
    for field in ("rd", "rs1", "rs2"):
        columns[field] = _integers(columns[field].tolist(), field, where)
    return _checked(columns, cores, where)


def _checked(columns: Columns, cores: int, where: str) -> Columns:
    """The columns, once every peer is a core of the chip."""
    peer = columns["core"]
    wrong = NEEDS_PEER[columns["op"]] & ((peer < 0) | (peer >= cores))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ModelError(f"{where}, instruction {index}: core: expected 0 to {cores - 1}, found {peer[index]}")
    return columns
