"""The trace event format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU

Every core is a process and every unit a thread of it; `ts` and `dur` are microseconds.
"""

import json
from collections.abc import Iterator

import numpy as np

from pimcomp.attribution import Attribution
from pimcomp.attribution.waits import EVENT, GLOBAL_MEMORY
from pimcomp.ir.program import LongArray, Op
from pimdse.folder.program import ProgramFolder
from pimdse.trace.slices import CHIP, MATRIX, PATH, SEVERAL, TRANSFER, VECTOR, WAITS, Slices

_CATEGORY = {VECTOR: "vector", TRANSFER: "transfer", WAITS: "wait", MATRIX: "mvm"}
_THREAD = {VECTOR: "vector", TRANSFER: "transfers", WAITS: "waits"}
_PS_PER_US = 1_000_000
_CHUNK = 4096


def trace_json(folder: ProgramFolder, found: Attribution, slices: Slices, messages: LongArray) -> Iterator[bytes]:
    """The file in pieces. messages: rows of the sends that get an arrow, with slices for both ends."""
    head = {"latency_ns": found.latency_ps / 1000, "program": folder.title}
    yield f'{{"displayTimeUnit":"ns","otherData":{json.dumps(head)},"traceEvents":[\n'.encode()
    yield ",\n".join(_names(slices)).encode()
    for lines in (_slice_lines(folder, slices), _arrow_lines(folder, found, messages)):
        piece: list[str] = []
        for line in lines:
            piece.append(line)
            if len(piece) == _CHUNK:
                yield (",\n" + ",\n".join(piece)).encode()
                piece = []
        if piece:
            yield (",\n" + ",\n".join(piece)).encode()
    yield b"\n]}\n"


def largest_messages(folder: ProgramFolder, found: Attribution, slices: Slices, limit: int) -> LongArray:
    """Rows of the sends with the most bytes, at most `limit`, of which both ends are shown; in the program's order."""
    sends = np.flatnonzero(folder.stream.op == Op.SEND)
    both = _shown(sends, found, slices) & _shown(found.links.partner[sends], found, slices)
    sends = sends[both]
    largest = np.argsort(-folder.stream.size[sends].astype(np.int64), kind="stable")[:limit]
    return np.sort(sends[largest])


def _shown(rows: LongArray, found: Attribution, slices: Slices) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether the middle of each transfer lies in a slice of its core."""
    chosen = slices.take(slices.track == TRANSFER)
    if not len(chosen) or not len(rows):
        return np.zeros(len(rows), bool)
    # (core, time) as one number: slices are sorted by it
    scale = max(found.latency_ps, int(found.times.retired.max())) + 1
    key = found.links.core[rows] * scale + found.times.resumed[rows]
    at = np.searchsorted(chosen.core * scale + chosen.start_ps, key, side="right") - 1
    return np.asarray((at >= 0) & (key <= (chosen.core * scale + chosen.stop_ps)[at]))


def _names(slices: Slices) -> Iterator[str]:
    """Names and order of processes and threads."""

    def meta(kind: str, process: int, thread: int, argument: dict[str, object]) -> str:
        return json.dumps({"ph": "M", "name": kind, "pid": process, "tid": thread, "ts": 0, "args": argument})

    tracks = np.unique(np.stack([slices.core, slices.track], axis=1).reshape(-1, 2), axis=0).tolist()
    for core in sorted({core for core, _ in tracks} | {CHIP}):
        yield meta("process_name", core + 1, 0, {"name": "chip" if core == CHIP else f"core {core}"})
        yield meta("process_sort_index", core + 1, 0, {"sort_index": core + 1})
    for core, track in tracks:
        if core == CHIP:
            name = "critical path" if track == PATH else "global memory"
        else:
            name = _THREAD.get(track, "MVM" if track == MATRIX else f"MVM, lane {track - MATRIX}")
        order = 0 if core != CHIP and track >= MATRIX else track + 1
        yield meta("thread_name", core + 1, track + 1, {"name": name})
        yield meta("thread_sort_index", core + 1, track + 1, {"sort_index": order})


def _slice_lines(folder: ProgramFolder, slices: Slices) -> Iterator[str]:
    layers = {k: folder.layer(k) for k in np.unique(slices.layer).tolist()} | {SEVERAL: "several layers"}
    ops = {int(op): op.name.lower() for op in Op}
    stream = folder.stream
    columns = (
        slices.core, slices.track, slices.layer, slices.other, slices.start_ps, slices.stop_ps, slices.count,
        slices.work_ps, stream.op[slices.row], stream.peer[slices.row], stream.size[slices.row],
    )  # fmt: skip
    for core, track, layer, other, start, stop, count, work, op, peer, size in zip(*(c.tolist() for c in columns)):
        name, category = layers[layer], "chip" if core == CHIP else _CATEGORY[min(track, MATRIX)]
        if core != CHIP and track == WAITS:
            name = f"for {_peer(other)}: {name}"
        elif core == CHIP:
            name = f"{_peer(other)}: {name}"
        elif name == "-":
            name = ops[op]
        if count > 1:
            arguments = f'"instructions":{count},"busy_ns":{work / 1000:.15g}'
        else:
            arguments = f'"op":"{ops[op]}"' + (f',"peer":{peer},"bytes":{size}' if peer >= 0 else "")
        yield (
            f'{{"ph":"X","pid":{core + 1},"tid":{track + 1},"ts":{_us(start)},"dur":{_us(stop - start)},'
            f'"cat":"{category}","name":{json.dumps(name)},"args":{{{arguments}}}}}'
        )


def _peer(other: int) -> str:
    return {GLOBAL_MEMORY: "memory", EVENT: "event", SEVERAL: "several"}.get(other, f"core {other}")


def _arrow_lines(folder: ProgramFolder, found: Attribution, messages: LongArray) -> Iterator[str]:
    """Two events per message: it leaves the sender when the receiver grants it and arrives as data."""
    receives = found.links.partner[messages]
    core, resumed = found.links.core, found.times.resumed
    ends = (core[messages], resumed[messages], core[receives], resumed[receives], folder.stream.size[messages])
    for number, (a, sent, b, arrived, size) in enumerate(zip(*(c.tolist() for c in ends)), start=1):
        common = f'"cat":"message","name":"{size} bytes","id":{number}'
        yield f'{{"ph":"s","pid":{a + 1},"tid":{TRANSFER + 1},"ts":{_us(sent)},{common}}}'
        yield f'{{"ph":"f","bp":"e","pid":{b + 1},"tid":{TRANSFER + 1},"ts":{_us(arrived)},{common}}}'


def _us(ps: int) -> str:
    """Picoseconds as decimal microseconds, exactly."""
    whole, rest = divmod(ps, _PS_PER_US)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)
