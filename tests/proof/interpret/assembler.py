"""Writes small programs by hand: operands as addresses, with an sldi in front of every instruction for each of them."""

from collections.abc import Iterable, Sequence

import numpy as np

from pimcomp.emit.decode import Decoded, MemoryImage
from pimcomp.ir.program import Op

FIELDS = (
    "op", "rd", "rs1", "rs2", "imm", "group", "length", "size", "core", "ibiw", "obiw", "mbiw", "relu",
    "offset_value", "offset_select", "event_register", "wait_value",
)  # fmt: skip
Instruction = dict[str, int]
Body = Sequence[Instruction | list[Instruction]]
_BY_SIZE = (Op.LD, Op.ST, Op.SEND, Op.RECV)


def raw(op: Op, **fields: int) -> Instruction:
    """One instruction exactly as given."""
    return {"op": int(op), **fields}


def at(op: Op, *, dst: int = 0, src: int = 0, src2: int = 0, n: int = 0, **fields: int) -> list[Instruction]:
    """An instruction with its registers loaded: 2, 4 and 6 (global addresses also use the next)."""
    loads, registers = [], {"rd": (2, dst), "rs1": (4, src), "rs2": (6, src2)}
    for key, (register, value) in registers.items():
        wide = (op == Op.LD and key == "rs1") or (op == Op.ST and key == "rd")
        if wide:
            loads.append(raw(Op.SLDI, rd=register, imm=value >> 32))
        low = (value + 2**31) % 2**32 - 2**31
        loads.append(raw(Op.SLDI, rd=register + wide, imm=low))
    last = {"op": int(op), "rd": 2, "rs1": 4, "rs2": 6, **fields}
    last |= {"size": n} if op in _BY_SIZE else {"length": n}
    if op == Op.MVMUL:
        last.setdefault("mbiw", 8)
    return [*loads, last]


def assemble(cores: Sequence[Body], *, bits: int = 8, groups: Sequence[int] = ()) -> Decoded:
    """One list per core; setbw comes first; groups: number of one-crossbar array groups of each core."""
    lists = []
    for core in cores:
        flat = [raw(Op.SETBW, ibiw=bits, obiw=bits)] if core else []
        for entry in core:
            flat += entry if isinstance(entry, list) else [entry]
        lists.append(flat)
    rows = [instruction for instructions in lists for instruction in instructions]
    types = {"op": np.uint8, "rd": np.uint8, "rs1": np.uint8, "rs2": np.uint8, "imm": np.int64}
    columns = {f: np.array([r.get(f, 0) for r in rows], types.get(f, np.int32)) for f in FIELDS}
    starts = np.cumsum([0, *(len(instructions) for instructions in lists)])
    counts = [*groups, *([0] * (len(cores) - len(groups)))]
    return Decoded(
        cores=len(cores),
        core_start=starts.astype(np.int64),
        array_group_map=tuple(np.ones(n, np.int32) for n in counts),
        **columns,
    )


def image(
    *,
    inputs: Iterable[int] = (),
    outputs: Iterable[int] = (),
    constants: dict[int, float] | None = None,
    matrices: dict[tuple[int, int], np.ndarray] | None = None,
    clips: Sequence[tuple[int, int, float]] = (),
    delay: int = 0,
) -> MemoryImage:
    """A memory image with one input x and one output y at these addresses."""
    constants = constants or {}
    return MemoryImage(
        global_addresses=np.array(list(constants), np.int64),
        global_values=np.array(list(constants.values()), np.float32),
        inputs={"x": np.array([*inputs], np.int64)} if [*inputs] else {},
        outputs={"y": np.array([*outputs], np.int64)} if [*outputs] else {},
        matrices={k: np.asarray(m, np.float32) for k, m in (matrices or {}).items()},
        clip_core=np.array([c[0] for c in clips], np.int32),
        clip_index=np.array([c[1] for c in clips], np.int64),
        clip_value=np.array([c[2] for c in clips], np.float32),
        images_per_round=1,
        output_round_delay=delay,
        output_delays={"y": delay},
    )
