"""The report in Debian's Chromium: wide and narrow, light and dark, without JavaScript, on paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from gigaforge.report.html import write_report
from tests.report import plans

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    assert program, "Chromium is missing: `make browser` installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    made = {"large": plans.with_extras(plans.large()), "empty": plans.empty(), "one": plans.one_quarter()}
    return {name: write_report(view, folder / f"{name}.html") for name, view in made.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", ["large", "empty", "one"])
def test_it_opens_clean(browser: Any, reports: dict[str, Path], name: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(reports[name].as_uri())
    page.evaluate("window.reportReady")
    charts = page.evaluate("document.querySelectorAll('[data-chart]').length")
    drawn = page.evaluate("document.querySelectorAll('[data-state=drawn] svg').length")
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    wide = page.evaluate(
        "[...document.querySelectorAll('.live')].filter(e => e.querySelector('svg')"
        " && e.querySelector('svg').getBoundingClientRect().width > e.clientWidth + 1).map(e => e.dataset.chart)"
    )
    image = page.screenshot(full_page=True)
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert drawn == charts
    assert charts == (13 if name == "large" else 0 if name == "empty" else charts)
    assert over <= 0
    assert wide == []
    assert len(image) > 10_000


def test_text_on_a_chart_follows_the_colour_scheme(browser: Any, reports: dict[str, Path]) -> None:
    seen = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(reports["large"].as_uri())
        page.evaluate("window.reportReady")
        seen.add(page.evaluate("getComputedStyle(document.querySelector('.live svg text')).fill"))
        page.close()
    assert len(seen) == 2


def test_it_reads_without_javascript(browser: Any, reports: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.goto(reports["large"].as_uri())
    assert page.locator(".static svg").first.is_visible()
    assert page.locator(".static svg").count() == 13
    context.close()


def test_it_prints(browser: Any, reports: dict[str, Path]) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(reports["large"].as_uri())
    page.evaluate("window.reportReady")
    page.emulate_media(media="print")
    assert page.locator(".static svg").first.is_visible()
    assert not page.locator(".live svg").first.is_visible()
    assert (
        page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--surface').trim()") == "#ffffff"
    )
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
