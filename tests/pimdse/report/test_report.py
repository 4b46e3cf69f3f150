"""The report says what the trials say, stands alone, and is the same file when made again.

Covers: findings, manifest, page, write.
"""

import csv
import io
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from pimcomp.errors import OutputError
from pimcomp.foundation.own_files import RECORD
from pimdse.report.findings import Findings, find
from pimdse.report.manifest import manifest_yaml
from pimdse.report.page import report_html
from pimdse.report.tables import front_csv, trials_csv
from pimdse.report.write import FILES, write_report
from spaces.space import Choice, Fidelity
from tests.spaces.stored_sweep import store


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return find(store(tmp_path_factory.mktemp("sweep"), trials=30))


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_front_is_what_no_feasible_candidate_beats(findings: Findings) -> None:
    points = [(t.candidate.value("latency_ns"), t.candidate.value("crossbars")) for t in findings.feasible]
    front = [(t.candidate.value("latency_ns"), t.candidate.value("crossbars")) for t in findings.front]
    assert len(front) >= 3
    assert front == sorted(front)
    for x, y in front:
        assert not any((a <= x and b <= y) and (a, b) != (x, y) for a, b in points)
    for x, y in set(points) - set(front):
        assert any(a <= x and b <= y for a, b in front)
    assert findings.knee in findings.front


def test_volume_grows_to_that_of_the_front(findings: Findings) -> None:
    steps = findings.hypervolume
    assert len(steps) == len(findings.trials) == 30
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(steps))
    assert 0 < steps[-1] <= 1


def test_tables_hold_every_figure_exactly(findings: Findings) -> None:
    rows = _rows(front_csv(findings))
    assert [int(r["trial"]) for r in rows] == [t.number for t in findings.front]
    assert [float(r["latency_ns"]) for r in rows] == [t.candidate.value("latency_ns") for t in findings.front]
    assert [r["trial"] for r in rows if r["knee"] == "true"] == [str(findings.knee and findings.knee.number)]
    every = _rows(trials_csv(findings))
    assert len(every) == 30
    assert {r["verdict"] for r in every} == {"feasible", "infeasible"}
    assert all(bool(r["reason"]) == (r["verdict"] == "infeasible") for r in every)
    assert {r["trial"] for r in every if r["front"] == "true"} == {r["trial"] for r in rows}


class _Page(HTMLParser):
    """Collects what a browser would fetch, and the ids of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        for name in ("src", "href"):
            if found.get(name) and not str(found[name]).startswith("data:"):
                self.fetched.append(str(found[name]))


def _data(page: str) -> dict[str, object]:
    match = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert match
    found: dict[str, object] = json.loads(match[1])
    return found


def test_page_stands_alone_and_carries_the_trials(findings: Findings) -> None:
    page = report_html(findings, "results/fake")
    parsed = _Page()
    parsed.feed(page)
    assert parsed.fetched == []
    assert len(page) < 1_000_000
    assert page.count("Permission to use, copy, modify") == 2, "the licences of the libraries inside"
    assert {"chart", "table", "detail", "reasons", "growth", "command"} <= parsed.ids
    data = _data(page)
    assert data["front"] == [t.number for t in findings.front]
    assert len(data["trials"]) == 30  # type: ignore[arg-type]
    assert data["folder"] == "results/fake"


def test_text_from_files_cannot_end_the_script(findings: Findings) -> None:
    bad = replace(findings, reasons=(("</script><b>", 1, "<!-- </script>"),))
    assert _data(report_html(bad, "x"))["reasons"] == [
        {"resource": "</script><b>", "count": 1, "example": "<!-- </script>"}
    ]


def test_report_is_the_same_file_when_made_again(findings: Findings, tmp_path: Path) -> None:
    first = write_report(findings, tmp_path / "results")
    contents = [p.read_bytes() for p in first]
    assert [p.name for p in first] == list(FILES)
    assert [p.read_bytes() for p in write_report(findings, tmp_path / "results")] == contents
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == sorted((*FILES, RECORD)), (
        "no temporary files stay"
    )


def test_manifest_tells_how_to_repeat(findings: Findings) -> None:
    manifest = yaml.safe_load(manifest_yaml(findings))
    asked = "--trials 30 --jobs 1 --sampler tpe --seed 0 --objectives latency_ns,crossbars --model none"
    assert manifest["command"] == f"pimdse sweep configs/fake.yaml {asked}"
    assert manifest["reproducible"] == "yes"
    assert manifest["settings"]["space"]["cores"] == {"low": 2, "high": 32, "step": 2, "log": False}
    assert manifest["results"]["front"] == [t.number for t in findings.front]
    assert set(manifest["versions"]) >= {"python", "optuna", "numpy"}


def test_nothing_feasible_still_makes_a_report(tmp_path: Path) -> None:
    from spaces.space import Limit

    empty = find(store(tmp_path / "s", trials=6, limits=(Limit(metric="latency_ns", high=1.0),)))
    assert empty.front == ()
    write_report(empty, tmp_path / "r")
    assert "there is no front" in (tmp_path / "r" / "report.html").read_text()
    assert len(_rows((tmp_path / "r" / "front.csv").read_text())) == 0


def test_a_whole_space_in_which_nothing_fits_still_makes_a_report(tmp_path: Path) -> None:
    few = {"adc_count": (4,), "cores": (1, 2, 4), "crossbars_per_core": (4,)}
    parameters = tuple(Choice(name=name, values=values) for name, values in few.items())
    empty = find(store(tmp_path / "s", parameters=parameters, fidelity=Fidelity.COST, enumerate=100))
    assert empty.feasible == ()
    assert empty.certificate is not None
    assert "there is no front" in report_html(empty, "r")


def test_three_objectives_make_a_report(tmp_path: Path) -> None:
    found = find(store(tmp_path / "s", trials=10, objectives=("latency_ns", "crossbars", "throughput_per_s")))
    assert len(found.front) >= 2
    write_report(found, tmp_path / "r")


def test_unwritable_folder_is_a_clear_error(findings: Findings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, expected a folder"):
        write_report(findings, tmp_path / "file")
