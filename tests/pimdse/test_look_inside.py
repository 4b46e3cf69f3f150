"""simulate, trace and map: of compiled folders, and of any other program with a chip beside it.

Covers: folder/chip_use, trace/chrome, trace/slices, report/floorplan, commands/simulating, commands/tracing,
commands/mapping.
"""

import gzip
import json
import re
import shutil
import subprocess
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pimdse.cli import run
from pimdse.folder.chip_use import chip_use
from pimdse.folder.program import read_program_folder
from pimdse.report.floorplan import core_places, layer_colours
from pimdse.trace.slices import SEVERAL, Slices, join_neighbours, lanes, slices_of
from tests.timeline.micro import cases

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network in the element pipeline."""
    folder = tmp_path_factory.mktemp("inside") / "resnet8"
    assert run(["-q", "compile", "digits_resnet8", "--solver", "balance", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def out_of_order(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same program on a chip with a reorder buffer."""
    folder = tmp_path_factory.mktemp("inside") / "rob8"
    shutil.copytree(compiled, folder)
    chip = (folder / "chip.yaml").read_text()
    assert "rob_size: 1" in chip
    (folder / "chip.yaml").write_text(chip.replace("rob_size: 1", "rob_size: 8"))
    return folder


@pytest.fixture
def micro(tmp_path: Path) -> Path:
    """A hand-written program: no layers, no report."""
    case = next(c for c in cases() if c.name == "fan_in_3")
    folder = tmp_path / "micro"
    folder.mkdir()
    (folder / "program.json").write_text(json.dumps(case.program))
    (folder / "config.json").write_text(json.dumps(case.config))
    return folder


@pytest.mark.parametrize("rob_size", [1, 4])
def test_simulate_reports_a_deadlock_with_its_cycle(
    rob_size: int, micro: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((micro / "config.json").read_text())
    config["chip_config"]["core_config"]["rob_size"] = rob_size
    (micro / "config.json").write_text(json.dumps(config))
    lists: dict[str, Any] = {"config": {"core_cnt": 3, "array_group_map": {f"core{c}": [] for c in range(3)}}}
    for core in range(3):  # all send first
        other = {"send": (core + 1) % 3, "recv": (core + 2) % 3}
        transfers = [{"op": op, "core": other[op], "size": 8, "rd": 0, "rs1": 0} for op in ("send", "recv")]
        lists[f"core{core}"] = [{"op": "setbw", "ibiw": 8, "obiw": 8}, *transfers]
    (micro / "program.json").write_text(json.dumps(lists))
    assert run(["simulate", str(micro)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "cycle of cores 0 -> 1 -> 2 -> 0" in said
    assert "core 1, instruction 0: send to core 2, waiting since" in said


def test_a_program_that_its_chip_cannot_run_is_named(micro: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fires = [{"op": "setbw", "ibiw": 8, "obiw": 8}, {"op": "mvmul", "rd": 0, "rs1": 1, "group": 0, "mbiw": 8}]
    lists = {"config": {"core_cnt": 1, "array_group_map": {"core0": []}}, "core0": fires}
    (micro / "program.json").write_text(json.dumps(lists))
    assert run(["simulate", str(micro)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "program.json: core 0, instruction 1: group: expected one below 0, found 0" in said


def simulated(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["simulate", str(folder), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("which", ["compiled", "out_of_order", "micro"])
def test_simulate_explains_the_latency(
    which: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIMSIM_NN", raising=False)
    folder: Path = request.getfixturevalue(which)
    found = simulated(folder, capsys)
    attribution = found["attribution"]
    latency_ns = found["ours"]["latency_ns"]
    path = attribution["critical_path_ns"]
    assert sum(path["by_unit"].values()) == pytest.approx(latency_ns)
    for rows, name in ((path["by_layer"], "layer"), (path["by_core"], "core")):
        assert sum(ns for row in rows for key, ns in row.items() if key != name) == pytest.approx(latency_ns)
    for row in attribution["cores_ns"]:
        assert sum(ns for key, ns in row.items() if key != "core") == pytest.approx(latency_ns)
    assert run(["simulate", str(folder)]) == 0
    text = capsys.readouterr().out
    assert attribution["bottleneck"] in text
    assert "critical path" in text


def test_the_sentence_is_what_the_data_says(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = simulated(compiled, capsys)
    attribution, latency_ns = found["attribution"], found["ours"]["latency_ns"]
    path, wait = attribution["critical_path_ns"], attribution["waits"][0]
    sentence = attribution["bottleneck"]
    units = sorted(path["by_unit"].values(), reverse=True)
    assert [int(n) for n in re.findall(r"(\d+) % (?:MVM|vector|copy|network|memory|port|front end)", sentence)] == [
        round(100 * ns / latency_ns) for ns in units[:3]
    ]
    layers = {row["layer"]: sum(v for k, v in row.items() if k != "layer") for row in path["by_layer"]}
    largest = re.search(r"largest layer is (\S+) \(([\d.]+) %\)", sentence)
    assert largest
    assert layers[largest[1]] == max(layers.values())
    assert float(largest[2]) == pytest.approx(100 * layers[largest[1]] / latency_ns, abs=0.051)
    cores = {row["core"]: sum(v for k, v in row.items() if k != "core") for row in path["by_core"]}
    most = re.search(r"core (\d+) has the largest part of it \(([\d.]+) %\)", sentence)
    assert most
    assert cores[int(most[1])] == max(cores.values())
    assert float(most[2]) == pytest.approx(100 * max(cores.values()) / latency_ns, abs=0.051)
    waits = re.search(r"Core (\d+) waits longest: ([\d.]+) % of the time for (core \d+|the global memory)", sentence)
    assert waits
    assert (int(waits[1]), waits[3]) == (wait["core"], wait["for"])
    assert float(waits[2]) == pytest.approx(100 * wait["wait_ns"] / latency_ns, abs=0.051)
    assert wait["wait_ns"] == max(w["wait_ns"] for w in attribution["waits"])


def test_simulate_agrees_with_the_report(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads((compiled / "report.json").read_text())
    prediction = simulated(compiled, capsys)["prediction"]
    for key in ("latency_ns", "period_ns", "throughput_per_s", "energy_pj", "avg_power_mw"):
        assert prediction[key] == pytest.approx(report[key]), key
    assert prediction["energy_by_pj"] == pytest.approx(report["energy_by_pj"])


def test_what_a_folder_must_have(compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("simulate", "trace", "map"):
        assert run([command, str(tmp_path)]) == 2
        assert "expected a program there, as program.gz or program.json" in capsys.readouterr().err
    (tmp_path / "program.gz").write_bytes((compiled / "program.gz").read_bytes())
    assert run(["simulate", str(tmp_path)]) == 2
    assert "expected a chip there, as chip.yaml or config.json" in capsys.readouterr().err
    shutil.copy(compiled / "chip.yaml", tmp_path)
    with np.load(compiled / "checkpoints.npz") as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "checkpoints.npz", **(arrays | {"instruction_node": arrays["instruction_node"][:-1]}))
    whole = shutil.copytree(compiled, tmp_path / "whole")
    shutil.copy(tmp_path / "checkpoints.npz", whole)
    for words in (["simulate", str(tmp_path)], ["verify", str(whole), "--integer"]):
        assert run(words) == 2
        assert "they are of different compiles" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["trace", "map"])
def test_commands_have_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"pimdse {command} " in capsys.readouterr().out


def traced(folder: Path, out: Path, *words: str) -> dict[str, Any]:
    assert run(["-q", "trace", str(folder), "-o", str(out), *words]) == 0
    content = gzip.decompress(out.read_bytes()) if out.suffix == ".gz" else out.read_bytes()
    found: dict[str, Any] = json.loads(content)
    return found


def check_format(trace: dict[str, Any]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """The trace event format's rules; returns (start, stop) in ps of every track's slices, in order."""
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    flows: dict[str, dict[int, dict[str, Any]]] = {"s": {}, "f": {}}
    named = set()
    for event in trace["traceEvents"]:
        assert {"ph", "pid", "tid", "ts", "name"} <= event.keys()
        if event["ph"] == "X":
            assert {"dur", "cat", "args"} <= event.keys()
            assert event["dur"] >= 0
            start = round(event["ts"] * 1e6)
            tracks[event["pid"], event["tid"]].append((start, start + round(event["dur"] * 1e6)))
        elif event["ph"] in flows:
            assert event["id"] not in flows[event["ph"]]
            flows[event["ph"]][event["id"]] = event
        else:
            assert event["ph"] == "M"
            named.add((event["name"], event["pid"], event["tid"]))
    for (process, thread), slices in tracks.items():
        assert {("process_name", process, 0), ("thread_name", process, thread)} <= named
        slices.sort()
        assert all(a[1] <= b[0] for a, b in pairwise(slices)), "slices of one track overlap"
    assert flows["s"].keys() == flows["f"].keys()
    for number, begin in flows["s"].items():
        end = flows["f"][number]
        assert begin["ts"] <= end["ts"]
        for event in (begin, end):
            at = round(event["ts"] * 1e6)
            assert any(a <= at <= b for a, b in tracks[event["pid"], event["tid"]]), "an arrow needs a slice"
    return tracks


@pytest.mark.parametrize("which", ["compiled", "out_of_order", "micro"])
def test_a_trace_shows_every_instruction(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder: Path = request.getfixturevalue(which)
    trace = traced(folder, tmp_path / "trace.json.gz")
    tracks = check_format(trace)
    program = read_program_folder(folder)
    events = trace["traceEvents"]
    shown = [e for e in events if e["ph"] == "X" and e["pid"] > 0 and e["cat"] != "wait"]
    assert len(shown) == len(program.stream.op)
    sends = sum(
        e["ph"] == "X" and e["pid"] > 0 and e["args"].get("op") == "send" and e["cat"] != "wait" for e in events
    )
    assert sum(e["ph"] == "s" for e in events) == sends > 0
    path = tracks[0, 1]
    assert path[0][0] == 0
    assert path[-1][1] == round(trace["otherData"]["latency_ns"] * 1000)
    assert all(a[1] == b[0] for a, b in pairwise(path)), "the critical path has no gaps"
    if program.node_names:
        assert {e["name"] for e in shown} <= {*program.node_names, *("setbw", "lldi", "lmv")}


def test_a_trace_can_be_cut_and_joined(compiled: Path, tmp_path: Path) -> None:
    whole = check_format(traced(compiled, tmp_path / "whole.json"))
    some = check_format(traced(compiled, tmp_path / "some.json", "--cores", "0-1,3"))
    assert {process for process, _ in some} <= {0, 1, 2, 4}
    assert {key: value for key, value in whole.items() if key[0] in (0, 1, 2, 4)} == some
    late = check_format(traced(compiled, tmp_path / "late.json", "--from", "2us", "--to", "2500"))
    assert all(stop > 2_000_000 and start < 2_500_000 for s in late.values() for start, stop in s)
    short = check_format(traced(compiled, tmp_path / "short.json", "--events", "1000"))
    assert sum(map(len, short.values())) < sum(map(len, whole.values()))
    assert short.keys() == whole.keys()
    traced(compiled, tmp_path / "again.json")
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "again.json").read_bytes()


def test_joining_keeps_the_time_and_the_widest_gaps(compiled: Path) -> None:
    program = read_program_folder(compiled)
    every = slices_of(program, program.attribution())
    for limit in (len(every), len(every) // 2, len(every) // 10):
        joined = join_neighbours(every, limit)
        assert joined.work_ps.sum() == every.work_ps.sum()
        assert joined.count.sum() == len(every)
        assert len(joined) <= limit or limit < 1000
        assert (joined.work_ps <= joined.stop_ps - joined.start_ps).all()
    assert SEVERAL not in join_neighbours(every, len(every) - 1).layer


def test_joining_by_hand() -> None:
    def column(*values: int) -> np.ndarray:
        return np.array(values, np.int64)

    slices = Slices(
        core=column(0, 0, 0, 0, 1),
        track=column(1, 1, 1, 1, 1),
        layer=column(7, 7, 7, 8, 7),
        other=column(0, 0, 0, 0, 0),
        start_ps=column(0, 12, 40, 50, 0),
        stop_ps=column(10, 20, 50, 60, 9),
        row=column(0, 1, 2, 3, 4),
        count=column(1, 1, 1, 1, 1),
        work_ps=column(10, 8, 10, 10, 9),
    )
    four = join_neighbours(slices, 4)
    assert four.stop_ps.tolist() == [20, 50, 60, 9]
    assert four.layer.tolist() == [7, 7, 8, 7]
    two = join_neighbours(slices, 2)
    assert two.layer.tolist() == [SEVERAL, 7]
    assert two.count.tolist() == [4, 1]


def test_lanes_hold_no_two_at_once() -> None:
    core = np.array([0, 0, 0, 1, 0], np.int64)
    start, stop = np.array([0, 5, 10, 3, 6], np.int64), np.array([10, 8, 12, 4, 20], np.int64)
    assert lanes(core, start, stop).tolist() == [0, 1, 0, 0, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "soon"], "--from: expected a time such as 1500 (ns), 20us or 1.5ms, found 'soon'"),
        (["--from", "2us", "--to", "1us"], "--to: expected a time after --from 2us, found 1us"),
        (["--cores", "0-9999"], "--cores: expected cores from 0 to 143 such as 0-15,40, found '0-9999'"),
        (["--cores", "a"], "--cores: expected cores from 0 to 143"),
    ],
)
def test_wrong_cuts_are_messages(
    words: list[str], message: str, compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["trace", str(compiled), "-o", str(tmp_path / "t.json"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "t.json").exists()


def test_the_map_counts_what_the_report_counts(compiled: Path) -> None:
    program = read_program_folder(compiled)
    use = chip_use(program)
    report = json.loads((compiled / "report.json").read_text())
    # A core without an instruction is not in the program, whatever its crossbars hold.
    assert 0.9 * report["crossbars_used"] < use.fill[:, 2].sum() <= report["crossbars_used"]
    assert use.working.sum() == report["cores_used"]
    assert (np.diff(use.traffic[:, 2]) <= 0).all()
    layers = json.loads((compiled / "plan.json").read_text())["layers"]
    used = {program.layer(int(n)): int(use.fill[use.fill[:, 1] == n, 2].sum()) for n in np.unique(use.fill[:, 1])}
    used.pop("-", None)  # array groups of replicas that have no window to compute
    assert used.keys() == {layer["name"] for layer in layers}
    assert all(used[layer["name"]] <= layer["crossbars"] for layer in layers)


@pytest.mark.parametrize("which", [pytest.param("compiled", marks=pytest.mark.slow), "micro"])
def test_maps_are_pictures_and_repeatable(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder: Path = request.getfixturevalue(which)
    starts = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF"}
    for form, start in starts.items():
        first, second = tmp_path / f"a.{form}", tmp_path / f"b.{form}"
        assert run(["-q", "map", str(folder), "-o", str(first)]) == 0
        assert run(["-q", "map", str(folder), "-o", str(second), "--lines", "60"]) == 0
        assert first.read_bytes().startswith(start)
        assert first.read_bytes() == second.read_bytes()
    assert run(["-q", "map", str(folder), "-o", str(tmp_path / "none.svg"), "--lines", "0"]) == 0
    assert (tmp_path / "none.svg").read_bytes() != (tmp_path / "a.svg").read_bytes()


def test_a_map_needs_a_known_form(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["map", str(compiled), "-o", "map.gif"]) == 2
    assert "--out: expected a file that ends in .png, .svg, .pdf, found map.gif" in capsys.readouterr().err


def test_places_of_cores_and_chips() -> None:
    assert core_places(6, 6, (2, 3)).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    chips = core_places(8, 2, (1, 2))  # four chips, two by two, a place between them
    assert chips.tolist() == [[0, 0], [1, 0], [3, 0], [4, 0], [0, 2], [1, 2], [3, 2], [4, 2]]


def test_colours_go_from_dark_to_light() -> None:
    colours = layer_colours(np.array([2, 5, 9, 11]))
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in colours.values()]
    assert light == sorted(light)
    assert len(set(colours.values())) == 4


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium installed")
def test_a_browser_reads_the_trace(compiled: Path, tmp_path: Path) -> None:
    """Chrome's own parser, offline: the file is JSON to it, and as many events are there."""
    events = len(traced(compiled, tmp_path / "trace.json")["traceEvents"])
    text = (tmp_path / "trace.json").read_text().replace("</", "<\\/")
    page = f"""<title>none</title><script type="application/json" id="trace">{text}</script><script>
    const trace = JSON.parse(document.getElementById("trace").textContent);
    const last = Math.max(...trace.traceEvents.filter(e => e.ph === "X" && e.pid === 0).map(e => e.ts + e.dur));
    document.title = `read ${{trace.traceEvents.length}} to ${{last}}`;</script>"""
    (tmp_path / "page.html").write_text(page)
    command = [str(_CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    command += ["--dump-dom", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    latency_us = json.loads(text)["otherData"]["latency_ns"] / 1000
    assert f"<title>read {events} to {latency_us:g}" in done.stdout
