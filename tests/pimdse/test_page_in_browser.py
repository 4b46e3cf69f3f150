"""The report page in a real browser: it renders, selecting and filtering work, nothing fails on the console."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pimdse.report.findings import find
from pimdse.report.page import report_html
from tests.pimdse.stored_sweep import store

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Runs in the page once it has drawn: selects, filters, shows all, changes an axis, and puts what it sees in the title.
_ACTIONS = """<script>
window.onerror = message => { document.title = "error: " + message; };
setTimeout(() => {
  const rows = () => document.querySelectorAll("#table tbody tr");
  const seen = [rows().length];
  rows()[0].dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
  seen.push(document.getElementById("chosen").textContent);
  document.getElementById("all").click();
  seen.push(rows().length);
  document.querySelector("#pipelines input").click();
  seen.push(rows().length);
  document.getElementById("y").value = "energy_pj";
  document.getElementById("y").dispatchEvent(new Event("change"));
  seen.push(document.querySelector("#chart .ytitle").textContent);
  seen.push(document.querySelectorAll("#chart .points path").length > 0);
  document.title = "seen: " + seen.join("|");
}, 1500);
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium installed")
def test_page_works_in_a_browser(tmp_path: Path) -> None:
    findings = find(store(tmp_path / "s", trials=20))
    page = report_html(findings, "results/fake")
    (tmp_path / "page.html").write_text(page.replace("</body>", _ACTIONS))
    command = [str(_CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    command += ["--enable-logging=stderr", "--v=0", "--dump-dom", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title
    feasible = findings.feasible
    batch = [t for t in feasible if str(t.candidate.point.pipeline) == "batch"]
    first = findings.front[0].number
    assert title[1] == (f"seen: {len(findings.front)}|Trial {first}|{len(feasible)}|{len(batch)}|energy per image|true")
