"""What `pimdse compile` and `pimdse pick` print."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from pimcomp.emit.report import Report
from pimcomp.ir.report import Figures
from pimdse.display.output import Output, plain, rows_table, wide_table
from pimdse.display.units import count_text, energy_text, period_text, power_text, share_text, size_text, time_text


def show_compiled(output: Output, report: Report, folder: Path, stages_s: Sequence[tuple[str, float]]) -> None:
    """Show a compile: the figures, where the time went, where the files are."""
    data = compiled_data(report, folder, stages_s)
    output.show(data, lambda console: render_compiled(console, report, folder, stages_s))


def compiled_data(report: Report, folder: Path, stages_s: Sequence[tuple[str, float]]) -> dict[str, object]:
    """A compile for machines."""
    return {**dataclasses.asdict(report), "folder": str(folder), "stages_s": dict(stages_s)}


def render_compiled(console: Console, report: Report, folder: Path, stages_s: Sequence[tuple[str, float]]) -> None:
    """A compile for people."""
    rows_table(console, compiled_rows(report))
    for note in report.notes:
        plain(console, f"note: {note}", "yellow")
    spent = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in stages_s)
    plain(console, f"{sum(s for _, s in stages_s):.1f} s: {spent}", "dim")
    plain(console, f"wrote {folder}/ (program.gz, config.json, memory.npz, report.json, ...)")


def show_networks(output: Output, content: Mapping[str, Any], report: Report, folder: Path) -> None:
    """Show several networks on one chip: a row for each, what the chip does in all, and what they take in turn."""
    data = {**content, "report": dataclasses.asdict(report), "folder": str(folder)}
    output.show(data, lambda console: _render_networks(console, content, report, folder))


def _render_networks(console: Console, content: Mapping[str, Any], report: Report, folder: Path) -> None:
    header = ("network", "cores", "crossbars", "latency", "period", "alone: latency", "period", "rows")
    rows = [
        (
            entry["label"],
            f"{entry['first_core']} to {entry['first_core'] + entry['cores'] - 1}",
            count_text(entry["crossbars_used"]),
            *(time_text(entry[name]) for name in _TIMES),
            *(time_text(entry["alone"][name]) for name in _TIMES),
            count_text(entry["alone"]["rows_written"]),
        )
        for entry in content["networks"]
    ]
    wide_table(console, header, rows, numeric=header[2:])
    what, in_turn = content["time"].removesuffix("_ns"), content["in_turn"]
    written = (
        f"{count_text(in_turn['rows_written'])} rows in every turn, not counted: {_known_time(in_turn['write_ns'])}"
    )
    aim = f"longest {what}" if content["combine"] == "worst" else f"mean {what}, weighted {content['combine']}"
    gain = content["gain"]
    images = "enough" if in_turn["images"] is None else f"{count_text(in_turn['images'])} or more"
    turns = f"in turn, up to {1 / gain:.2f}x, if a turn is of {images} images of each, which share its writing"
    better = f"side by side, {gain:.2f}x" if gain >= 1 else turns
    rows_table(
        console,
        [
            ("chip", f"{content['arch']}: {content['pipeline']} pipeline, solver {report.solver}"),
            ("side by side", f"{time_text(content['time_ns'])}: {aim}"),
            (
                "in turn",
                f"{time_text(in_turn['time_ns'])} for one image of each, on the whole chip; writing {written}",
            ),
            ("better", better),
            ("energy", f"{energy_text(report.energy_pj)} for one image of each"),
        ],
    )
    for note in report.notes:
        plain(console, f"note: {note}", "yellow")
    plain(console, f"wrote {folder}/ (networks.json, program.gz, config.json, memory.npz, report.json, ...)")


_TIMES = ("latency_ns", "period_ns")


def show_segments(output: Output, content: Mapping[str, Any], folder: Path) -> None:
    """Show the index of a folder of segments: a row for each, and what all cost in order."""
    output.show({**content, "folder": str(folder)}, lambda console: render_segments(console, content, folder))


def render_segments(console: Console, content: Mapping[str, Any], folder: Path) -> None:
    """The index for people."""
    programs = [entry for entry in content["segments"] if "host" not in entry]
    header = ("segment", "layers", "crossbars", "rows", "written", "bytes in", "bytes out", "latency", "energy")
    rows = [_segment_row(entry) for entry in content["segments"]]
    wide_table(console, header, rows, numeric=(header[0], *header[2:]))
    per_round, images = programs[0]["images_per_round"], content["images_per_visit"]
    once = ", once: all weights stay in their crossbars" if content["weights_stay"] else ""
    networks = content.get("networks", ())
    each = " of each" if networks else ""
    table = [
        (
            "networks" if networks else "network",
            f"{content['model']} on {content['arch']}: {content['pipeline']} pipeline",
        ),
        ("segments", f"{len(rows)}, one after the other; {count_text(content['rows_written'])} rows written"),
        *((network["label"], _network_text(network)) for network in networks),
        ("programs", f"{time_text(content['latency_ns'])} for {per_round} image{'s' if per_round > 1 else ''}{each}"),
        ("writing", _known_time(content["write_ns"]) + once),
        ("energy", f"{energy_text(content['energy_pj'])} per image{each}, without writing crossbars"),
    ]
    if content["write_pj"] is not None:
        table.append(("", f"{energy_text(content['write_pj'])} for writing them{once}"))
    if not content["weights_stay"] and content["image_ns"] is not None:
        visits = f"visits of {images} images: " if images > 1 else ""
        table.append((f"per image{each}", f"{visits}{time_text(content['image_ns'])} with writing"))
    if content["lifetime_images"] is not None:
        table.append(("lifetime", f"{count_text(content['lifetime_images'])} images, until a cell has no more writes"))
    if (others := content["on_chips"]) is not None:
        crossing = f"{size_text(others['crossing_bytes'])} cross their links in {time_text(others['link_ns'])}"
        times = f"{time_text(others['latency_ns'])} estimated for an image, one every {time_text(others['period_ns'])}"
        table.append(("or", f"{others['chips']} chips, a part on each, nothing written anew: {times}; {crossing}"))
    rows_table(console, table)
    if content["write_ns"] is None:
        plain(console, "note: the chip's description has no crossbar.write.row_ns: writing is not counted", "yellow")
    if hosted := [node for entry in content["segments"] for node in entry.get("host", ())]:
        plain(console, f"note: {host_text(hosted)}; --host forbid tells why", "yellow")
    plain(console, f"wrote {folder}/ (segments.json, {content['segments'][0]['folder']}/, ...)")


def _network_text(network: Mapping[str, Any]) -> str:
    """What one of several networks takes of a turn."""
    segments = f"{len(network['folders'])} segment{'s' if len(network['folders']) > 1 else ''}"
    rows = f"{count_text(network['rows_written'])} rows written in {_known_time(network['write_ns'])}"
    return f"{segments}, {time_text(network['latency_ns'])}, {energy_text(network['energy_pj'])}; {rows}"


def host_text(nodes: Sequence[Mapping[str, str]]) -> str:
    """How many nodes the host computes, and which operators they are."""
    counts = Counter(node["op"] for node in nodes)
    which = ", ".join(op if count == 1 else f"{count} {op}" for op, count in counts.items())
    which = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''} ({which})"
    return f"ONNX Runtime computes {which} on the host: in no figure here"


def _segment_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    ways = (
        "-" if None in tensors.values() else size_text(sum(tensors.values()))
        for tensors in (entry["inputs_bytes"], entry["outputs_bytes"])
    )
    if "host" in entry:
        names = [node["op"] for node in entry["host"]]
        return entry["folder"], f"host: {_ends(names)}", "-", "-", "-", *ways, "-", "-"
    return (
        entry["folder"],
        _ends(entry["layers"]) or "none",
        count_text(entry["crossbars_written"]),
        count_text(entry["rows_written"]),
        _known_time(entry["write_ns"]),
        *ways,
        time_text(entry["latency_ns"]),
        energy_text(entry["energy_pj"]),
    )


def _ends(names: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys([*names[:1], *names[-1:]]))


def _known_time(ns: float | None) -> str:
    return "not known" if ns is None else time_text(ns)


def compiled_rows(report: Report) -> list[tuple[str, str]]:
    """The figures of a compile as (name, text)."""
    element = report.pipeline == "element"
    bound_ns, gap = (report.bound_ns, report.gap) if element else (report.bound_period_ns, report.gap_period)
    order_ns = report.order_bound_ns if element else report.order_bound_period_ns
    found_ns = report.latency_ns if element else report.period_ns
    figures = figure_rows(report)
    rows = [
        ("network", f"{report.model} on {report.arch}: {report.pipeline} pipeline, solver {report.solver}"),
        (
            "crossbars",
            f"{count_text(report.crossbars_used)} of {count_text(report.crossbars)} used "
            f"({share_text(report.crossbars_used, report.crossbars)}), {report.cores_used} of {report.cores} cores",
        ),
        *figures[:2],
        ("bound", f"{time_text(bound_ns)} proven for any {'latency' if element else 'period'}, {_times(gap)} below"),
        (
            "",
            f"{time_text(order_ns)} for any order of its own actions, which takes {_over(found_ns, order_ns)} of that",
        ),
        *figures[2:],
        ("solver", _certificate(report)),
        (
            "instructions",
            f"{count_text(report.instructions_per_round)}{_per_round(report.images_per_round)} "
            f"({share_text(report.scalar_instructions_per_round, report.instructions_per_round)} scalar)",
        ),
        ("local memory", f"{size_text(report.local_peak_bytes)} in the fullest core{_spilled(report)}"),
    ]
    source = " (by models alone: the chip's description has none)" if report.area_is_modelled else ""
    rows.insert(2, ("area", f"{report.area_mm2:.4g} mm2{source}"))
    if report.adc_clips:
        rows.append(("converters", clipping_text(report.adc_bits, report.adc_bits_needed)))
    return rows


def figure_rows(figures: Report | Figures, digits: int = 3) -> list[tuple[str, str]]:
    """Latency, period, energy (and what it leaves out) and power as (name, text); digits: of the times."""
    return [
        ("latency", time_text(figures.latency_ns, digits)),
        ("period", period_text(figures.period_ns, figures.images_per_round, digits)),
        ("energy", f"{energy_text(figures.energy_pj)} per image{_shares(figures)}"),
        *(("", text) for text in [not_counted_text(figures.energy_not_counted)] if text),
        ("average power", power_text(figures.avg_power_mw)),
    ]


def not_counted_text(parts: Sequence[str]) -> str:
    """What a printed energy leaves out; empty if nothing."""
    names = ", ".join(part.replace("_", " ") for part in parts)
    return f"energy without {names}: the chip's description has no figures for that" if names else ""


def clipping_text(bits: int, needed: int) -> str:
    """What is wrong with converters that have too few bits."""
    return f"{bits} bits, {needed} are needed: large sums clip; verify --integer shows what that costs"


def _spilled(report: Report) -> str:
    if not report.spilled_bytes_per_round:
        return ""
    per_round = _per_round(report.images_per_round)
    return f"; too small, {size_text(report.spilled_bytes_per_round)}{per_round} go to global memory and back"


def _per_round(images: int) -> str:
    return f" per round of {images} images" if images > 1 else ""


def _times(gap: float) -> str:
    return f"{1.0 / (1.0 - gap):.1f}x" if gap < 1.0 else "far"


def _over(figure_ns: float, bound_ns: float) -> str:
    return f"{figure_ns / bound_ns:.2f}x" if bound_ns else "far more"


def _shares(figures: Report | Figures) -> str:
    largest = sorted(figures.energy_by_pj.items(), key=lambda item: -item[1])[:3]
    parts = [f"{name.replace('_', ' ')} {share_text(pj, figures.energy_pj)}" for name, pj in largest if pj > 0]
    return f" ({', '.join(parts)})" if parts else ""


def _certificate(report: Report) -> str:
    status = report.status + (" (the clock ended the search: another run may differ)" if report.time_limited else "")
    if report.solver_objective_ns is None or report.solver_bound_ns is None:
        return f"{status}, no bound claimed"
    found, proven = time_text(report.solver_objective_ns), time_text(report.solver_bound_ns)
    return f"{status}: {found} in its own cost model, where no plan is below {proven}"
