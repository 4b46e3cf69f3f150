"""evaluation.json: what every core does, in counts and predicted time (PIMCOMP-NN's EvaluationResult, summarised)."""

import numpy as np
import orjson

from pimcomp.emit.row_text import used_by_core
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.program import LongArray, Op
from pimcomp.isa.listing import emitted_start
from pimcomp.isa.table import LOAD, LOCAL, MATRIX, RECV, SEND, STORE, UNIT, VECTOR

_UNITS = {
    "mvmul": (MATRIX,),
    "vector": (VECTOR,),
    "local_moves": (LOCAL,),
    "global_memory": (LOAD, STORE),
    "messages": (SEND, RECV),
}


def evaluation_json(compiled: Compiled) -> bytes:
    """Totals and one object per core that has instructions, whose figures are those of one pass.

    busy_ns: the core's own work; finish_ns: when its last instruction retires; utilisation: busy over the chip's
    latency. instructions_per_round: emitted, of which scalar; and per unit as `_UNITS` has it.
    sent_, loaded_, stored_bytes_per_round: traffic that leaves or enters the core other than by messages it receives.
    """
    program, timing = compiled.program, compiled.timing
    table, emitted = program.table, np.diff(emitted_start(program))
    core_of = np.repeat(np.arange(program.cores), np.diff(program.core_start))

    def per_core(units: tuple[int, ...], weights: LongArray | None = None) -> LongArray:
        chosen = np.isin(UNIT[table.op], units)
        counted = None if weights is None else weights[chosen]
        return np.bincount(core_of[chosen], counted, minlength=program.cores).astype(np.int64)

    size = table.size.astype(np.int64)
    columns: dict[str, LongArray | np.ndarray] = {
        "busy_ns": timing.busy_ns,
        "finish_ns": timing.finish_ns,
        "utilisation": timing.busy_ns / timing.latency_ns if timing.latency_ns else np.zeros(program.cores),
        "instructions_per_round": emitted,
        "scalar": emitted - np.diff(program.core_start),
        **{name: per_core(units) for name, units in _UNITS.items()},
        "sent_bytes_per_round": per_core((SEND,), size),
        "loaded_bytes_per_round": per_core((LOAD,), size),
        "stored_bytes_per_round": per_core((STORE,), size),
        "local_peak_bytes": program.local_peak_bytes,
        "array_groups": np.diff(program.group_start),
        "crossbars": np.diff(np.concatenate([[0], np.cumsum(program.group_crossbars)])[program.group_start]),
    }
    used = used_by_core(program)
    rows = zip(*(column[used].tolist() for column in columns.values()), strict=True)
    cores = [
        {"core": core, **dict(zip(columns, row, strict=True))} for core, row in zip(used.tolist(), rows, strict=True)
    ]
    counts = np.bincount(table.op, minlength=max(Op) + 1)
    content = {
        "schema": "pimdse.evaluation.json/1",
        "latency_ns": compiled.latency_ns,
        "period_ns": compiled.period_ns,
        "images_per_round": program.images_per_round,
        "instructions_by_operation_per_round": {
            op.name.lower(): int(counts[op]) for op in Op if op < len(counts) and counts[op]
        },
        "cores": cores,
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
