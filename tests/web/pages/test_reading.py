"""Every page for every role and for a stranger; numbers lead to their evidence; strangers' words stay words."""

from __future__ import annotations

import html
import re

import pytest
from fastapi import FastAPI

from gigaforge.ledger.access import ROLES, read_log
from tests.web.pages.served import HOSTILE, pending_claim, proof_event, token, visitor

PAGES = ["/", "/sites", "/sites/abilene", "/deployments", "/events", "/events?kind=acceptance&party=openai", "/events/1",
         "/racks", "/racks?site=abilene&status=accepted", "/racks/R00001", "/tranches"]  # fmt: skip


def evidence_of(app: FastAPI) -> str:
    found = proof_event(app.state.ledger)
    return f"/events/{found.seq}/evidence/{found.parts['evidence'][0]['sha256']}"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_reads_the_record_and_a_viewer_no_evidence(served: FastAPI, role: str) -> None:
    client = visitor(served, "openai/ann", role)
    for page in PAGES:
        answer = client.get(page)
        assert answer.status_code == 200, (page, answer.text)
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
    for page in (evidence_of(served), evidence_of(served) + "/file", "/tranches/2/statement"):
        assert client.get(page).status_code == (403 if role == "viewer" else 200)


def test_a_stranger_is_led_to_the_log_in_and_back(served: FastAPI) -> None:
    client = visitor(served)
    for page in [*PAGES, evidence_of(served)]:
        answer = client.get(page)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=/")
        assert "openai" not in answer.text
    asked = client.get("/events?kind=acceptance", follow_redirects=True)
    assert 'name="next" value="/events?kind=acceptance"' in asked.text
    answer = client.post(
        "/login", data={"token": token(served, "openai/ann", "viewer"), "next": "/events?kind=acceptance"}
    )
    assert answer.status_code == 200
    assert "url=/events?kind=acceptance" in html.unescape(answer.text)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/events?kind=acceptance").status_code == 200
    assert client.post("/logout").status_code == 303
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "where", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\n//evil"]
)
def test_log_in_leads_to_this_site_alone(served: FastAPI, where: str) -> None:
    answer = visitor(served).post("/login", data={"token": token(served, "openai/ann", "viewer"), "next": where})
    assert 'content="0;url=/"' in answer.text


def test_a_wrong_token_is_told_beside_its_field(served: FastAPI) -> None:
    for text, words in (
        ("", "Paste your token first"),
        ("gfl_nonsense", "unknown, expired or revoked"),
        (HOSTILE, "unknown"),
    ):
        answer = visitor(served).post("/login", data={"token": text})
        assert answer.status_code == 401
        assert words in answer.text
        assert 'aria-invalid="true"' in answer.text
        assert 'id="token-wrong"' in answer.text
        assert "<script>alert" not in answer.text


def test_the_printed_address_works_once(app: FastAPI) -> None:
    from gigaforge.ledger import Actor
    from gigaforge.ledger.access import Identity

    secret = app.state.links.make(Identity(Actor("openai", "ann"), "recorder"))
    client = visitor(app)
    assert client.head(f"/login/once/{secret}").status_code == 405  # who only looks does not use it up
    assert client.get(f"/login/once/{secret}").status_code == 200
    assert "ann (openai), recorder" in client.get("/").text
    again = visitor(app).get(f"/login/once/{secret}")
    assert again.status_code == 401
    assert "used already" in again.text


def test_two_clicks_from_each_number_to_its_evidence(served: FastAPI) -> None:
    client = visitor(served, "nvidia/cho", "approver")
    first = client.get("/").text
    proof = evidence_of(served)
    tiles = re.findall(r'class="value"><a href="([^"]+)"', first)
    assert len(tiles) == 4
    assert proof in client.get("/events?kind=acceptance").text
    assert "/events?kind=acceptance" in tiles
    for rack_list in re.findall(r'href="(/racks\?[^"]*status=accepted[^"]*)"', client.get("/deployments").text):
        assert proof in client.get(html.unescape(rack_list)).text
    claim = pending_claim(served.state.ledger)
    assert f"/racks?claim={claim}" in client.get("/tranches").text
    assert proof in client.get(f"/racks?claim={claim}").text


def test_evidence_is_never_rendered_and_each_read_is_noted(app: FastAPI) -> None:
    client = visitor(app, "nvidia/cho", "auditor")
    shown = client.get(evidence_of(app))
    assert "<h1><script" not in shown.text
    assert "&lt;h1&gt;&lt;script&gt;" in shown.text
    file = client.get(evidence_of(app) + "/file")
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["content-security-policy"] == "sandbox"
    assert file.headers["x-content-type-options"] == "nosniff"
    assert [r["person"] for r in read_log(app.state.ledger.engine)] == ["cho", "cho"]


def test_hostile_words_stay_words(served: FastAPI) -> None:
    client = visitor(served, "openai/ann", "approver")
    numbers = range(1, served.state.ledger.state().seq + 1)
    asked = [*PAGES, *(f"/events/{n}" for n in numbers), evidence_of(served), f"/racks?site={HOSTILE}", f"/events/{HOSTILE}",
             f"/racks/{HOSTILE}", f"/sites/{HOSTILE}", f"/events?kind={HOSTILE}", f"/performance?model={HOSTILE}&system={HOSTILE}",
             f"/tranches?done={HOSTILE}&tranche=1"]  # fmt: skip
    seen = 0
    for page in asked:
        text = client.get(page).text
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
        seen += "&lt;script&gt;alert" in text
    assert seen > 5


@pytest.mark.parametrize(("page", "status"), [("/nothing", 404), ("/events/99999", 404), ("/events/x", 422), ("/racks/none", 404),
                                              ("/sites/none", 404), ("/tranches/9/statement", 404), ("/plan", 404),
                                              ("/events/99999999999999999999", 404), ("/what-if", 404), ("/static/x.js", 404)])  # fmt: skip
def test_what_is_not_there_is_a_page_and_for_the_api_a_problem(served: FastAPI, page: str, status: int) -> None:
    client = visitor(served, "openai/ann", "auditor")
    answer = client.get(page)
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert 'href="/static/app.css' in answer.text
    assert client.get("/api/v1/events/99999").headers["content-type"] == "application/problem+json"


def test_too_many_requests_and_a_bug_are_pages_too(served: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    from gigaforge.web.security import RateLimit

    client = visitor(served, "openai/ann")
    monkeypatch.setattr(RateLimit, "wait_s", lambda *_: 7.0)
    answer = client.get("/")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert "<h1>Too many requests</h1>" in answer.text
    monkeypatch.undo()
    monkeypatch.setattr("gigaforge.web.pages.rack_routes.standing_table", lambda *_: 1 / 0)
    answer = client.get("/deployments")
    assert answer.status_code == 500
    assert "<h1>Something went wrong</h1>" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["cache-control"] == "no-store"
    assert "division" not in answer.text


def test_static_files_are_kept_and_pages_are_compressed(served: FastAPI) -> None:
    client = visitor(served, "openai/ann")
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/").text):
        answer = client.get(address)
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"


def test_colours_are_the_readers_choice(served: FastAPI) -> None:
    client = visitor(served)
    answer = client.post("/theme", data={"theme": "dark", "back": "/login"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert 'data-theme="dark"' in client.get("/login").text
    client.post("/theme", data={"theme": "neon", "back": "https://evil.example"})
    assert "data-theme" not in client.get("/login").text


def test_lists_go_on_page_by_page(served: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    for pages in ("event_routes", "rack_routes"):
        monkeypatch.setattr(f"gigaforge.web.pages.{pages}._PAGE", 4)
    client = visitor(served, "openai/ann")
    for start, item in (("/events", r'href="/events/(\d+)"'), ("/racks", r'href="/racks/(R\d+)"')):
        seen, page = [], start
        while page:
            text = client.get(page).text
            seen += dict.fromkeys(re.findall(item, text))
            more = re.search(rf'class="pages"><a href="({start}\?[^"]+)"', text)
            page = html.unescape(more[1]) if more else ""
        total = served.state.ledger.state().seq if start == "/events" else 11
        assert len(set(seen)) == total
