"""The report as people meet it: in a browser, on a phone, by keyboard, by ear, in the dark and on
paper."""

from __future__ import annotations

from pathlib import Path

import pytest

WIDE, PHONE, PAPER = 1300, 375, 690  # pixels; A4 has 690 between margins of 14 mm


@pytest.fixture
def page(browser):
    """Yield a page of a browser without a net."""
    context = browser.new_context(offline=True, viewport={"width": WIDE, "height": 900})
    yield context.new_page()
    context.close()


def some_pages(folder: Path) -> list[Path]:
    """Return the site's own pages, one of a run, that of the analysis, one of a notebook that was
    not executed, and two of the documentation."""
    return [
        *sorted(folder.glob("*.html")),
        next((folder / "pages").glob("demo-*student*.html")),
        folder / "pages" / "analysis.html",
        folder / "pages" / "03_student.html",
        folder / "api" / "index.html",
        folder / "docs" / "index.html",
        folder / "docs" / "corpora.html",
    ]


def test_no_page_has_an_error_or_asks_for_what_is_not_its_own(report, page):
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("requestfailed", lambda request: told.append(f"{request.url} failed"))
    page.on("request", lambda request: asked.append(request.url))
    for path in some_pages(report.folder):
        page.goto(path.as_uri())
    assert told == []
    assert [
        url for url in asked if not url.startswith((report.folder.as_uri(), "data:"))
    ] == [] and f"{report.folder.as_uri()}/sort.js" in asked


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_axe_finds_nothing(report, browser, width, scheme):
    """Contrast, names, landmarks, order of headings and more, as WCAG 2.1 AA and axe's best
    practices have it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, found = context.new_page(), {}
    for path in some_pages(report.folder):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        told = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
        found |= {
            f"{path.name}: {each['id']}": [node["html"][:120] for node in each["nodes"]][:3]
            for each in told
        }
    context.close()
    assert found == {}


def test_on_a_phone_tables_scroll_and_pages_do_not(report, page):
    page.set_viewport_size({"width": PHONE, "height": 800})
    scrolled = []
    for path in some_pages(report.folder):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE, path.name
        scrolled += page.evaluate(
            "[...document.querySelectorAll('.scroll, .html')].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.className)"
        )
    assert {"scroll", "html"} <= set(scrolled)


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(report, page):
    page.goto((report.folder / "results.html").as_uri())
    page.evaluate("window.order = [...document.querySelectorAll('*')]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    seen = []
    for _ in range(60):
        place, outline = page.evaluate(
            "[order.indexOf(document.activeElement), getComputedStyle(document.activeElement).outline]"
        )
        assert "solid 3px" in outline and "rgba(0, 0, 0, 0)" not in outline
        seen.append(place)
        page.keyboard.press("Tab")
    assert seen == sorted(set(seen))
    page.goto((report.folder / "results.html").as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


ROWS = "[...document.querySelectorAll('#table6 tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"


def test_a_table_sorts_by_numbers_and_back(report, page):
    page.goto((report.folder / "results.html").as_uri())
    before = page.locator("#table6 tbody").inner_html()
    heads = page.locator("#table6 thead th[scope=col]")
    column = heads.all_inner_texts().index("EM") if "EM" in heads.all_inner_texts() else None
    assert column is None  # titles are of columns, not of settings
    head = heads.filter(has_text="undistilled").first  # the paper's
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    rows = page.evaluate(ROWS)
    assert len(rows) == 10 and {len(row) for row in rows} == {12}
    values = [float(row[3]) for row in rows if row[3] != "—"]  # the paper prints no linear baseline
    assert values == sorted(values) and len({tuple(row[:2]) for row in rows}) == 10
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(row[3]) for row in page.evaluate(ROWS) if row[3] != "—"] == values[::-1]
    page.keyboard.press("Space")
    assert (
        head.get_attribute("aria-sort") is None
        and page.locator("#table6 tbody").inner_html() == before
    )


def test_times_sort_as_times_and_what_is_missing_stays_last(report, page):
    page.goto((report.folder / "runs.html").as_uri())
    page.evaluate("""() => { const cells = document.querySelectorAll('.runs:last-of-type td[data-value]');
        [['2 h 10 min', 7800], ['4.2 s', 4.2], ['—', '']].forEach(([text, value], n) => { cells[n].textContent = text; cells[n].dataset.value = value; }); }""")
    head = page.locator(".runs:last-of-type thead th", has_text="time")
    for way, expected in (
        ("ascending", ["4.2 s", "2 h 10 min"]),
        ("descending", ["2 h 10 min", "4.2 s"]),
    ):
        head.get_by_role("button").click()
        found = page.locator(".runs:last-of-type td[data-value]").all_inner_texts()
        assert head.get_attribute("aria-sort") == way
        assert [text for text in found if text in expected] == expected and found[-1] == "—"


def test_figures_stay_on_white_in_the_dark(report, page):
    page.emulate_media(color_scheme="dark")
    page.goto((report.folder / "method.html").as_uri())
    style = "getComputedStyle({}).backgroundColor"
    assert page.evaluate(style.format("document.querySelector('.picture')")) == "rgb(255, 255, 255)"
    assert page.evaluate(style.format("document.body")) == "rgb(19, 23, 26)"


def test_on_paper_nothing_is_cut_and_no_navigation_shows(report, page):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": 1000})
    for path in some_pages(report.folder):
        page.goto(path.as_uri())
        assert not any(
            each.is_visible() for each in page.locator("nav, .downloads, .skip").all()
        ), path.name
        cut = "[...document.querySelectorAll('.scroll, .html, pre')].filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.ariaLabel || box.className)"
        assert page.evaluate(cut) == [], path.name
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
