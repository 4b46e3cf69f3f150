"""The simulator's report: figures, stalls and failures. The executables are shell scripts."""

from pathlib import Path

import pytest

from pimcomp.errors import SimulatorError
from pimdse.folder.pimsim import SimulatorReport, find_simulator, read_report, run_simulator, steady_state

LATENCY = """Read finish
core :0 reached time:40 ns
core: 0 finish
core: 3 finish
|*************** Simulation Report ***************|
Basic Information:
  - core count:         16
  - simulation mode:    1
Chip Simulation Result:
  - latency:            5.5e-05 ms
  - average power:      10.36363636 mW
  - average energy:     570 pJ
"""
THROUGHPUT = """|*************** Simulation Report ***************|
Chip Simulation Result:
  - output count:       456 samples
  - throughput:         2.28e+07 samples/s
  - average latency:    4.385964912e-05 ms
  - average power:      12.465 mW
  - average energy:     546.7105263 pJ/it
Core 0 Information
  - rounds:             456 samples
"""


def _script(folder: Path, text: str, status: int = 0) -> Path:
    (folder / "output.txt").write_text(text)
    path = folder / "ChipTest"
    path.write_text(f"#!/bin/sh\ncat {folder / 'output.txt'}\nexit {status}\n")
    path.chmod(0o755)
    return path


def _run(executable: Path, cores: frozenset[int] | None) -> float:
    program = executable.with_name("program.gz")
    return run_simulator(executable, program, program, cores=cores, timeout_s=20).latency_ns


def test_latency_report() -> None:
    report = read_report(LATENCY, frozenset({0, 3}))
    assert report.latency_ns == pytest.approx(55)
    assert report.avg_power_mw == pytest.approx(10.36363636)
    assert report.energy_pj == 570


def test_throughput_report_gives_the_mean_time_per_round() -> None:
    report = read_report(THROUGHPUT, None)
    assert report.latency_ns == pytest.approx(43.85964912)
    assert report.energy_pj == pytest.approx(546.7105263)


def test_unfinished_core_is_a_stall_though_the_exit_status_is_zero(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"stalled: 1 of 3 cores never finished \(core 7\)"):
        _run(_script(tmp_path, LATENCY), frozenset({0, 3, 7}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Read finish\n", "printed no report"),
        (LATENCY.replace("5.5e-05", "0"), "stalled: it reports latency 0 ms"),
        (LATENCY.replace("10.36363636", "inf"), "stalled"),
        (LATENCY.replace("  - average energy:     570 pJ\n", ""), "no average energy"),
    ],
)
def test_unusable_reports_are_errors(text: str, message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        read_report(text, frozenset({0, 3}))


def test_failing_simulator_is_reported_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"exit status 1\): Error: \(E549\) uncaught exception: no such op"):
        _run(_script(tmp_path, "Error: (E549) uncaught exception: no such op\n", 1), frozenset())


def test_crash_names_the_signal(tmp_path: Path) -> None:
    crashing = _script(tmp_path, "")
    crashing.write_text("#!/bin/sh\nkill -11 $$\n")
    with pytest.raises(SimulatorError, match="killed by signal 11"):
        _run(crashing, frozenset())


def test_too_slow_simulator_is_stopped(tmp_path: Path) -> None:
    slow = _script(tmp_path, "")
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(SimulatorError, match="no result within"):
        run_simulator(slow, slow, slow, cores=None, timeout_s=0.2)


def test_simulator_is_found_by_option_then_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIMSIM_NN", raising=False)
    assert find_simulator(None) is None
    script = _script(tmp_path, LATENCY)
    assert find_simulator(script) == script
    monkeypatch.setenv("PIMSIM_NN", str(script))
    assert find_simulator(None) == script
    with pytest.raises(SimulatorError, match=r"--pimsim: .*missing is not an executable"):
        find_simulator(tmp_path / "missing")


@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_the_period_is_found_behind_the_ramp_up(part: float) -> None:
    """The first of 21 rounds ends after 5000 ns, the others 1000 ns apart; the run ends within the next one."""
    simulated_ns = 5000 + (20 + part) * 1000
    report = SimulatorReport(latency_ns=simulated_ns / 21, avg_power_mw=3.0, energy_pj=3.0 * simulated_ns / 21)
    steady = steady_state(report, simulated_ns=simulated_ns, latency_ns=5000)
    assert steady.rounds == pytest.approx(21)
    assert abs(steady.period_ns_per_round / 1000 - 1) <= steady.resolution < 0.025
    assert steady.energy_pj_per_round == pytest.approx(3.0 * steady.period_ns_per_round)
    assert (part == 0.5) == (steady.period_ns_per_round == pytest.approx(1000)), "where config_throughput.json ends"


def test_one_round_in_steady_state_is_a_stall() -> None:
    report = SimulatorReport(latency_ns=9000, avg_power_mw=3.0, energy_pj=1.0)
    with pytest.raises(SimulatorError, match="stalled: 1 rounds"):
        steady_state(report, simulated_ns=9000, latency_ns=5000)
