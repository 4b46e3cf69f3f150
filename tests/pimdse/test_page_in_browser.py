"""The report page in a real browser: it renders, selecting and filtering work, nothing fails on the console."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pimdse.report.findings import Findings, find
from pimdse.report.page import report_html
from spaces.proof import CoreUse, LayerUse, Proof
from spaces.space import Fidelity
from tests.pimdse.stored_sweep import store

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Runs in the page once it has drawn: selects, filters, shows all, changes an axis, moves by keyboard, and puts what it
# sees in the title.
_ACTIONS = """<script>
window.onerror = message => { document.title = "error: " + message; };
setTimeout(() => {
  const rows = () => document.querySelectorAll("#table tbody tr");
  const key = (where, name) => where.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
  const id = name => document.getElementById(name);
  const seen = [];
  const see = (name, value) => seen.push(name + "=" + value);
  see("front", rows().length);
  see("inside", id("proof").selectedOptions[0].textContent);
  see("layers", document.querySelectorAll("#layers tbody tr").length);
  see("lines", document.querySelectorAll("#parallel polyline").length);
  see("bars", document.querySelectorAll("#importance i").length > 0);
  see("bound", [...document.querySelectorAll("#chart .legendtext")].some(t => t.textContent === "proven bound"));
  key(rows()[0], "Enter");
  see("chosen", id("chosen").textContent);
  see("bold", document.querySelectorAll("#parallel polyline.chosen").length);
  key(id("chart"), "ArrowLeft");
  see("next", id("chosen").textContent);
  key(id("coremap"), "ArrowRight");
  see("core", id("coretext").textContent.slice(0, 7));
  id("all").click();
  see("timed", rows().length);
  id("estimates").click();
  see("all", rows().length);
  document.querySelector("#pipelines input").click();
  see("batch", rows().length);
  id("y").value = "energy_pj";
  id("y").dispatchEvent(new Event("change"));
  see("axis", document.querySelector("#chart .ytitle").textContent);
  see("points", document.querySelectorAll("#chart .points path").length > 0);
  document.title = "seen: " + seen.join("|");
}, 1500);
</script></body>"""


def _proof(passed: bool = True) -> Proof:
    layers = tuple(
        LayerUse(name=f"conv{k}", unfolding="block 1", replication=2, firings=9, crossbars=4, cores=2) for k in range(3)
    )
    cores = tuple(CoreUse(crossbars=c % 5, busy=0.5, layer=c % 3 if c % 5 else -1) for c in range(12))
    return Proof(
        network="none", passed=passed, images=4, error=1e-7, reason="", layers=layers, cores=cores, mesh=(3, 4),
        chips=1, crossbars_per_core=4,
    )  # fmt: skip


def _visit(findings: Findings, folder: Path) -> str:
    """What the page says of itself after the actions."""
    page = report_html(findings, "results/fake")
    (folder / "page.html").write_text(page.replace("</body>", _ACTIONS))
    command = [str(_CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    command += ["--enable-logging=stderr", "--v=0", "--dump-dom", (folder / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title
    return title[1]


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium installed")
def test_page_works_in_a_browser(tmp_path: Path) -> None:
    found = find(store(tmp_path / "s", trials=30, fidelity=Fidelity.COST, timed=12))
    assert found.knee
    findings = replace(found, proofs={(found.knee.number, "none"): _proof()})
    batch = [t for t in findings.feasible if str(t.candidate.point.pipeline) == "batch"]
    assert len(findings.timed) < len(findings.feasible)
    assert _visit(findings, tmp_path) == "seen: " + "|".join(
        [
            f"front={len(findings.front)}",
            f"inside=trial {found.knee.number} (knee)",
            "layers=3",
            f"lines={len(findings.timed)}",
            "bars=true",
            "bound=true",
            f"chosen=Trial {findings.front[0].number}",
            "bold=1",
            f"next=Trial {findings.front[1].number}",  # the table begins where the chart ends, at the right
            "core=Core 2:",
            f"timed={len(findings.timed)}",
            f"all={len(findings.feasible)}",
            f"batch={len(batch)}",
            "axis=energy per image",
            "points=true",
        ]
    )


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium installed")
def test_page_without_any_feasible_candidate_has_no_errors(tmp_path: Path) -> None:
    from spaces.space import Limit

    empty = find(store(tmp_path / "s", trials=6, limits=(Limit(metric="latency_ns", high=1.0),)))
    page = report_html(empty, "results/fake")
    (tmp_path / "page.html").write_text(page)
    command = [str(_CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000"]
    command += ["--enable-logging=stderr", "--v=0", "--dump-dom", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    assert "there is no front" in done.stdout
