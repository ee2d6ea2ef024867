"""The page in a real browser: it logs nothing, asks for nothing, and its table and pictures can be used."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest
from stored_reports import row, save

from deploykit.cli import invoke

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.MISSING)
REPORTS = Path(__file__).parents[2] / "reports"
VISIBLE = "[...document.querySelectorAll('#rows tbody tr')].filter(row => !row.hidden)"
FIRST = "[...document.querySelectorAll('#rows tbody tr')].map(row => row.cells[{}].textContent)"


@pytest.fixture(scope="module")
def chromium():
    opened = browser.Browser()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of committed reports."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("profile", "gpu_profile", "study"):
        assert (
            invoke(["report", str(REPORTS / f"{name}.csv"), "-o", str(folder / f"{name}.html")])
            == 0
        )
    return folder


@pytest.mark.parametrize("name", ["profile", "gpu_profile", "study"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_a_page_logs_nothing_loads_nothing_and_fits_its_window(chromium, pages, name, width):
    chromium.open(pages / f"{name}.html", width)
    assert chromium.complaints() == []
    assert chromium.requests() == []
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width


def test_the_policy_forbids_loading_and_scripts_of_others(chromium, pages):
    chromium.open(pages / "profile.html")
    chromium.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
    chromium.evaluate(
        "(() => {const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s)})()"
    )
    assert chromium.evaluate("window.ran") is None
    chromium.wait("true")
    refused = " ".join(chromium.complaints())
    assert "Content Security Policy" in refused


def test_the_filter_takes_words_and_states(chromium, pages):
    chromium.open(pages / "profile.html")
    total = chromium.evaluate(f"{VISIBLE}.length")
    marks = chromium.evaluate("document.querySelectorAll('#drift [data-r]:not(.off)').length")
    chromium.type("#filter", "alexnet INT8")
    texts = chromium.evaluate(f"{VISIBLE}.map(row => row.textContent)")
    assert 0 < len(texts) < total
    assert all("alexnet" in text and "int8" in text for text in texts)
    assert (
        chromium.evaluate("document.getElementById('shown').textContent")
        == f"{len(texts)} of {total} rows"
    )
    left = chromium.evaluate("document.querySelectorAll('#drift [data-r]:not(.off)').length")
    assert 0 < left < marks
    chromium.click("#filters input[value=skipped]")
    states = chromium.evaluate(f"{VISIBLE}.map(row => row.dataset.s)")
    assert states
    assert "skipped" not in states


def test_a_click_on_a_heading_sorts_and_another_turns_it(chromium, pages):
    chromium.open(pages / "profile.html")
    heads = chromium.evaluate(
        "[...document.querySelectorAll('#rows th')].map(th => th.textContent)"
    )
    at = next(place for place, text in enumerate(heads) if text.startswith("p50"))
    chromium.click("#rows th button", at)
    shown = chromium.evaluate(FIRST.format(at))
    values = [float(text.split()[0].rstrip("?").replace(",", "")) for text in shown if text != "–"]
    assert values == sorted(values)
    assert len(set(values)) > 5
    assert shown[-1] == "–"
    chromium.click("#rows th button", at)
    turned = chromium.evaluate(FIRST.format(at))
    assert turned[0] == shown[len(values) - 1]
    assert turned[-1] == "–"


def test_very_small_numbers_sort_by_their_exponents(chromium, tmp_path):
    blank = {"latency_p20_ms": None, "latency_p50_low_ms": None, "latency_p50_high_ms": None}
    rows = [row(latency_p50_ms=ms, **blank) for ms in (1.0, 2e-7, 0.5, 3e-8)]
    path = save(tmp_path / "small.csv", rows)
    assert invoke(["report", path, "-o", str(tmp_path / "small.html")]) == 0
    chromium.open(tmp_path / "small.html")
    heads = chromium.evaluate(
        "[...document.querySelectorAll('#rows th')].map(th => th.textContent)"
    )
    at = next(place for place, text in enumerate(heads) if text.startswith("p50"))
    chromium.click("#rows th button", at)
    shown = [text.split()[0].rstrip("?") for text in chromium.evaluate(FIRST.format(at))]
    assert shown == ["3.00×10^-8", "2.00×10^-7", "0.500", "1.00"]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """A page of two graphs of one network, whose names would be markup and escapes."""
    folder = tmp_path_factory.mktemp("graphs")
    name = "<script>window.ran=1</script>\x1b[31m"
    head = "node,module,op_type,added,time_ms,drift_snr_db,computes_in,reads\n"
    for kind, ms in (("fp32", 2), ("int8", 1)):
        rows = [f"{name},,Conv,false,{ms},40,{kind},", f"relu,,Relu,false,0.1,30,,{name}"]
        rows += [f"block{at},,Conv,false,{ms},20,{kind},relu" for at in range(3)]
        rows += ["sum,,Add,false,0.2,20,,block0 | block1 | block2"]
        rows += ["cast,,Cast,true,0.1,,,"] * (kind == "int8")
        (folder / f"{kind}.csv").write_text(head + "\n".join(rows) + "\n")
    arguments = [str(folder / "fp32.csv"), "--layers", str(folder / "int8.csv"), "-o"]
    assert invoke(["report", *arguments, str(folder / "page.html")]) == 0
    return folder / "page.html"


def test_a_click_on_a_layer_shows_its_row_in_both_graphs(chromium, graphs):
    chromium.open(graphs)
    chromium.click(".graph .node rect", 0)
    shown = chromium.evaluate(
        "[...document.querySelectorAll('#layer dl')].map(dl => dl.textContent)"
    )
    assert len(shown) == 2
    assert all("<script>window.ran=1</script>\\x1b[31m" in text for text in shown)
    assert ["fp32" in shown[0], "int8" in shown[1]] == [True, True]
    assert chromium.evaluate("document.querySelectorAll('.node.chosen').length") == 2
    assert chromium.evaluate("window.ran") is None
    assert chromium.complaints() == []


def test_graphs_zoom_and_move_in_step(chromium, graphs):
    boxes = (
        "[...document.querySelectorAll('.graph svg')]"
        ".map(svg => svg.getAttribute('viewBox').split(' ').map(Number))"
    )
    chromium.open(graphs)
    before = chromium.evaluate(boxes)
    chromium.click("[data-zoom='1.4']")
    near = chromium.evaluate(boxes)
    assert all(now[3] < old[3] for now, old in zip(near, before, strict=True))
    chromium.evaluate("document.querySelector('.graph').scrollIntoView({block: 'center'})")
    x, y = chromium.evaluate(
        "(() => {const r = document.querySelector('.graph').getBoundingClientRect();"
        "return [r.x + 20, r.y + r.height / 2]})()"
    )
    for kind, up in (
        ("mousePressed", 0),
        ("mouseMoved", 0),
        ("mouseMoved", 60),
        ("mouseReleased", 60),
    ):
        chromium.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y - up,
            button="left",
            buttons=1,
            clickCount=1,
        )
    moved = chromium.evaluate(boxes)
    steps = [now[1] - old[1] for now, old in zip(moved, near, strict=True)]
    assert steps[0] > 10
    assert steps[0] == pytest.approx(steps[1])
    chromium.click("[data-zoom='0']")
    assert chromium.evaluate(boxes) == before


def test_the_colour_of_layers_follows_the_choice(chromium, graphs):
    fill = "getComputedStyle(document.querySelectorAll('.graph .node rect')[{}]).fill"
    chromium.open(graphs)
    by_time = chromium.evaluate(fill.format(0))
    chromium.evaluate(
        "(() => {const by = document.getElementById('by'); by.value = 'precision';"
        "by.dispatchEvent(new Event('change'))})()"
    )
    assert chromium.evaluate(fill.format(0)) != by_time
    values = "getComputedStyle(document.querySelector('.graph .v-{}')).display"
    assert chromium.evaluate(values.format("precision")) != "none"
    assert chromium.evaluate(values.format("time")) == "none"


def test_names_that_are_markup_are_shown_and_never_run(chromium, tmp_path):
    name = '"><script>window.ran=1</script><img src=x onerror=window.ran=2>\x1b]0;t\x07'
    rows = [
        row(
            model=name,
            backend=name,
            device=name,
            drift_snr_db=40.0,
            precision=precision,
            reason=name,
        )
        for precision in ("fp32", name)
    ]
    (tmp_path / "claims.csv").write_text(
        'id,verdict,as_expected,statement\n1,"</p><script>window.ran=3</script>",false,<svg onload=window.ran=4>\n'
    )
    save(tmp_path / "report.csv", rows)
    assert invoke(["report", str(tmp_path / "report.csv")]) == 0
    chromium.open(tmp_path / "report.html")
    assert chromium.complaints() == []
    assert chromium.requests() == []
    assert chromium.evaluate("window.ran") is None
    assert chromium.evaluate("document.scripts.length") == 1
    assert "<script>window.ran=1</script>" in chromium.evaluate("document.body.innerText")


def test_print_is_light_and_hides_what_paper_can_not_do(chromium, pages):
    chromium.open(pages / "profile.html", dark=True)
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = chromium.evaluate(paper)
    chromium.call("Emulation.setEmulatedMedia", media="print")
    assert chromium.evaluate(paper) == "rgb(255, 255, 255)" != dark
    assert (
        chromium.evaluate("getComputedStyle(document.querySelector('.filter')).display") == "none"
    )
    chromium.call("Emulation.setEmulatedMedia", media="")


def test_marks_tell_their_row_under_the_pointer(chromium, pages):
    chromium.open(pages / "profile.html")
    titles = "[...document.querySelectorAll('#drift [data-r] title')].map(t => t.textContent)"
    told = chromium.evaluate(titles)
    assert told[0].startswith("lenet5 fp32\np50 ")
    marked = [one for one in told if "? [" in one]
    assert all("doubtful: " in one for one in marked)
    assert 0 < sum("doubtful: " in one for one in told) < len(told)
