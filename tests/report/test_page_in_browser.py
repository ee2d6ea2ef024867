"""The page in a real browser: it logs nothing, asks for nothing, and its table and pictures can be used."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest

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
