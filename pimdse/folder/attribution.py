"""Attribution for people and for machines: tables, JSON and the sentence that names the bottleneck."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from pimcomp.attribution import Attribution
from pimcomp.attribution.core_use import USES, WAITS_MEMORY
from pimcomp.attribution.critical_path import UNITS
from pimcomp.attribution.waits import EVENT, GLOBAL_MEMORY, Wait
from pimdse.display.output import plain, wide_table
from pimdse.display.units import share_text, time_text
from pimdse.folder.program import ProgramFolder

SHOWN_LAYERS, SHOWN_CORES, SHOWN_WAITS = 8, 5, 5
_PS_PER_NS = 1000
_WORDS = {
    "mvm": "MVM",
    "global_memory": "memory",
    "local_port": "port",
    "front_end": "front end",
    "waits_memory": "waits for memory",
    "waits_core": "waits for cores",
}


def bottleneck(found: Attribution, folder: ProgramFolder) -> str:
    """What the latency is made of, and the longest wait: one or two sentences, every figure from the attribution."""
    latency = found.latency_ps
    if not latency:
        return "No core reports an end: there is no latency to explain."
    units = sorted(zip(found.path_by_node.sum(axis=0).tolist(), UNITS), key=lambda item: -item[0])
    parts = [f"{100 * ps / latency:.0f} % {_WORDS.get(unit, unit)}" for ps, unit in units[:3] if ps * 100 >= latency]
    text = f"The critical path is {_listed(parts)}"
    by_layer = found.path_by_node[:-1].sum(axis=1)
    if by_layer.any():
        largest = int(by_layer.argmax())
        text += f"; its largest layer is {folder.layer(largest)} ({share_text(by_layer[largest], latency)})"
    by_core = found.path_by_core.sum(axis=1)
    if np.count_nonzero(by_core) > 1:
        text += f"; core {by_core.argmax()} has the largest part of it ({share_text(by_core.max(), latency)})"
    text += "."
    if not found.waits:
        return f"{text} No core waits for another."
    wait = found.waits[0]
    share = share_text(wait.wait_ps, latency)
    return f"{text} Core {wait.core} waits longest: {share} of the time for {_peer(wait)}{_reason(wait, folder)}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _peer(wait: Wait) -> str:

    special = {GLOBAL_MEMORY: "the global memory", EVENT: "an event"}
    return special.get(wait.peer, f"core {wait.peer}")


def _reason(wait: Wait, folder: ProgramFolder) -> str:
    """The layer, if most of the wait is for one."""
    if wait.node < 0 or 2 * wait.node_ps < wait.wait_ps:
        return ""
    return f" ({'' if wait.node_ps == wait.wait_ps else 'mostly '}layer {folder.layer(wait.node)})"


def attribution_data(found: Attribution, folder: ProgramFolder) -> dict[str, object]:
    """Everything as JSON values, times in ns: layers and cores that take part, all listed waits."""

    def named(values: Sequence[int], names: tuple[str, ...]) -> dict[str, float]:
        return {name: ps / _PS_PER_NS for name, ps in zip(names, values, strict=True)}

    by_node, by_core = found.path_by_node, found.path_by_core
    layers = np.argsort(-by_node.sum(axis=1), kind="stable")
    present = np.flatnonzero(np.diff(folder.stream.core_start))
    return {
        "latency_ns": found.latency_ps / _PS_PER_NS,
        "bottleneck": bottleneck(found, folder),
        "critical_path_ns": {
            "by_unit": named(by_node.sum(axis=0).tolist(), UNITS),
            "by_layer": [
                {"layer": folder.layer(k) if k < len(by_node) - 1 else None, **named(by_node[k].tolist(), UNITS)}
                for k in layers.tolist()
                if by_node[k].any()
            ],
            "by_core": [
                {"core": c, **named(by_core[c].tolist(), UNITS)} for c in np.flatnonzero(by_core.any(axis=1)).tolist()
            ],
        },
        "cores_ns": [{"core": c, **named(found.core_use[c].tolist(), USES)} for c in present.tolist()],
        "waits": [
            {
                "core": w.core,
                "for_core": w.peer if w.peer >= 0 else None,
                "for": _peer(w),
                "times": w.times,
                "wait_ns": w.wait_ps / _PS_PER_NS,
                "layer": folder.layer(w.node) if w.node >= 0 else None,
                "layer_ns": w.node_ps / _PS_PER_NS,
            }
            for w in found.waits
        ],
    }


def show_attribution(console: Console, found: Attribution, folder: ProgramFolder) -> None:
    """Critical path by layer and unit, the busiest cores, the largest waits, and the bottleneck in words."""
    if found.latency_ps:
        _show_path(console, found, folder)
        _show_cores(console, found)
        _show_waits(console, found, folder)
    plain(console, bottleneck(found, folder), "bold")


def _show_path(console: Console, found: Attribution, folder: ProgramFolder) -> None:

    by_node, latency = found.path_by_node, found.latency_ps
    shown = [u for u in range(len(UNITS)) if by_node[:, u].any()]
    header = ("critical path", "time", "share", *(_WORDS.get(UNITS[u], UNITS[u]) for u in shown))

    def row(name: str, values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[str]:
        total = int(values.sum())
        shares = [share_text(int(values[u]), latency) if values[u] else "" for u in shown]
        return [name, time_text(total / _PS_PER_NS), share_text(total, latency), *shares]

    rows = [row("all", by_node.sum(axis=0))]
    order = [k for k in np.argsort(-by_node.sum(axis=1), kind="stable").tolist() if by_node[k].any()]
    if len(folder.node_names):
        rows += [row(folder.layer(k), by_node[k]) for k in order[:SHOWN_LAYERS]]
        if rest := order[SHOWN_LAYERS:]:
            rows.append(row(f"{len(rest)} more", by_node[rest].sum(axis=0)))
    wide_table(console, header, rows, numeric=header[1:])


def _show_cores(console: Console, found: Attribution) -> None:

    use, latency = found.core_use, found.latency_ps
    busy = use[:, :WAITS_MEMORY].sum(axis=1)
    present = np.flatnonzero(busy)
    shown = [u for u in range(len(USES)) if use[present, u].any()]
    header = ("busiest cores", *(_WORDS.get(USES[u], USES[u]) for u in shown))
    rows = [
        [str(core), *(share_text(int(use[core, u]), latency) for u in shown)]
        for core in present[np.argsort(-busy[present], kind="stable")][:SHOWN_CORES].tolist()
    ]
    mean = use[present].mean(axis=0)
    rows.append([f"mean of {len(present)}", *(share_text(float(mean[u]), latency) for u in shown)])
    wide_table(console, header, rows, numeric=header[1:])


def _show_waits(console: Console, found: Attribution, folder: ProgramFolder) -> None:
    if not found.waits:
        return
    header = ("largest waits", "for", "time", "share", "times", "mostly for layer")
    rows = [
        [
            f"core {w.core}",
            _peer(w),
            time_text(w.wait_ps / _PS_PER_NS),
            share_text(w.wait_ps, found.latency_ps),
            str(w.times),
            folder.layer(w.node),
        ]
        for w in found.waits[:SHOWN_WAITS]
    ]
    wide_table(console, header, rows, numeric=("time", "share", "times"))
