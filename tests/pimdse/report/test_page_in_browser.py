"""The report page in a real browser: what is selected shows everywhere, and all fits on every screen and on paper."""

import csv
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from pimdse.report.findings import Findings, find
from pimdse.report.page import report_html
from spaces.proof import Proof
from spaces.space import Fidelity, Limit
from tests.spaces.stored_sweep import store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = ("gpu", "first-run", "background-networking", "component-update", "sync")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(_CHROMIUM is None, reason="no chromium installed")]


def _proof() -> Proof:
    return Proof(network="none", passed=True, images=4, error=1e-7, reason="")


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    whole = {"fidelity": Fidelity.COST, "enumerate": 5000}
    found = find(store(tmp_path_factory.mktemp("sweep"), trials=40, timed=16, **whole))
    assert found.knee is not None
    assert len(found.front) >= 3
    assert len(found.timed) < len(found.feasible)
    assert found.front[0] is not found.knee
    proven = (found.knee, found.front[0])
    return replace(found, proofs={(t.number, "none"): _proof() for t in proven})


@pytest.fixture(scope="module")
def address(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_html(findings, "results/fake"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = [f"--{'no' if name == 'first-run' else 'disable'}-{name}" for name in _QUIET]
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, chromium_sandbox=False, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """An empty page of 1440 x 900; whatever is written on its console fails the test."""
    said: list[str] = []
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


# Elements of a selector as {text, left, right, top, bottom}, those that are seen.
_BOXES = """selector => [...document.querySelectorAll(selector)].map(e => [e.textContent, e.getBoundingClientRect()])
    .filter(([, r]) => r.width > 0 && r.height > 0)
    .map(([text, r]) => ({text, left: r.left, right: r.right, top: r.top, bottom: r.bottom}))"""
# Elements that reach over the right edge of the page, except what lies in a box that scrolls.
_WIDER = """() => [...document.querySelectorAll("main *")]
    .filter(e => !e.closest(".scroll > *") && !e.closest("[aria-label=tip]")
        && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(e => `${e.tagName} ${e.id} ${e.getAttribute("class")} ${e.textContent.slice(0, 30)}`)"""

_DRAWN = """() => Math.abs(
    document.querySelector("#chart svg").clientWidth - document.querySelector("#chart").clientWidth) < 2"""

# Where the line of a shape begins, in the window.
_BEGINNING = "e => (p => [p.x, p.y])(e.getPointAtLength(0).matrixTransform(e.getScreenCTM()))"


def _boxes(page: "Page", selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(_BOXES, selector)
    return found


def _overlaps(a: dict[str, Any], b: dict[str, Any]) -> bool:
    across = min(a["right"], b["right"]) - max(a["left"], b["left"])
    down = min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
    return bool(across > 1 and down > 2)  # a line's box is higher than its letters


def _check_layout(page: "Page") -> None:
    """Nothing is cut, squeezed or on top of something else."""
    assert page.evaluate(_WIDER) == []
    for chart, least in (("chart", 280), ("parallel", 250), ("growth", 150)):
        box = page.locator(f"#{chart} svg").bounding_box()
        assert box is not None
        assert box["height"] >= least, chart
        texts = _boxes(page, f"#{chart} svg text")
        assert len(texts) >= 8, chart
        found = [(a["text"], b["text"]) for i, a in enumerate(texts) for b in texts[:i] if _overlaps(a, b)]
        assert found == [], chart
    for axis in ("x", "y"):
        labels = page.locator(f"#chart [aria-label='{axis}-axis tick label'] text").all_text_contents()
        assert len(labels) >= 3
        assert all(labels), "a tick without a label"
    plot = _boxes(page, "#chart svg")
    assert not any(_overlaps(box, plot[0]) for box in _boxes(page, "#key, .controls, #chosen, #tabletitle"))
    bars = _boxes(page, "#importance i")
    assert max(bar["right"] - bar["left"] for bar in bars) > 25


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_and_axe_finds_nothing_serious(page: "Page", address: str, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(_DRAWN)
        _check_layout(page)
        violations = Axe().run(page).response["violations"]
        serious = [v for v in violations if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in serious] == [], width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", background)[:3]]
    assert (max(levels) < 64) == (scheme == "dark")


def test_what_is_selected_shows_everywhere(page: "Page", address: str, findings: Findings) -> None:
    assert findings.knee is not None
    knee, first, second = findings.knee.number, findings.front[0].number, findings.front[1].number
    unproven = next(t.number for t in findings.front if t.number not in (knee, first))
    inner = next(t.number for t in findings.timed if t not in findings.front and t is not findings.published)
    page.goto(address)

    def shows(number: int) -> None:
        assert page.locator("#chosen").inner_text() == f"Trial {number}"
        assert page.locator("#table tr[aria-current] a").inner_text() == str(number)
        assert page.locator("#parallel .selected path").count() == 1
        assert page.locator("#pick").inner_text().endswith(f"--trial {number}")
        assert page.locator("#one").inner_text().startswith(f"trial {number}")
        assert page.locator("#whatiftitle").inner_text().startswith(f"What if: trial {number} ")

    shows(knee)
    assert page.locator("#table tbody tr").count() == len(findings.front)
    assert page.locator("#insidetitle").inner_text() == f"Inside trial {knee}"
    assert page.locator("#layers tbody tr").count() == 3
    page.locator("#table tbody tr", has=page.get_by_role("link", name=str(unproven), exact=True)).click()
    shows(unproven)
    assert page.url == f"{address}#trial={unproven}"
    assert page.locator("#proven").is_visible(), "every design of the front is seen from inside"
    shown = [heading.partition(":")[0] for heading in page.locator("#breakdown h3").all_inner_texts()]
    assert shown == ["area", "energy per image", "accuracy"]
    assert "those of exact integers" in page.locator("#breakdown").inner_text()
    assert f"--trial {unproven}" in page.locator("#verdict").inner_text()
    page.goto(f"{address}#trial={inner}")
    assert not page.locator("#proven").is_visible(), "the map of another trial"
    assert f"--trial {inner}" in page.locator("#unproven").inner_text()
    page.locator("#proof").select_option(label=f"trial {first}")
    shows(first)
    assert page.locator("#insidetitle").inner_text() == f"Inside trial {first}"
    page.locator("#chart").press("ArrowLeft")  # the table begins where the chart ends, at the right
    shows(second)
    page.locator("#table a").first.press("Enter")
    shows(first)
    page.goto(f"{address}#trial={unproven}")
    shows(unproven)
    page.reload()
    shows(unproven)
    page.goto(f"{address}#trial=99999")
    assert page.locator("#chosen").inner_text() == "There is no trial 99999"


def test_an_infeasible_trial_says_why(page: "Page", tmp_path: Path) -> None:
    sampled = find(store(tmp_path / "s", trials=30))
    (tmp_path / "page.html").write_text(report_html(sampled, "results/fake"), encoding="utf-8")
    bad = next(t for t in sampled.trials if not t.candidate.feasible)
    page.goto(f"{(tmp_path / 'page.html').as_uri()}#trial={bad.number}")
    assert "others may be better" in page.locator(".claims").inner_text()
    assert bad.candidate.reason in page.locator("#detail").inner_text()


def test_points_and_lines_are_selected_with_the_mouse(page: "Page", address: str, findings: Findings) -> None:
    page.goto(address)
    for chart, drawn in (("#chart", ".timed > *"), ("#parallel", ".front path")):
        for place in range(len(findings.front)):
            shape = page.locator(f"{chart} {drawn}").nth(place)
            shape.scroll_into_view_if_needed()
            page.mouse.move(*shape.evaluate(_BEGINNING))
            tip = page.locator(f"{chart} [aria-label=tip] text").first
            tip.wait_for(state="attached")
            hovered = re.search(r"trial (\d+)", tip.text_content() or "")
            assert hovered
            page.mouse.down()
            page.mouse.up()
            assert page.locator("#chosen").inner_text() == f"Trial {hovered[1]}"


def test_filters_axes_and_zoom(page: "Page", address: str, findings: Findings) -> None:
    page.goto(address)
    rows = page.locator("#table tbody tr")
    page.locator("#all").check()
    assert rows.count() == len(findings.timed)
    page.locator("#estimates").check()
    assert rows.count() == len(findings.feasible)
    assert page.locator("#chart .estimates > *").count() == len(findings.feasible) - len(findings.timed)
    page.get_by_label("element").uncheck()
    batch = [t for t in findings.feasible if str(t.candidate.point.pipeline) == "batch"]
    assert rows.count() == len(batch)
    page.locator("#y").select_option("energy_pj")
    assert page.locator("#chart svg").get_by_text("energy per image").is_visible()
    ticks = page.locator("#chart [aria-label='x-axis tick label']")
    before = ticks.text_content()
    page.locator("#chart").scroll_into_view_if_needed()
    box = page.locator("#chart .overlay").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.mouse.up()
    assert ticks.text_content() != before
    page.locator("#whole").click()
    assert ticks.text_content() == before
    page.locator("#near").click()
    assert ticks.text_content() != before
    page.locator("#whole").click()
    page.get_by_role("button", name="crossbars", exact=True).click()
    assert page.locator("#table th[aria-sort=ascending]").inner_text().startswith("crossbars")


def test_what_is_the_same_in_every_row_is_said_once(page: "Page", address: str) -> None:
    page.goto(address)
    heads = page.locator("#table th").all_inner_texts()
    said = page.locator("#constant").inner_text()
    assert "solver balance" in said
    assert not any(head.startswith(("solver", "fidelity")) for head in heads)
    assert any(head.startswith("latency") for head in heads)


def test_two_designs_side_by_side(page: "Page", address: str, findings: Findings) -> None:
    assert findings.knee is not None
    first = findings.front[0]
    page.goto(address)
    page.locator("#other").select_option(str(first.number))
    assert page.locator("#two").inner_text() == f"trial {first.number}"
    row = page.locator("#pair tbody tr", has_text="latency of one image")
    ratio = findings.knee.candidate.value("latency_ns") / first.candidate.value("latency_ns")
    assert "better" in row.inner_text()
    assert (f"\u00f7 {ratio:.3g}" if ratio >= 2 else f"\u2212{100 - 100 / ratio:.1f} %") in row.inner_text()
    assert page.locator("#pairmaps figure").count() == 2
    assert "solver balance" in page.locator("#alike").inner_text()
    page.locator("#table a", has_text=re.compile(f"^{first.number}$")).click()  # the other may not be the same
    assert page.locator("#two").inner_text() != page.locator("#one").inner_text()


def test_what_if_has_every_value_of_every_parameter(page: "Page", address: str, findings: Findings) -> None:
    assert findings.whole is not None
    assert findings.knee is not None
    page.goto(address)
    around = findings.whole.neighbours(findings.knee.candidate.point)
    names = page.locator("#whatif h3").all_inner_texts()
    assert sorted(names) == sorted(name.replace("_", " ") for name in around)
    drawn = page.locator("#whatif [aria-label=dot] circle, #whatif [aria-label=text] text").count()
    assert drawn >= sum(map(len, around.values()))
    page.locator("#whatmetric").select_option("energy_pj")
    assert page.locator("#whatif svg").first.get_attribute("aria-label") == "energy per image for other values of cores"
    estimate = next(t.number for t in findings.feasible if t not in findings.timed)
    page.goto(f"{address}#trial={estimate}")
    assert "Only candidates that were kept" in page.locator("#whatifnote").inner_text()


def test_any_figure_is_a_colour_with_its_ramp(page: "Page", address: str) -> None:
    page.goto(address)
    assert not page.locator("#ramp").is_visible()
    page.locator("#colour").select_option("energy_pj")
    assert "energy per image" in page.locator("#ramp").inner_text()
    fills = page.locator("#chart .timed > *").evaluate_all("all => all.map(e => e.getAttribute('fill'))")
    assert len(set(fills)) > 5
    assert all(fill.startswith("rgb") for fill in fills)


def test_what_is_shown_is_saved(page: "Page", address: str, findings: Findings) -> None:
    page.goto(address)
    saved = {}
    for kind in ("csv", "svg", "png"):
        with page.expect_download() as download:
            page.locator(f"#save{kind}").click()
        assert download.value.suggested_filename == f"fake-none-latency_ns-crossbars.{kind}"
        saved[kind] = Path(download.value.path()).read_bytes()
    rows = list(csv.DictReader(io.StringIO(saved["csv"].decode())))
    assert [int(row["trial"]) for row in rows] == [t.number for t in findings.front]
    assert [float(row["latency_ns"]) for row in rows] == [t.candidate.value("latency_ns") for t in findings.front]
    ElementTree.fromstring(saved["svg"])
    assert b"var(--" not in re.sub(rb"<style>.*?</style>", b"", saved["svg"], flags=re.DOTALL)
    assert saved["png"].startswith(b"\x89PNG")


def test_the_page_says_what_is_certain(page: "Page", address: str, findings: Findings) -> None:
    assert findings.certificate is not None
    page.goto(address)
    said = page.locator(".claims").inner_text()
    found = findings.certificate
    assert f"Proven bounds rule out {found.proven or 'none'} of the {found.points:,} points" in said
    assert f"for the other {found.open:,} only the estimate speaks" in said


def test_copying_says_that_it_copied(browser: "Browser", page: "Page", address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(address)
    button = page.locator("#pick + button")
    button.click()
    page.wait_for_function("said => document.querySelector('#pick + button').innerText === said", arg="Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#pick").inner_text()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.locator("#command + button").click()
    assert page.locator("#command + button").inner_text() in ("Copied", "Press Ctrl+C")


# What a page of A4 across holds within its margins, in CSS pixels.
_PAPER = {"width": 1032, "height": 703}


def test_paper_holds_everything_in_dark_on_white(page: "Page", address: str, tmp_path: Path) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(address)
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size(_PAPER)  # type: ignore[arg-type]
    assert page.evaluate(_WIDER) == []
    assert [b["text"] for b in _boxes(page, ".scroll > *") if b["right"] > _PAPER["width"]] == []
    assert all(b["bottom"] - b["top"] < _PAPER["height"] for b in _boxes(page, ".card:not(.long)"))
    assert not any(page.locator(s).first.is_visible() for s in ("#x", "#all", "#pick + button", "#pipelines input"))
    assert page.locator("#pipelines svg").first.is_visible(), "the key of colours"
    bar = page.locator("#importance i").first
    assert bar.evaluate("e => getComputedStyle(e).printColorAdjust") == "exact"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(29, 36, 48)"
    pdf = page.pdf(prefer_css_page_size=True)
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 7


def test_a_winner_that_could_not_be_executed_says_why(page: "Page", findings: Findings, tmp_path: Path) -> None:
    assert findings.knee is not None
    failed = replace(_proof(), passed=False, executed=False, reason="no model")
    broken = replace(findings, proofs={(findings.knee.number, "none"): failed})
    (tmp_path / "page.html").write_text(report_html(broken, "results/fake"), encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("#verdict").inner_text() == "not executed: no model"
    assert page.locator("#verdict.bad").count() == 1


def test_page_without_any_feasible_candidate_has_no_errors(page: "Page", tmp_path: Path) -> None:
    empty = find(store(tmp_path / "s", trials=6, limits=(Limit(metric="latency_ns", high=1.0),)))
    (tmp_path / "page.html").write_text(report_html(empty, "results/fake"), encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    assert "there is no front" in page.locator(".lead").inner_text()
    assert page.locator("#reasons tbody tr").count() >= 1
    assert page.evaluate(_WIDER) == []
