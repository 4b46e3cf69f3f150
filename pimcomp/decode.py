"""Reads emitted files back: programs in every form the simulators load, and the memory image and checkpoints beside them.

Nothing of the compiler is used here but the opcode numbers: what executes a program executes the file.
"""

import re
import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from isal import igzip

from pimcomp.errors import ModelError
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op

REGISTERS = 32
PIM_MAGIC = b"PIMB"  # per-core binary form: magic, u32 version, u32 count, then 20-byte little-endian records
PIM_RECORD = np.dtype(
    [("op", "u1"), ("rd", "u1"), ("rs1", "u1"), ("flags", "u1"), ("a", "<i4"), ("b", "<i4"), ("c", "<i4"), ("d", "<i4")]
)
_OPCODES = {op.name.lower(): int(op) for op in Op}
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Decoded:
    """A program file as it stands: one entry per emitted instruction (setbw and sldi included), cores one after another.

    The list of core c is [core_start[c], core_start[c + 1]). A field an instruction does not have is 0, as in the
    simulators. rd, rs1, rs2 are register numbers (0..31), not values. length: JSON `len`. core: the peer of send, recv and
    sync. imm is the signed 32-bit immediate: a register that holds the low half of a global address is read as unsigned.
    array_group_map: per core the number of crossbars of each array group (empty for an absent core).
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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MemoryImage:
    """The real numbers a program works with (memory.npz).

    global_addresses / global_values: constants in global memory, by the byte address of their first byte. inputs /
    outputs: per tensor name ("" when the file does not name it) the byte address of every element, in the tensor's shape,
    with a leading axis of images_per_round when that is > 1. matrices[core, group]: float32[rows, cols]; replicas may
    share one array. clip_core, clip_index, clip_value: real bound of the vrsu/vrsl at that position of that core's list.
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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EmittedCheckpoints:
    """Where feature maps can be seen while a program runs (checkpoints.npz).

    Entry k: after instruction `index[k]` of the list of core `core[k]`, its local memory holds at `address[k]` the columns
    [col_start[k], col_stop[k]) of row `row[k]` of node `node[k]` for image `image[k]`, `channels[k]` elements each, in
    (column, channel) order. instruction_node: int32[emitted instructions], laid out as `Decoded`; -1: no node.
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
