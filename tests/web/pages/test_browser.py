"""The pages in Debian's Chromium: no console message, no finding of axe-core that matters, no sideways scrolling; deciding by keyboard."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import sync_playwright

from gigaforge.ledger import Actor
from gigaforge.ledger.access import Identity, open_session
from gigaforge.web.pages import studies
from gigaforge.web.security import COOKIE
from tests.web.pages.served import app_of, pending_claim, proof_event
from tests.web.pages.slow_study import slow_study

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip
SCENARIO = Path(__file__).parents[3] / "scenarios" / "alliance-10gw.yaml"
PAGES = ["/", "/plan", "/sites", "/sites/abilene", "/deployments", "/events", "/events/1", "/racks?status=accepted", "/racks/R00001",
         "/tranches", "/tranches/1/statement", "/what-if", "/fleet", "/performance", "/performance?work=train&gpus=512", "/performance?input=x", "/nothing"]  # fmt: skip


@dataclass
class Site:
    """A server in a thread, and browsers that look at it."""

    app: FastAPI
    address: str
    browser: Any

    def open(self, who: str = "nvidia/cho", role: str = "approver", **options: Any) -> tuple[Any, list[str]]:
        """A page of a logged-in browser, and what its console says."""
        context = self.browser.new_context(base_url=self.address, **options)
        if who:
            secret = open_session(self.app.state.ledger.engine, Identity(Actor.parse(who), role))
            context.add_cookies([{"name": COOKIE, "value": secret, "url": self.address, "sameSite": "Strict"}])
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda problem: said.append(f"{page.url}: {problem}"))
        return page, said


@pytest.fixture(scope="module")
def site(written: Path, plan_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    where = tmp_path_factory.mktemp("browsed") / "ledger.db"
    shutil.copy(written / "ledger.db", where)
    app = app_of(str(where), plan=plan_folder, scenario=SCENARIO)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    program = shutil.which("chromium")
    assert program, "Chromium is missing: `make browser` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield Site(app, f"http://127.0.0.1:{port}", browser)
        browser.close()
    server.should_exit = True
    thread.join(10)


def findings(page: Any) -> list[str]:
    """Findings of axe-core, but for minor ones."""
    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']} {[node['target'] for node in v['nodes']][:3]}" for v in found if v["impact"] in ("serious", "critical", "moderate")
    ]  # fmt: skip


def sideways(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_pages_open_clean(site: Site, width: int, scheme: str) -> None:
    page, said = site.open(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    proof = proof_event(site.app.state.ledger)
    wrong: dict[str, Any] = {}
    for path in [*PAGES, f"/events/{proof.seq}/evidence/{proof.parts['evidence'][0]['sha256']}", "/login"]:
        page.goto(path)
        found = findings(page)
        if found or sideways(page) > 0:
            wrong[path] = (found, sideways(page))
    missing = [line for line in said if "/nothing" not in line and "input=x" not in line]
    page.context.close()
    assert wrong == {}
    assert missing == []
    assert [url for url in asked if not url.startswith((site.address, "data:"))] == []


@pytest.mark.parametrize(("width", "scheme"), [(3840, "light"), (360, "light"), (1440, "dark")])
def test_other_screens_do_not_scroll_sideways_and_stay_readable(site: Site, width: int, scheme: str) -> None:
    page, said = site.open(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for path in ("/", "/tranches", "/performance"):
        page.goto(path)
        assert sideways(page) <= 0, path
        assert findings(page) == [], path
    page.context.close()
    assert said == []


def test_a_stranger_logs_in_with_the_keyboard(site: Site) -> None:
    page, said = site.open(who="")
    page.goto("/tranches")
    assert page.url.endswith("/login?next=/tranches")
    assert findings(page) == []
    page.focus("#token")
    page.keyboard.type("gfl_wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#token-wrong")
    secret = site.app.state.links.make(Identity(Actor("openai", "ann"), "recorder"))
    page.goto(f"/login/once/{secret}")
    page.wait_for_url(site.address + "/")
    assert "ann (openai)" in page.inner_text(".who")
    page.context.close()
    assert [line for line in said if "401" not in line] == []


def tab_to(page: Any, words: str, most: int = 80) -> None:
    """Press Tab until what has the focus says `words`."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if words in (page.evaluate("document.activeElement.textContent") or ""):
            return
    raise AssertionError(f"{words!r} cannot be reached with the Tab key")


def test_a_tranche_is_approved_and_paid_by_keyboard_alone(site: Site) -> None:
    claim = pending_claim(site.app.state.ledger)
    for who, words in (
        ("openai/bob", "Approve tranche 2"),
        ("nvidia/cho", "Approve tranche 2"),
        ("nvidia/dan", "Record payment"),
    ):
        page, said = site.open(who)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")  # past the bar, to the content
        tab_to(page, "Tranche 2")
        page.keyboard.press("Enter")
        page.wait_for_url("**/tranches#claim-*")
        if words == "Record payment":
            page.focus("input[name=text]")
            page.keyboard.type("wire 17")
        tab_to(page, words)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        page.wait_for_url("**/tranches?done=*")
        assert "Tranche 2 is" in page.inner_text("[role=status]")
        page.context.close()
        assert said == []
    assert site.app.state.ledger.state().claims[str(claim)]["status"] == "released"


def test_two_clicks_from_a_number_to_its_evidence(site: Site) -> None:
    page, _ = site.open()
    page.goto("/")
    page.click("dt:has-text('Accepted') + dd a")
    page.click("a[href*='/evidence/']")
    assert page.inner_text(".name") == "Evidence"
    assert "checked just now" in page.inner_text(".span")
    page.context.close()


def test_a_what_if_shows_its_progress_live(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "what_if", slow_study)
    monkeypatch.syspath_prepend(Path(__file__).parents[3])  # where the job's own process finds it
    page, said = site.open("openai/bob", "approver")
    page.goto("/what-if")
    page.fill("#settings", "finance.discount_rate=11 %")
    page.click("text=Work it out")
    page.wait_for_selector("[data-stage]:has-text('solving')", timeout=20_000)
    page.wait_for_selector("h1:has-text('Half as much')", timeout=20_000)
    assert "Milam is not built." in page.content()
    assert page.inner_text("#changes ~ .scroll tbody") == "Net present value\t$2B\t$1B"
    assert findings(page) == []
    page.context.close()
    assert said == []


def test_colours_and_no_script(site: Site) -> None:
    page, _ = site.open(color_scheme="light")
    page.goto("/tranches")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.select_option("#theme", "dark")
    page.wait_for_selector("html[data-theme=dark]")
    assert page.url.endswith("/tranches")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.context.close()
    page, _ = site.open(java_script_enabled=False)
    for path in ("/", "/tranches", "/performance"):
        page.goto(path)
        assert page.inner_text("h1")
    assert page.locator("select#work").is_visible()
    page.context.close()
