"""The pages in a real browser: drawn, quiet, no requests, sortable, and fitting at both widths."""

from dataclasses import replace

import example_report
import numpy as np
import pytest
from chromium import EXECUTABLE, Chromium

from fedsim.report import data as parts
from fedsim.report.comparison_page import write_comparison
from fedsim.report.page import write_page
from fedsim.stages.page.exposed_records import picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium on PATH: install `chromium`"),
]
WIDTHS = [360, 1440]
PAPER = 680  # A4 less its margins, in CSS pixels

# How many pixels of each table do not fit.
BEYOND = "[...document.querySelectorAll('.scroll')].map((one) => one.scrollWidth - one.clientWidth)"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, example_report.report())
    return path


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    write_comparison(path, example_report.comparison())
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


def charts_of(browser):
    """Return of each chart its left and right edge, and how many traces are drawn in it."""
    return browser.evaluate(
        "[...document.querySelectorAll('.plot')].map((plot) => {"
        "const box = plot.querySelector('.main-svg').getBoundingClientRect();"
        "return [box.left, box.right, plot.querySelectorAll('.trace').length]; })"
    )


def cut_texts(browser, width):
    """Return the texts that reach beyond the page or their own box; tables may be scrolled."""
    return browser.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,p,dd,dt,li,summary,figcaption,button,.who')]"
        ".filter((one) => one.offsetParent && !one.closest('.scroll'))"
        f".filter((one) => one.getBoundingClientRect().right > {width} + 0.5"
        " || one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline')"
        ".map((one) => one.textContent)"
    )


def require_drawn_quiet_and_fitting(browser, path, width, charts):
    browser.draw_all()
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    drawn = charts_of(browser)
    assert len(drawn) == charts
    for left, right, traces in drawn:
        assert left >= 0
        assert right <= width
        assert traces >= 1
    assert cut_texts(browser, width) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_drawn_quietly_and_fits(browser, path, width, dark):
    browser.open(path, width, dark=dark)
    # Utility, side by side, 2 ROC, 12 histograms, 2 norms, 2 of exposure, 2 of classes.
    require_drawn_quiet_and_fitting(browser, path, width, 22)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(18, 21, 27)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_is_drawn_quietly_and_fits(browser, comparison, width):
    browser.open(comparison, width)
    require_drawn_quiet_and_fitting(browser, comparison, width, 5)
    difference = 3
    before = column(browser, difference)
    assert click(browser, difference) == "descending"
    assert column(browser, difference) == sorted(before, reverse=True)


@pytest.mark.parametrize("width", [1024, 1440])
def test_tables_are_whole_on_a_screen(browser, path, width):
    browser.open(path, width)
    assert browser.evaluate(BEYOND) == [0] * 4


def test_a_table_that_is_cut_has_a_shadow_at_its_edge(browser, path):
    browser.open(path, 360)
    assert browser.evaluate(BEYOND)[0] > 0
    style = "getComputedStyle(document.querySelector('.scroll'))"
    assert browser.evaluate(f"{style}.backgroundAttachment") == "local, local, scroll, scroll"


def test_records_are_shown_on_request(browser, tmp_path):
    data = example_report.report()
    shown = parts.ExposedRecord(4711, "7", 2, picture(np.zeros((3, 32, 32), np.uint8)))
    found = replace(data.standing_out[0], records=[shown] * 12)
    path = tmp_path / "report.html"
    write_page(path, replace(data, standing_out=[found]))
    browser.open(path, 360)
    sizes = "[...document.querySelectorAll('.records img')].map((i) => [i.naturalWidth, i.width])"
    assert browser.evaluate(sizes) == [[32, 96]] * 12
    assert browser.requests() == [path.as_uri()]
    assert cut_texts(browser, 360) == []


def column(browser, number):
    return browser.evaluate(
        f"[...document.querySelectorAll('#results tbody tr')].map((row) => row.children[{number}])"
        ".map((cell) => cell.dataset.value === undefined ? cell.textContent"
        " : Number(cell.dataset.value))"
    )


def click(browser, number):
    browser.evaluate(f"document.querySelectorAll('#results thead button')[{number}].click()")
    return browser.evaluate(
        "[...document.querySelectorAll('#results th[aria-sort]')]"
        f"[{number}].getAttribute('aria-sort')"
    )


def test_sorting(browser, path):
    browser.open(path, 1440)
    accuracy, adversary = 2, 1
    before = column(browser, accuracy)
    assert click(browser, accuracy) == "descending"
    assert column(browser, accuracy) == sorted(before, reverse=True)
    assert click(browser, accuracy) == "ascending"
    assert column(browser, accuracy) == sorted(before)
    assert click(browser, adversary) == "ascending"
    names = column(browser, adversary)
    assert names == sorted(names)
    assert browser.evaluate("document.querySelectorAll('#results [aria-sort=none]').length") == 7
    assert browser.complaints() == []


def test_the_legend_shows_a_trace_in_both_charts(browser, path):
    browser.open(path, 1440)
    browser.draw_all()
    shown = "[...document.querySelectorAll('[data-legend] .plot')].map((p) => p.data[4].visible)"
    assert browser.evaluate(shown) == [False, False]
    browser.evaluate("document.querySelector('.legend [data-trace=\"4\"]').click()")
    browser.wait_until(f"{shown}.every(Boolean)")


def test_the_colours_can_be_switched(browser, path):
    browser.open(path, 1440)
    browser.draw_all()
    tick = "getComputedStyle(document.querySelector('.xtick text')).fill"
    light = browser.evaluate(tick)
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate("document.getElementById('theme').textContent") == "light"
    browser.wait_until(f"{tick} !== '{light}'")
    assert browser.complaints() == []


@pytest.mark.parametrize("kind", ["path", "comparison"])
def test_tables_fit_on_paper(browser, kind, request):
    browser.open(request.getfixturevalue(kind), PAPER)
    browser.page("Emulation.setEmulatedMedia", media="print")
    wide = browser.evaluate(
        "[...document.querySelectorAll('table')].map((one) => one.getBoundingClientRect().right)"
    )
    browser.page("Emulation.setEmulatedMedia", media="")
    assert max(wide) <= PAPER


def test_paper_gets_every_chart_and_the_screen_gets_its_own_back(browser, path, tmp_path):
    browser.open(path, 1440, dark=True)
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.wait_until("!document.querySelector('.plot:not([data-drawn])')")
    assert browser.evaluate("document.documentElement.dataset.theme") is None
    assert browser.complaints() == []
